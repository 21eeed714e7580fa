/* SPDX-License-Identifier: MIT */
#include "archive/rebuild.h"

#include <stdlib.h>
#include <time.h>

#include "archive/blob_key.h"
#include "archive/document.h"
#include "archive/hold.h"
#include "archive/keys.h"
#include "archive/prepare.h"
#include "archive/tag_set.h"
#include "archive/tombstone.h"
#include "archive/versions.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/blob.h"

enum {
    BATCH_INSTANCES = 256, /* in one transaction; */
    BATCH_BYTES = 8 << 20, /* of documents, after which it ends too */
    WALK_STEP = 1024,      /* records between two steps of the job */
};

/* A live record, in the order of storing. */
struct find {
    int64_t stored_at_us;
    struct blob_id blob;
    bool replaces;
    bool amends;
};

struct rebuild {
    struct storage *storage;
    struct archive *archive;
    const struct rebuild_options *options;
    struct job *job;
    struct rebuild_report *report;
    struct find *finds;
    size_t count;
    size_t capacity;
    struct space piece;
    uint64_t *uids; /* dry run: a hash of each SOP Instance UID, and whether it replaces */
    size_t uid_count;
};

/* What a batch adds to the report once it is committed. */
struct outcome {
    uint64_t instances;
    uint64_t versions;
    uint64_t deleted;
    uint64_t corrupt;
    uint64_t refused;
};

/* What no blob tells of: the worklist, what was deleted, and what the registration told of
 * patients, with the work that it left. */
static bool carry_over(struct rebuild *rebuild, struct error *err)
{
    static const uint8_t others[] = { KEY_OTHERS };
    static const uint8_t told[] = { RECORD_PATIENT_STATE, RECORD_PATIENT_STATE + 1 };
    static const uint8_t work[] = { RECORD_AMEND_WORK, RECORD_AMEND_WORK + 1 };
    static const uint8_t rest[] = { RECORD_AMEND_REST, RECORD_AMEND_REST + 1 };
    const struct storage_range ranges[] = {
        { TABLE_RECORD, slice_of(others, 1), slice_of(NULL, 0) },
        { TABLE_TERM, slice_of(others, 1), slice_of(NULL, 0) },
        { TABLE_RECORD, slice_of(told, 1), slice_of(told + 1, 1) },
        { TABLE_RECORD, slice_of(work, 1), slice_of(work + 1, 1) },
        { TABLE_RECORD, slice_of(rest, 1), slice_of(rest + 1, 1) },
    };
    enum storage_carried carried;
    if (!storage_carry_over(rebuild->storage, ranges, sizeof(ranges) / sizeof(ranges[0]),
                            &rebuild->report->others, &carried, err) ||
        !tombstones_take_over(rebuild->storage, &rebuild->report->tombstones, err))
        return false;
    rebuild->report->others_lost = carried != STORAGE_CARRIED_ALL;
    if (carried == STORAGE_CARRIED_PART)
        log_warn("rebuild: the worklist is not whole any more keys=%llu",
                 (unsigned long long)rebuild->report->others);
    return true;
}

static bool rebuild_open(struct rebuild *rebuild, const char *data_directory, struct error *err)
{
    const struct storage_options storage = {
        .path = data_directory,
        .index_in_memory = rebuild->options->dry_run,
        .rebuild = true,
    };
    const struct archive_options archive = { .ae_title = rebuild->options->ae_title };
    return storage_open(&storage, &rebuild->storage, err) &&
           archive_open(rebuild->storage, &archive, &rebuild->archive, err) &&
           tag_set_adopt_copy(rebuild->archive, err) && hold_adopt_copy(rebuild->archive, err) &&
           (rebuild->options->dry_run || carry_over(rebuild, err));
}

/* Phase one: what is there. */

static void add_find(struct rebuild *rebuild, const struct blob_id *blob,
                     const struct blob_facts *facts)
{
    if (rebuild->count == rebuild->capacity) {
        rebuild->capacity = rebuild->capacity ? rebuild->capacity * 2 : 1024;
        rebuild->finds = mem_resize_array(rebuild->finds, rebuild->capacity,
                                          sizeof(*rebuild->finds));
    }
    rebuild->finds[rebuild->count++] = (struct find){ facts->stored_at_us, *blob, facts->replaces,
                                                      facts->amends };
    rebuild->report->records++;
    rebuild->report->bytes += blob->size;
}

/* What cannot be read is stepped over: a bad sector costs the record that begins there. */
static bool next_record(struct rebuild *rebuild, struct blob_walk *walk, struct blob_record *record,
                        bool *found, struct error *err)
{
    struct error why = { 0 };
    while (!blob_walk_next(walk, record, found, &why)) {
        if (why.code != ERROR_IO && why.code != ERROR_CORRUPT)
            return error_set(err, why.code, "%s", why.message);
        log_warn("rebuild: a place that cannot be read is left out: %s", why.message);
        rebuild->report->corrupt++;
        blob_walk_skip(walk);
        if (!job_step(rebuild->job, "finding records", "records", rebuild->count, 0, 0, err))
            return false;
    }
    return true;
}

