/* SPDX-License-Identifier: MIT */
#include "archive/ingest.h"

#include <stdio.h>
#include <stdlib.h>

#include "archive/blob_key.h"
#include "archive/coerce.h"
#include "archive/document.h"
#include "archive/hold.h"
#include "archive/lookup.h"
#include "archive/prepare.h"
#include "archive/registration_records.h"
#include "archive/versions.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dicom/part10.h"
#include "storage/blob.h"

enum {
    STORE_TRIES = 8, /* when the same instance comes and goes at the same time */
    /* A scan holds this much in any case; what all together hold beyond it has a limit, because a
     * peer can have many associations, and a kilobyte that is deflated can become a megabyte. */
    ORIGINALS_SIZE = 1 << 20, /* of Original Attributes Sequence */
    COPY_PIECE = 256 << 10,
    SCAN_FREE = 1 << 20,
    SCAN_BYTES = 512 << 20,
    SCAN_PIECE = 16 << 10, /* of stored bytes, between two looks */
};

struct ingest {
    struct archive *archive;
    bool part10;
    char sop_class[UID_SIZE]; /* what the command says; "" for nothing */
    char sop_instance[UID_SIZE];
    char study[UID_SIZE];
    char calling_ae[17]; /* as the protocol says; "" for none */
    char source_ae[17];  /* likewise, or what the File Meta Information says */
    char transfer_syntax[UID_SIZE];
    struct blob_writer *writer;
    struct scan *scan;   /* NULL until the File Meta Information was read */
    uint64_t scan_bytes; /* our part of archive->scan_bytes */
    struct space space;
    uint64_t dataset_offset; /* in the blob */
    uint64_t next_meta_try;  /* bytes that must be there before the meta is looked for again */
    struct identity identity;
    int64_t stored_at_us;
    bool
        may_replace; /* what is stored under the same UID: this and the rest are of the last look */
    uint64_t rival_created;
    int64_t rival_stored_at_ms;
    bool replaced;
    bool amends;       /* see ingest_options */
    bool was_amended;  /* what is stored was, too */
    bool is_coerced;   /* its bytes are what the rules made of those received */
    bool only_compare; /* what is no duplicate is not stored */
    uint32_t coerced[COERCION_RULES_MAX];
    size_t coerced_count;
    struct buffer originals;
    struct error error; /* the first one stays */
};

static void release_work(struct ingest *ingest)
{
    scan_free(ingest->scan);
    ingest->scan = NULL;
    atomic_fetch_sub(&ingest->archive->scan_bytes, ingest->scan_bytes);
    ingest->scan_bytes = 0;
    blob_writer_close(ingest->writer);
    ingest->writer = NULL;
}

/* Keeps the error, and gives the memory back at once: the peer may send for a long time yet. */
static bool fail(struct ingest *ingest, const struct error *error, struct error *err)
{
    if (ingest->error.code == ERROR_NONE)
        ingest->error = *error;
    release_work(ingest);
    if (err)
        *err = ingest->error;
    return false;
}

static bool take_uid(const char *text, uint32_t tag, char uid[UID_SIZE], struct error *err)
{
    if (is_empty_text(text) || uid_copy(slice_text(text), uid))
        return true;
    return error_set_tag(err, ERROR_INVALID, tag, "no UID stands where one must");
}

static bool begin_dataset(struct ingest *ingest)
{
    ingest->scan = scan_new(transfer_syntax_or_private(slice_text(ingest->transfer_syntax)),
                            &scan_default_limits);
    return true;
}

/* A bare data set gets preamble and File Meta Information in front (PS3.10 7.1). */
static bool write_meta(struct ingest *ingest, struct error *err)
{
    struct buffer bytes = buffer_up_to(PART10_META_LIMIT);
    struct file_meta meta = { 0 };
    memcpy(meta.sop_class, ingest->sop_class, UID_SIZE);
    memcpy(meta.sop_instance, ingest->sop_instance, UID_SIZE);
    memcpy(meta.transfer_syntax, ingest->transfer_syntax, UID_SIZE);
    memcpy(meta.source_ae, ingest->source_ae, sizeof(meta.source_ae));
    file_meta_write(&meta, &bytes);
    ingest->dataset_offset = bytes.size;
    bool ok = blob_writer_write(ingest->writer, buffer_slice(&bytes), err);
    buffer_release(&bytes);
    return ok && begin_dataset(ingest);
}

static bool take_options(struct ingest *ingest, const struct ingest_options *options,
                         struct error *err)
{
    ingest->part10 = options->part10;
    ingest->amends = ingest->is_coerced = options->amends;
    if (!is_empty_text(options->source_ae))
        snprintf(ingest->calling_ae, sizeof(ingest->calling_ae), "%s", options->source_ae);
    memcpy(ingest->source_ae, ingest->calling_ae, sizeof(ingest->source_ae));
    if (!take_uid(options->sop_class, TAG_SOP_CLASS_UID, ingest->sop_class, err) ||
        !take_uid(options->sop_instance, TAG_SOP_INSTANCE_UID, ingest->sop_instance, err) ||
        !take_uid(options->study, TAG_STUDY_INSTANCE_UID, ingest->study, err))
        return false;
    memcpy(ingest->identity.sop_class, ingest->sop_class, UID_SIZE);
    memcpy(ingest->identity.instance, ingest->sop_instance, UID_SIZE);
    if (ingest->part10)
        return true;
    if (!take_uid(options->transfer_syntax, 0, ingest->transfer_syntax, err))
        return false;
    if (!ingest->transfer_syntax[0] || !ingest->sop_class[0] || !ingest->sop_instance[0])
        return error_set(err, ERROR_INVALID,
                         "a bare data set comes with a transfer syntax, SOP class and instance");
    return true;
}

bool ingest_open(struct archive *archive, const struct ingest_options *options, struct ingest **out,
                 struct error *err)
{
    if (!archive_has_space(archive, err))
        return false;
    struct ingest *ingest = mem_alloc(sizeof(*ingest));
    ingest->archive = archive;
    ingest->originals = buffer_up_to(ORIGINALS_SIZE);
    bool ok = take_options(ingest, options, err) &&
              blob_writer_open(archive->storage, slice_of(NULL, 0), &ingest->writer, err) &&
              (ingest->part10 || write_meta(ingest, err));
    if (!ok) {
        ingest_close(ingest);
        return false;
    }
    *out = ingest;
    return true;
}

void ingest_close(struct ingest *ingest)
{
    if (!ingest)
        return;
    release_work(ingest);
    buffer_release(&ingest->originals);
    free(ingest);
}

const struct identity *ingest_identity(const struct ingest *ingest)
{
    return &ingest->identity;
}

static bool check_open(struct ingest *ingest, struct error *err)
{
    if (ingest->error.code != ERROR_NONE)
        return fail(ingest, &ingest->error, err);
    if (!ingest->writer)
        return error_set(err, ERROR_INVALID, "the instance was committed already");
    return true;
}

bool ingest_space(struct ingest *ingest, size_t wanted, struct space *space, struct error *err)
{
    struct error error = { 0 };
    if (!check_open(ingest, err))
        return false;
    if (!blob_writer_space(ingest->writer, wanted ? wanted : 1, &ingest->space, &error))
        return fail(ingest, &error, err);
    *space = ingest->space;
    return true;
}

static bool take_scan_memory(struct ingest *ingest, struct error *err)
{
    size_t memory = scan_memory(ingest->scan);
    if (memory <= SCAN_FREE + ingest->scan_bytes)
        return true;
    uint64_t more = memory - SCAN_FREE - ingest->scan_bytes;
    ingest->scan_bytes += more;
    if (atomic_fetch_add(&ingest->archive->scan_bytes, more) + more > SCAN_BYTES)
        return error_set(err, ERROR_NO_SPACE, "too many large headers at once");
    return true;
}

static bool scan_bytes(struct ingest *ingest, struct slice bytes, struct error *err)
{
    while (bytes.size) {
        struct slice piece = slice_take(bytes, SCAN_PIECE);
        if (!scan_write(ingest->scan, piece, err) || !take_scan_memory(ingest, err))
            return false;
        bytes = slice_skip(bytes, piece.size);
    }
    return true;
}

/* Reads the File Meta Information of a Part 10 file as soon as it is there, and scans what stands
 * behind it. Looked for again only when a quarter more has come, so that a peer who sends byte by
 * byte costs no more than others. */