static bool find_records(struct rebuild *rebuild, struct error *err)
{
    struct blob_walk *walk = NULL;
    struct blob_record record;
    struct identity identity;
    uint64_t seen = 0;
    bool found = true;
    bool ok = blob_walk_open(rebuild->storage, &walk, err);
    while (ok && (ok = next_record(rebuild, walk, &record, &found, err)) && found) {
        struct blob_facts facts = { .stored_at_us = 0 };
        blob_key_decode(record.key, &identity, &facts);
        if (!record.dead)
            add_find(rebuild, &record.id, &facts);
        if (++seen % WALK_STEP == 0)
            ok = job_step(rebuild->job, "finding records", "records", seen, 0, 0, err);
    }
    blob_walk_close(walk);
    return ok;
}

/* Of a record whose key does not tell its time is known that it was written before those behind
 * it. */
static void guess_times(struct rebuild *rebuild)
{
    int64_t next = clock_unix_us();
    for (size_t i = rebuild->count; i > 0; i--) {
        struct find *find = &rebuild->finds[i - 1];
        if (!find->stored_at_us)
            find->stored_at_us = next;
        next = find->stored_at_us;
    }
}

static int by_time(const void *a, const void *b)
{
    const struct find *first = a, *second = b;
    if (first->stored_at_us != second->stored_at_us)
        return first->stored_at_us < second->stored_at_us ? -1 : 1;
    if (first->blob.segment != second->blob.segment)
        return first->blob.segment < second->blob.segment ? -1 : 1;
    if (first->blob.offset != second->blob.offset)
        return first->blob.offset < second->blob.offset ? -1 : 1;
    return 0;
}

/* Above all numbers that were ever given out: those of an archive's first index count from 1, those
 * of a rebuilt one go on from the microsecond of its rebuilding, and nobody stores a million
 * instances a second. A clock that was set back since is found by the times of storing. */
static uint64_t first_sequence(const struct rebuild *rebuild)
{
    int64_t now = clock_unix_us();
    int64_t last = rebuild->count ? rebuild->finds[rebuild->count - 1].stored_at_us : 0;
    return (uint64_t)(last > now ? last : now);
}

/* Phase two: their bytes. */

static void leave_out(const struct find *find, const char *kind, const struct error *why)
{
    log_warn("rebuild: %s record left out segment=%u offset=%llu: %s", kind, find->blob.segment,
             (unsigned long long)find->blob.offset, why->message);
}

/* False: it was left out and counted. A bad sector of the disk costs the record that stands on it,
 * not the rebuild. */
static bool read_instance(struct rebuild *rebuild, const struct find *find,
                          struct prepared *prepared, struct outcome *outcome)
{
    struct error why = { 0 };
    struct blob *blob = NULL;
    bool ok = blob_open_aside(rebuild->storage, &find->blob, &blob, &why) &&
              prepare_from_blob(prepared, blob, &find->blob, rebuild->piece, &why);
    blob_close(blob);
    prepared->record.stored_at_ms = find->stored_at_us / 1000;
    if (ok)
        return true;
    bool corrupt = why.code == ERROR_CORRUPT || why.code == ERROR_IO;
    leave_out(find, corrupt ? "corrupt" : "refused", &why);
    *(corrupt ? &outcome->corrupt : &outcome->refused) += 1;
    return false;
}

/* The tree of the present study stays open from one instance to the next. */
static bool enter_study(struct rebuild *rebuild, struct transaction *transaction, const char *study,
                        struct tree *tree, bool *open, struct error *err)
{
    if (*open && strcmp(tree->uid, study) == 0)
        return true;
    if (*open) {
        bool ok = tree_save(tree, err);
        tree_close(tree);
        *open = false;
        if (!ok)
            return false;
    }
    *open = true; /* tree_close is due also after a failure */
    return tree_open(tree, rebuild->archive, transaction, study, err);
}

/* The instance whose place a record takes; *may false when it is another one after all. The same
 * bytes once more are of a store that never came to its end. */