static bool read_meta(struct ingest *ingest, bool is_end, struct error *err)
{
    struct slice bytes = blob_writer_bytes(ingest->writer);
    struct file_meta meta;
    bool complete;
    if (bytes.size < ingest->next_meta_try && !is_end)
        return true;
    ingest->next_meta_try = bytes.size + bytes.size / 4;
    if (!file_meta_read(bytes, &meta, &complete, err))
        return false;
    if (!complete && is_end)
        return error_set(err, ERROR_INVALID, "the file ends in its File Meta Information");
    if (!complete)
        return true;
    memcpy(ingest->transfer_syntax, meta.transfer_syntax, UID_SIZE);
    memcpy(ingest->source_ae, meta.source_ae, sizeof(ingest->source_ae));
    if (!ingest->sop_class[0])
        memcpy(ingest->identity.sop_class, meta.sop_class, UID_SIZE);
    if (!ingest->sop_instance[0])
        memcpy(ingest->identity.instance, meta.sop_instance, UID_SIZE);
    ingest->dataset_offset = meta.size;
    return begin_dataset(ingest) && scan_bytes(ingest, slice_skip(bytes, meta.size), err);
}

bool ingest_advance(struct ingest *ingest, size_t size, struct error *err)
{
    struct error error = { 0 };
    if (!check_open(ingest, err))
        return false;
    if (size > ingest->space.size)
        return error_set(err, ERROR_LIMIT, "more bytes than there was room for");
    struct slice bytes = slice_of(ingest->space.data, size);
    ingest->space.data += size;
    ingest->space.size -= size;
    bool ok = (!ingest->scan || scan_bytes(ingest, bytes, &error)) &&
              blob_writer_advance(ingest->writer, size, &error) &&
              (ingest->scan || read_meta(ingest, false, &error));
    return ok || fail(ingest, &error, err);
}

bool ingest_write(struct ingest *ingest, struct slice bytes, struct error *err)
{
    struct space space;
    while (bytes.size) {
        if (!ingest_space(ingest, bytes.size, &space, err))
            return false;
        memcpy(space.data, bytes.data, space.size);
        if (!ingest_advance(ingest, space.size, err))
            return false;
        bytes = slice_skip(bytes, space.size);
    }
    return true;
}

/* The commit. */

static bool check_same(const char *asked, const char *found, uint32_t tag, const char *where,
                       struct error *err)
{
    if (!asked[0] || strcmp(asked, found) == 0)
        return true;
    return error_set_tag(err, ERROR_MISMATCH, tag, "(%04X,%04X) is not that of the %s", tag >> 16,
                         tag & 0xFFFF, where);
}

/* PS3.4 B.2.3: what does not fit its SOP class or the command is refused. */
static bool check_identity(struct ingest *ingest, const struct identity *identity,
                           struct error *err)
{
    const struct identity found = *identity;
    ingest->identity = found;
    if (!check_same(ingest->sop_class, found.sop_class, TAG_SOP_CLASS_UID, "command", err) ||
        !check_same(ingest->sop_instance, found.instance, TAG_SOP_INSTANCE_UID, "command", err) ||
        !check_same(ingest->study, found.study, TAG_STUDY_INSTANCE_UID, "study", err))
        return false;
    if (!ingest->archive->refuse_unknown_sop_classes)
        return true;
    const struct sop_class *sop_class = sop_class_find(slice_text(found.sop_class));
    if (!sop_class ||
        (sop_class->kind != SOP_CLASS_STORAGE && sop_class->kind != SOP_CLASS_STORAGE_RETIRED))
        return error_set_tag(err, ERROR_UNSUPPORTED, TAG_SOP_CLASS_UID,
                             "instances of this SOP class are not stored here");
    return true;
}

static bool open_header(struct ingest *ingest, struct prepared *prepared, struct error *err)
{
    if (ingest->part10 && !ingest->scan && !read_meta(ingest, true, err))
        return false;
    memcpy(prepared->record.transfer_syntax, ingest->transfer_syntax, UID_SIZE);
    return prepare_header(prepared, ingest->scan, err);
}

/* Study and series summaries are needed by the first instance of a series only; otherwise the tree
 * finds out in the write turn what is missing. */
static bool build_summaries(struct ingest *ingest, struct prepared *prepared, struct error *err)
{
    const struct identity *identity = &ingest->identity;
    struct series_record series;
    bool found;
    series_record_init(&series);
    bool ok = lookup_series(ingest->archive, identity->study, identity->series, &series, &found,
                            err);
    series_record_release(&series);
    if (ok && !found)
        prepare_summaries(prepared);
    return ok;
}

/* A version is never stored in the same millisecond as what takes its place, or later (a clock that
 * was set back), so that a walk over the segments finds them in their order. */
static void set_time(struct ingest *ingest, struct instance_record *record)
{
    int64_t now_us = clock_unix_us();
    int64_t least_us = ingest->may_replace ? (ingest->rival_stored_at_ms + 1) * 1000 : 0;
    ingest->stored_at_us = now_us > least_us ? now_us : least_us;
    record->stored_at_ms = ingest->stored_at_us / 1000;
}

static bool fill_record(struct ingest *ingest, struct prepared *prepared, struct error *err)
{
    struct instance_record *record = &prepared->record;
    set_time(ingest, record);
    record->dataset_offset = ingest->dataset_offset;
    record->amended = ingest->amends;
    memcpy(record->source_ae, ingest->source_ae, sizeof(record->source_ae));
    prepare_record(prepared);
    return build_summaries(ingest, prepared, err);
}

static bool conflict(struct error *err)
{
    /* Fits into an Error Comment, which is 64 characters; who logs it names the instance. */
    return error_set_tag(err, ERROR_CONFLICT, TAG_SOP_INSTANCE_UID,
                         "other content is stored already under this SOP Instance UID");
}

/* What stands there now, and whether it may be replaced. In the write turn it must still be the
 * same. */
static bool look_at_rival(struct ingest *ingest, const struct prepared *prepared,
                          const struct identity *place, struct error *err)
{
    struct archive *archive = ingest->archive;
    struct instance_record record;
    struct document document = document_init();
    struct identity rival = *place;
    bool found, has_header = false;
    ingest->may_replace = false;
    if (archive->on_conflict != CONFLICT_REPLACES && !ingest->amends)
        return true;
    instance_record_init(&record);
    bool ok = lookup_instance(archive, place, &record, &found, err) &&
              (!found || document_load(archive, place, &document, &has_header, err));
    if (ok && has_header) {
        memcpy(rival.sop_class, record.sop_class, UID_SIZE);
        ingest->may_replace = version_may_follow(&prepared->identity, prepared->header, &rival,
                                                 document.dataset, ingest->amends);
        ingest->was_amended = record.amended;
        ingest->rival_created = record.created;
        ingest->rival_stored_at_ms = record.stored_at_ms;
    }
    document_release(&document);
    instance_record_release(&record);
    return ok;
}

/* *is_duplicate is left false when nothing is stored under the SOP Instance UID (any more),
 * and when what is stored may be replaced. */
static bool compare_with(struct ingest *ingest, const struct prepared *prepared,
                         const struct identity *place, bool *is_duplicate, struct error *err)
{
    enum comparison comparison;
    if (!look_at_rival(ingest, prepared, place, err) ||
        !content_compare(ingest->archive, &prepared->content, &ingest->identity,
                         ingest->transfer_syntax, place, &comparison, err))
        return false;
    *is_duplicate = comparison == COMPARISON_SAME;
    return comparison != COMPARISON_OTHER || ingest->may_replace || conflict(err);
}

/* An instance that is here already is found before anything is written, if it is small enough to
 * be still in memory. */
static bool find_duplicate(struct ingest *ingest, struct prepared *prepared, bool *is_duplicate,
                           struct error *err)
{
    struct slice file = blob_writer_bytes(ingest->writer);
    struct identity place;
    bool found;
    prepared->content.offset = ingest->dataset_offset;
    prepared->content.size = blob_writer_size(ingest->writer) - ingest->dataset_offset;
    if (!file.data)
        return true;
    prepared->content.bytes = slice_skip(file, (size_t)ingest->dataset_offset);
    return lookup_place(ingest->archive, ingest->identity.instance, &place, &found, err) &&
           (!found || compare_with(ingest, prepared, &place, is_duplicate, err));
}

/* Whether it will take the place of another one is known only in the write turn; so the key tells
 * what the policy is. */
static void blob_key(const struct ingest *ingest, struct key *key)
{
    const struct blob_facts facts = {
        .stored_at_us = ingest->stored_at_us,
        .replaces = ingest->archive->on_conflict == CONFLICT_REPLACES,
        .amends = ingest->amends,
    };
    blob_key_encode(key, &ingest->identity, &facts);
}

static bool finish_blob(struct ingest *ingest, struct prepared *prepared, struct error *err)
{
    struct key key;
    blob_key(ingest, &key);
    blob_writer_set_key(ingest->writer, key_slice(&key));
    return blob_writer_finish(ingest->writer, &prepared->record.blob, err);
}