static bool find_rival(const struct find *find, const struct prepared *prepared,
                       const struct identity *place, struct transaction *transaction,
                       struct instance_record *rival, bool *may, struct error *err)
{
    struct identity old = *place;
    struct buffer bytes = buffer_up_to(DOCUMENT_SIZE);
    struct dataset *header = NULL;
    struct key key;
    *may = find->replaces && strcmp(place->study, prepared->identity.study) == 0 &&
           strcmp(place->series, prepared->identity.series) == 0;
    if (!*may)
        return true;
    memcpy(old.instance, prepared->identity.instance, UID_SIZE);
    key_place(&key, DOCUMENT_HEADER, old.study, old.series, old.instance);
    bool ok = prepared_rival(prepared, transaction, rival, err) &&
              transaction_get(transaction, TABLE_DOCUMENT, key_slice(&key), &bytes, may, err) &&
              (!*may || document_open(buffer_slice(&bytes), &header, err));
    if (ok && *may) {
        memcpy(old.sop_class, rival->sop_class, UID_SIZE);
        *may = version_may_follow(&prepared->identity, prepared->header, &old, header,
                                  find->amends) &&
               (rival->blob.crc32c != find->blob.crc32c || rival->blob.size != find->blob.size);
    }
    dataset_close(header);
    buffer_release(&bytes);
    return ok;
}

/* Its instance was deleted when it stood there already: a store that a crash cut off, or a deletion
 * that had not come to the segment yet. */
static bool was_deleted(const struct find *find, const struct prepared *prepared,
                        struct transaction *transaction, bool *deleted, struct error *err)
{
    int64_t at_ms = 0;
    bool ok = tombstone_get(transaction, &prepared->identity, &at_ms, deleted, err);
    *deleted = ok && *deleted && find->stored_at_us / 1000 <= at_ms;
    return ok;
}

static bool add_instance(struct rebuild *rebuild, const struct find *find,
                         struct prepared *prepared, struct transaction *transaction,
                         struct tree *tree, bool *open, struct outcome *outcome, struct error *err)
{
    struct identity place;
    struct instance_record rival;
    bool deleted, taken, may = false;
    if (!was_deleted(find, prepared, transaction, &deleted, err))
        return false;
    if (deleted) {
        outcome->deleted++;
        return true;
    }
    if (!prepared_is_taken(prepared, transaction, &place, &taken, err))
        return false;
    instance_record_init(&rival);
    prepared->record.amended = find->amends;
    bool ok = !taken || find_rival(find, prepared, &place, transaction, &rival, &may, err);
    if (ok && may) {
        outcome->versions++;
        ok = enter_study(rebuild, transaction, prepared->identity.study, tree, open, err) &&
             prepared_replace(prepared, tree, &rival, 0, err);
    }
    instance_record_release(&rival);
    if (!ok || may)
        return ok;
    if (taken) {
        struct error why;
        error_set(&why, ERROR_CONFLICT, "a second record of instance=%s",
                  prepared->identity.instance);
        leave_out(find, "refused", &why);
        outcome->refused++;
        return true;
    }
    outcome->instances++;
    return enter_study(rebuild, transaction, prepared->identity.study, tree, open, err) &&
           prepared_add(prepared, tree, err);
}

/* Indexes finds from `*next` on in one transaction, up to `most`; *next is behind them then. */
static bool index_batch(struct rebuild *rebuild, size_t *next, size_t most, struct error *err)
{
    struct transaction *transaction = NULL;
    struct outcome outcome = { 0 };
    struct tree tree;
    size_t at = *next;
    uint64_t bytes = 0;
    bool open = false;
    if (!transaction_open(rebuild->storage, &transaction, err))
        return false;
    bool ok = true;
    for (; ok && at < rebuild->count && at - *next < most && bytes < BATCH_BYTES; at++) {
        const struct find *find = &rebuild->finds[at];
        struct prepared prepared;
        prepared_init(&prepared);
        if (read_instance(rebuild, find, &prepared, &outcome))
            ok = add_instance(rebuild, find, &prepared, transaction, &tree, &open, &outcome, err);
        bytes += prepared.document.size + prepared.frames.size;
        prepared_release(&prepared);
    }
    ok = ok && (!open || tree_save(&tree, err)) && transaction_commit_unsynced(transaction, err);
    if (open)
        tree_close(&tree);
    transaction_close(transaction);
    if (!ok)
        return false;
    FAULT_POINT("rebuild_batch");
    *next = at;
    rebuild->report->instances += outcome.instances;
    rebuild->report->versions += outcome.versions;
    rebuild->report->deleted += outcome.deleted;
    rebuild->report->corrupt += outcome.corrupt;
    rebuild->report->refused += outcome.refused;
    return true;
}

/* Also of an archive in which nothing is left: its followers have heard of changes. */
static bool begin_feed(struct rebuild *rebuild, struct error *err)
{
    struct transaction *transaction = NULL;
    if (!transaction_open(rebuild->storage, &transaction, err))
        return false;
    transaction_skip_feed(transaction, first_sequence(rebuild));
    bool ok = transaction_commit_unsynced(transaction, err);
    transaction_close(transaction);
    return ok;
}

static bool is_fatal(const struct error *err)
{
    return err->code == ERROR_IO || err->code == ERROR_NO_SPACE;
}