/* The blob once more, with a key that tells a time behind that of a rival who was faster. */
static bool renew_blob(struct ingest *ingest, struct prepared *prepared, struct error *err)
{
    struct storage *storage = ingest->archive->storage;
    struct instance_record *record = &prepared->record;
    struct blob_id old = record->blob, fresh;
    struct blob *blob = NULL;
    struct key key;
    set_time(ingest, record);
    blob_key(ingest, &key);
    if (!blob_open(storage, &old, &blob, err))
        return false;
    bool ok = blob_copy(storage, blob, &old, key_slice(&key), &fresh, err);
    blob_close(blob);
    if (!ok)
        return false;
    record->blob = fresh;
    blob_discard(storage, &old, NULL);
    if (!prepared->content.blob)
        return true;
    blob_close(prepared->content.blob);
    prepared->content.blob = NULL;
    return blob_open(storage, &fresh, &prepared->content.blob, err);
}

/* Whether what was looked at is what is there, and older. */
static bool find_rival(const struct ingest *ingest, const struct prepared *prepared,
                       struct transaction *transaction, struct instance_record *rival,
                       bool *replaceable, struct error *err)
{
    *replaceable = false;
    if (!ingest->may_replace)
        return true;
    if (!prepared_rival(prepared, transaction, rival, err))
        return false;
    *replaceable = rival->created == ingest->rival_created &&
                   rival->stored_at_ms < prepared->record.stored_at_ms;
    return true;
}

static bool is_own_place(const struct ingest *ingest, const struct identity *place)
{
    return strcmp(place->study, ingest->identity.study) == 0 &&
           strcmp(place->series, ingest->identity.series) == 0;
}

static bool put_into_tree(struct ingest *ingest, struct prepared *prepared,
                          struct transaction *transaction, const struct instance_record *rival,
                          struct error *err)
{
    struct archive *archive = ingest->archive;
    size_t kept = !ingest->amends       ? archive->versions_kept
                  : ingest->was_amended ? VERSION_DROPPED
                                        : 0;
    bool is_noticed = false;
    struct tree tree;
    if (rival)
        atomic_fetch_add(&archive->replacing, 1);
    bool ok = tree_open(&tree, archive, transaction, ingest->identity.study, err) &&
              prepared_replace(prepared, &tree, rival, kept, err) &&
              (ingest->amends || registration_notice(archive, transaction, prepared->header,
                                                     ingest->identity.study, &is_noticed, err)) &&
              tree_save(&tree, err) && transaction_commit(transaction, err);
    tree_close(&tree);
    if (rival)
        atomic_fetch_add(&archive->replaced, 1);
    if (ok && is_noticed)
        registration_wake(archive);
    return ok;
}

/* One try in the write turn. *place is filled when somebody else was faster. */
static bool add_to_index(struct ingest *ingest, struct prepared *prepared, struct identity *place,
                         bool *taken, struct error *err)
{
    struct transaction *transaction = NULL;
    struct instance_record rival;
    bool replaces = false;
    if (!transaction_open(ingest->archive->storage, &transaction, err))
        return false;
    instance_record_init(&rival);
    bool ok = prepared_is_taken(prepared, transaction, place, taken, err);
    if (ok && *taken && is_own_place(ingest, place))
        ok = find_rival(ingest, prepared, transaction, &rival, &replaces, err);
    if (ok && replaces && !ingest->amends) /* what was received stays beside what amends it */
        ok = hold_check(transaction, place->study, err);
    if (ok && (!*taken || replaces)) {
        ok = put_into_tree(ingest, prepared, transaction, replaces ? &rival : NULL, err);
        *taken = false;
        ingest->replaced = ok && replaces;
    }
    transaction_close(transaction);
    instance_record_release(&rival);
    return ok;
}

static bool store(struct ingest *ingest, struct prepared *prepared, bool *is_duplicate,
                  struct error *err)
{
    for (int i = 0; i < STORE_TRIES; i++) {
        struct identity place = { 0 };
        bool taken;
        if (!add_to_index(ingest, prepared, &place, &taken, err))
            return false;
        if (!taken)
            return true;
        memcpy(place.instance, ingest->identity.instance, UID_SIZE);
        if (!compare_with(ingest, prepared, &place, is_duplicate, err))
            return false;
        if (*is_duplicate)
            return true;
        if (ingest->may_replace && prepared->record.stored_at_ms <= ingest->rival_stored_at_ms &&
            !renew_blob(ingest, prepared, err))
            return false;
    }
    return error_set(err, ERROR_BUSY, "instance %s is stored and deleted all the time",
                     ingest->identity.instance);
}

/* The blob is durable before anything refers to it, and is given back when nothing does. */
static bool store_blob(struct ingest *ingest, struct prepared *prepared, bool *is_duplicate,
                       struct error *err)
{
    struct storage *storage = ingest->archive->storage;
    const struct blob_id *id = &prepared->record.blob;
    unsigned side = archive_writing_begin(ingest->archive);
    if (!finish_blob(ingest, prepared, err)) {
        archive_writing_end(ingest->archive, side);
        return false;
    }
    bool ok = prepared->content.bytes.data || blob_open(storage, id, &prepared->content.blob, err);
    ok = ok && prepare_frames(prepared, ingest->scan, err) &&
         store(ingest, prepared, is_duplicate, err);
    if (!ok || *is_duplicate)
        blob_discard(storage, id, NULL);
    archive_writing_end(ingest->archive, side);
    return ok;
}

static bool open_commit(struct ingest *ingest, struct prepared *prepared, struct error *err)
{
    return open_header(ingest, prepared, err) && prepare_identity(prepared, err) &&
           check_identity(ingest, &prepared->identity, err);
}

static bool commit(struct ingest *ingest, struct prepared *prepared, bool *is_duplicate,
                   struct error *err)
{
    bool is_done;
    if (!find_duplicate(ingest, prepared, is_duplicate, err))
        return false;
    is_done = *is_duplicate || (ingest->only_compare && prepared->content.bytes.data);
    return is_done ||
           (archive_has_space(ingest->archive, err) && fill_record(ingest, prepared, err) &&
            store_blob(ingest, prepared, is_duplicate, err));
}

/* Coercion (PS3.4 B.4.1.3): the bytes with their edits go the way of any other instance. */

static bool write_part(struct ingest *from, uint64_t offset, uint64_t size, struct ingest *to,
                       struct error *err)
{
    uint8_t *piece = mem_resize(NULL, COPY_PIECE);
    bool ok = true;
    while (ok && size) {
        struct space space = { piece, size < COPY_PIECE ? (size_t)size : COPY_PIECE };
        ok = blob_writer_read(from->writer, offset, space, err) &&
             ingest_write(to, slice_of(space.data, space.size), err);
        offset += space.size;
        size -= space.size;
    }
    free(piece);
    return ok;
}

static bool write_edited(struct ingest *from, const struct edit_list *edits, struct ingest *to,
                         struct error *err)
{
    struct slice inserted = buffer_slice(&edits->bytes);
    uint64_t base = from->dataset_offset;
    uint64_t at = from->part10 ? 0 : base; /* File Meta of a bare data set is written anew */
    for (size_t i = 0; i < edits->count; i++) {
        const struct edit *edit = &edits->edits[i];
        if (!write_part(from, at, base + edit->offset - at, to, err) ||
            !ingest_write(to, slice_take(inserted, edit->inserted), err))
            return false;
        inserted = slice_skip(inserted, edit->inserted);
        at = base + edit->offset + edit->removed;
    }
    return write_part(from, at, blob_writer_size(from->writer) - at, to, err);
}

/* *outcome is as it was when the result is not a duplicate and was only to be compared. */
static bool store_edited(struct ingest *ingest, const struct edit_list *edits, bool only_compare,
                         enum ingest_outcome *outcome, struct error *err)
{
    const struct ingest_options options = {
        .part10 = ingest->part10,
        .transfer_syntax = ingest->transfer_syntax,
        .sop_class = ingest->sop_class,
        .sop_instance = ingest->sop_instance,
        .study = ingest->study,
        .source_ae = ingest->calling_ae,
    };
    struct ingest *edited = NULL;
    if (!ingest_open(ingest->archive, &options, &edited, err))
        return false;
    edited->is_coerced = true;
    edited->only_compare = only_compare;
    bool ok = write_edited(ingest, edits, edited, err) && ingest_commit(edited, outcome, err);
    ingest->identity = edited->identity;
    ingest_close(edited);
    return ok;
}