/* One instance that cannot be indexed must not cost the others: then they go one by one. */
static bool index_one_by_one(struct rebuild *rebuild, size_t *next, struct error *err)
{
    size_t end = *next + BATCH_INSTANCES < rebuild->count ? *next + BATCH_INSTANCES
                                                          : rebuild->count;
    while (*next < end) {
        struct error why = { 0 };
        if (index_batch(rebuild, next, 1, &why))
            continue;
        if (is_fatal(&why)) {
            if (err)
                *err = why;
            return false;
        }
        leave_out(&rebuild->finds[*next], "refused", &why);
        rebuild->report->refused++;
        ++*next;
    }
    return true;
}

static bool index_all(struct rebuild *rebuild, struct error *err)
{
    uint64_t done = 0;
    if (!begin_feed(rebuild, err))
        return false;
    for (size_t next = 0; next < rebuild->count;) {
        struct error why = { 0 };
        size_t from = next;
        uint64_t before = done;
        if (!index_batch(rebuild, &next, BATCH_INSTANCES, &why)) {
            if (err)
                *err = why;
            if (is_fatal(&why) || !index_one_by_one(rebuild, &next, err))
                return false;
        }
        for (size_t i = from; i < next; i++)
            done += rebuild->finds[i].blob.size;
        if (!job_step(rebuild->job, "reading instances", "bytes", done, rebuild->report->bytes,
                      done - before, err))
            return false;
    }
    return storage_settle(rebuild->storage, err);
}

/* A dry run: the same reading, without an index. */

static uint64_t hash_uid(const char *uid)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *uid; uid++)
        hash = (hash ^ (uint8_t)*uid) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

static int by_value(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

static void count_second_ones(struct rebuild *rebuild)
{
    if (rebuild->uid_count)
        qsort(rebuild->uids, rebuild->uid_count, sizeof(*rebuild->uids), by_value);
    for (size_t i = 1; i < rebuild->uid_count; i++) {
        if (rebuild->uids[i] >> 1 != rebuild->uids[i - 1] >> 1)
            continue;
        *(rebuild->uids[i] & 1 ? &rebuild->report->versions : &rebuild->report->refused) += 1;
        rebuild->report->instances--;
    }
}

static bool read_all(struct rebuild *rebuild, struct error *err)
{
    struct outcome outcome = { 0 };
    uint64_t done = 0;
    bool ok = true;
    rebuild->uids = mem_alloc_array(rebuild->count ? rebuild->count : 1, sizeof(*rebuild->uids));
    for (size_t i = 0; ok && i < rebuild->count; i++) {
        struct prepared prepared;
        prepared_init(&prepared);
        if (read_instance(rebuild, &rebuild->finds[i], &prepared, &outcome))
            rebuild->uids[rebuild->uid_count++] = hash_uid(prepared.identity.instance) << 1 |
                                                  rebuild->finds[i].replaces;
        prepared_release(&prepared);
        done += rebuild->finds[i].blob.size;
        ok = job_step(rebuild->job, "reading instances", "bytes", done, rebuild->report->bytes,
                      rebuild->finds[i].blob.size, err);
    }
    rebuild->report->instances = rebuild->uid_count;
    rebuild->report->corrupt += outcome.corrupt;
    rebuild->report->refused += outcome.refused;
    count_second_ones(rebuild);
    return ok;
}

static bool install(struct rebuild *rebuild, struct error *err)
{
    struct storage *storage = rebuild->storage;
    archive_close(rebuild->archive);
    rebuild->archive = NULL;
    rebuild->storage = NULL;
    if (!rebuild->options->dry_run)
        return storage_close_rebuilt(storage, err);
    storage_close(storage);
    return true;
}

bool archive_rebuild(const char *data_directory, const struct rebuild_options *options,
                     struct job *job, struct rebuild_report *report, struct error *err)
{
    int64_t began_ms = clock_monotonic_ms();
    struct rebuild rebuild = { .options = options, .job = job, .report = report };
    memset(report, 0, sizeof(*report));
    rebuild.piece = (struct space){ mem_resize(NULL, PREPARE_PIECE_SIZE), PREPARE_PIECE_SIZE };
    bool ok = rebuild_open(&rebuild, data_directory, err) && find_records(&rebuild, err);
    if (ok) {
        guess_times(&rebuild);
        if (rebuild.count)
            qsort(rebuild.finds, rebuild.count, sizeof(*rebuild.finds), by_time);
        ok = (options->dry_run ? read_all(&rebuild, err) : index_all(&rebuild, err)) &&
             install(&rebuild, err);
    }
    archive_close(rebuild.archive);
    storage_close(rebuild.storage);
    free(rebuild.finds);
    free(rebuild.uids);
    free(rebuild.piece.data);
    report->milliseconds = clock_monotonic_ms() - began_ms;
    return ok;
}