/* When the instance was coerced before: sent again it must become the same bytes. */
static bool find_earlier(struct ingest *ingest, char date_time[27], struct error *err)
{
    static const uint32_t sequence = 0x04000561, modified_at = 0x04000562;
    struct document document = document_init();
    struct identity place;
    bool found, has_header = false;
    date_time[0] = '\0';
    bool ok = lookup_place(ingest->archive, ingest->identity.instance, &place, &found, err) &&
              (!found || document_load(ingest->archive, &place, &document, &has_header, err));
    size_t count = ok && has_header ? dataset_item_count(document.dataset, sequence) : 0;
    struct dataset *item = count ? dataset_item(document.dataset, sequence, count - 1) : NULL;
    if (item)
        dataset_string(item, modified_at, date_time, 27);
    dataset_close(item);
    document_release(&document);
    return ok;
}

static bool store_with(struct ingest *ingest, const struct prepared *prepared,
                       const struct coercion_set *set, const char *date_time, bool only_compare,
                       enum ingest_outcome *outcome, struct error *err)
{
    const struct coercion_note note = { date_time, ingest->archive->ae_title, ingest->calling_ae };
    struct edit_list edits;
    buffer_clear(&ingest->originals);
    bool ok = coerce_edits(prepared->header, set->coercions, set->count, &note, &edits, err) &&
              coerce_items(prepared->header, set->coercions, set->count, &note, &ingest->originals,
                           err) &&
              store_edited(ingest, &edits, only_compare, outcome, err);
    edit_list_release(&edits);
    return ok;
}

/* *is_stored false when no rule changes anything. */
static bool coerce(struct ingest *ingest, const struct prepared *prepared,
                   enum ingest_outcome *outcome, bool *is_stored, struct error *err)
{
    struct coercion_set set;
    char date_time[27];
    *is_stored = false;
    if (ingest->is_coerced || !ingest->archive->coercion)
        return true;
    bool ok = coercion_set_make(ingest->archive->coercion, ingest->calling_ae, prepared->header,
                                &set, err);
    if (!ok || !set.count)
        goto out;
    ok = find_earlier(ingest, date_time, err);
    *outcome = INGEST_STORED;
    if (ok && date_time[0])
        ok = store_with(ingest, prepared, &set, date_time, true, outcome, err);
    if (ok && (!date_time[0] || *outcome == INGEST_DIFFERENT)) {
        coercion_date_time(date_time);
        ok = store_with(ingest, prepared, &set, date_time, false, outcome, err);
    }
    *is_stored = ok;
    for (size_t i = 0; i < set.count; i++)
        ingest->coerced[i] = set.coercions[i].tag;
    ingest->coerced_count = ok ? set.count : 0;
out:
    coercion_set_release(&set);
    return ok;
}

const uint32_t *ingest_coerced(const struct ingest *ingest, size_t *count)
{
    *count = ingest->coerced_count;
    return ingest->coerced;
}

struct slice ingest_original_attributes(const struct ingest *ingest)
{
    return ingest->coerced_count ? buffer_slice(&ingest->originals) : slice_of(NULL, 0);
}

static enum ingest_outcome note_outcome(const struct ingest *ingest, bool is_duplicate,
                                        uint64_t size)
{
    if (ingest->only_compare && !is_duplicate && !ingest->stored_at_us)
        return INGEST_DIFFERENT;
    metric_add(is_duplicate       ? METRIC_INSTANCES_DUPLICATE
               : ingest->replaced ? METRIC_INSTANCES_REPLACED
                                  : METRIC_INSTANCES_STORED,
               1);
    metric_add(METRIC_BYTES_STORED, is_duplicate ? 0 : (int64_t)size);
    return is_duplicate ? INGEST_DUPLICATE : ingest->replaced ? INGEST_REPLACED : INGEST_STORED;
}

bool ingest_commit(struct ingest *ingest, enum ingest_outcome *outcome, struct error *err)
{
    struct prepared prepared;
    struct error error = { 0 };
    bool is_duplicate = false, is_stored = false;
    if (!check_open(ingest, err))
        return false;
    prepared_init(&prepared);
    bool ok = open_commit(ingest, &prepared, &error) &&
              coerce(ingest, &prepared, outcome, &is_stored, &error) &&
              (is_stored || commit(ingest, &prepared, &is_duplicate, &error));
    uint64_t size = prepared.record.blob.size;
    blob_close(prepared.content.blob);
    prepared_release(&prepared);
    if (!ok)
        return fail(ingest, &error, err);
    release_work(ingest);
    if (!is_stored)
        *outcome = note_outcome(ingest, is_duplicate, size);
    return true;
}
