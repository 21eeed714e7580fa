/* SPDX-License-Identifier: MIT */
/* What was stored before a tag was added is indexed a few places at a time, each in a short write
 * turn, in which the place is read as it stands then: whoever stores or deletes meanwhile has done,
 * or will do, the same. How far it is stands in the same transaction, so a crash costs nothing but
 * the last few. */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "archive/document.h"
#include "archive/query_tags.h"
#include "archive/tag_set.h"
#include "archive/tag_terms.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"

enum {
    BATCH_PLACES = 64, /* in one turn; */
    BATCH_US = 3000,   /* for so long about, */
    REST_US = 1000,    /* and so long it is everybody else's */
    BATCH_TERMS = 200, /* that are removed in one turn */
    RETRY_MS = 10000,  /* after an error */
};

struct tag_indexer {
    struct archive *archive;
    pthread_t thread;
    bool stopping; /* guarded by the set's lock */
    unsigned seen; /* changes of the set that were heeded */
};

static bool is_stopping(struct tag_indexer *indexer)
{
    struct tag_set *set = indexer->archive->tags;
    pthread_mutex_lock(&set->lock);
    bool stopping = indexer->stopping;
    pthread_mutex_unlock(&set->lock);
    return stopping;
}

/* The tags that are worked on together: at one level, and as far. */
struct pass {
    struct archive *archive;
    struct transaction *transaction;
    enum level level;
    char kind;
    uint16_t numbers[QUERY_TAG_MAX];
    size_t count;
    struct buffer position;
    uint64_t done;
    bool at_end;
    struct document document;
};

/* One place, in the turn. */

static bool load_header(struct pass *pass, const struct identity *place, struct error *err)
{
    bool found;
    return document_load(pass->archive, place, &pass->document, &found, err);
}

static bool index_study(struct pass *pass, struct slice record, const struct identity *place,
                        struct error *err)
{
    struct study_record study;
    struct identity instance = *place;
    study_record_init(&study);
    bool ok = study_record_decode(record, &study, err);
    memcpy(instance.series, study.source_series, UID_SIZE);
    memcpy(instance.instance, study.source_instance, UID_SIZE);
    ok = ok && load_header(pass, &instance, err);
    const struct tag_source source = { &study.summary, pass->document.dataset, &instance,
                                       clock_unix_ms() };
    ok = ok && tag_terms_update(pass->archive, pass->transaction, LEVEL_STUDY, place, study.stamp,
                                &source, err);
    study_record_release(&study);
    return ok;
}

static bool stamp_of(struct pass *pass, const struct identity *place, uint8_t stamp[STAMP_SIZE],
                     struct error *err)
{
    struct study_record study;
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    bool found;
    study_record_init(&study);
    key_place(&key, RECORD_STUDY, place->study, NULL, NULL);
    bool ok = storage_get(pass->archive->storage, TABLE_RECORD, key_slice(&key), &bytes, &found,
                          err) &&
              (found || error_set(err, ERROR_CORRUPT, "something has no study")) &&
              study_record_decode(buffer_slice(&bytes), &study, err);
    memcpy(stamp, study.stamp, STAMP_SIZE);
    study_record_release(&study);
    buffer_release(&bytes);
    return ok;
}

/* The study, with that of its series which stands for it. */
static bool index_study_of(struct pass *pass, const struct identity *series, struct error *err)
{
    struct identity place = *series;
    struct study_record study;
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    bool found;
    study_record_init(&study);
    place.series[0] = '\0';
    key_place(&key, RECORD_STUDY, place.study, NULL, NULL);
    bool ok = storage_get(pass->archive->storage, TABLE_RECORD, key_slice(&key), &bytes, &found,
                          err) &&
              (!found || study_record_decode(buffer_slice(&bytes), &study, err));
    if (ok && found && strcmp(study.source_series, series->series) == 0)
        ok = index_study(pass, buffer_slice(&bytes), &place, err);
    study_record_release(&study);
    buffer_release(&bytes);
    return ok;
}

static bool index_series(struct pass *pass, struct slice record, const struct identity *place,
                         struct error *err)
{
    struct series_record series;
    struct identity instance = *place;
    uint8_t stamp[STAMP_SIZE];
    series_record_init(&series);
    bool ok = series_record_decode(record, &series, err) && stamp_of(pass, place, stamp, err);
    memcpy(instance.instance, series.source_instance, UID_SIZE);
    ok = ok && load_header(pass, &instance, err);
    const struct tag_source source = { &series.summary, pass->document.dataset, &instance,
                                       clock_unix_ms() };
    ok = ok &&
         tag_terms_update(pass->archive, pass->transaction, LEVEL_SERIES, place, stamp, &source,
                          err) &&
         index_study_of(pass, place, err);
    series_record_release(&series);
    return ok;
}

static bool index_instance(struct pass *pass, const struct identity *place, struct error *err)
{
    uint8_t stamp[STAMP_SIZE];
    if (!stamp_of(pass, place, stamp, err) || !load_header(pass, place, err))
        return false;
    const struct tag_source source = { NULL, pass->document.dataset, place, clock_unix_ms() };
    return !source.header || tag_terms_update(pass->archive, pass->transaction, LEVEL_INSTANCE,
                                              place, stamp, &source, err);
}

/* One that cannot be read must not keep the others from their index: a verification tells. */
static bool index_place(struct pass *pass, struct slice key, struct slice record, struct error *err)
{
    struct identity place = { 0 };
    struct error why = { 0 };
    bool ok = key_split_place(slice_skip(key, 1), &place) ||
              error_set(&why, ERROR_CORRUPT, "a key cannot be read");
    if (ok && pass->level == LEVEL_STUDY)
        ok = index_study(pass, record, &place, &why);
    else if (ok && pass->level == LEVEL_SERIES)
        ok = index_series(pass, record, &place, &why);
    else if (ok)
        ok = index_instance(pass, &place, &why);
    if (!ok && why.code == ERROR_CORRUPT) {
        log_warn("query tags: left out study=%s series=%s instance=%s: %s", place.study,
                 place.series, place.instance, why.message);
        return true;
    }
    if (!ok && err)
        *err = why;
    return ok;
}

static bool index_places(struct pass *pass, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct key lower, upper;
    struct slice key, record;
    bool found = true;
    int64_t until_us = clock_monotonic_us() + BATCH_US;
    key_start(&lower, pass->kind);
    key_after_prefix(&upper, key_slice(&lower));
    if (pass->position.size) {
        lower.size = 0;
        key_add(&lower, buffer_slice(&pass->position));
        key_add_byte(&lower, 0);
    }
    bool ok = storage_cursor_open(pass->archive->storage, TABLE_RECORD, key_slice(&lower),
                                  key_slice(&upper), &cursor, err);
    for (int i = 0; ok && i < BATCH_PLACES && (i == 0 || clock_monotonic_us() < until_us); i++) {
        ok = storage_cursor_next(cursor, &key, &record, &found, err);
        if (!ok || !found)
            break;
        ok = index_place(pass, key, record, err);
        buffer_clear(&pass->position);
        buffer_append(&pass->position, key);
        pass->done++;
    }
    pass->at_end = ok && !found;
    storage_cursor_close(cursor);
    return ok;
}

/* Passes. */

static bool choose_tags(struct pass *pass, struct error *err)
{
    static const char kinds[] = { RECORD_PATIENT, RECORD_STUDY, RECORD_SERIES, RECORD_INSTANCE };
    struct tag_set *set = pass->archive->tags;
    struct buffer position = buffer_up_to(KEY_SIZE);
    bool ok = true;
    pass->count = 0;
    for (size_t i = 0; ok && i < set->count; i++) {
        const struct query_tag *tag = &set->tags[i];
        if (tag->status != QUERY_TAG_ADDING || (pass->count && tag->indexed != pass->level))
            continue;
        ok = tag_set_position(pass->archive, tag, &position, err);
        if (!pass->count) {
            pass->level = tag->indexed;
            pass->kind = kinds[tag->indexed];
            buffer_clear(&pass->position);
            buffer_append(&pass->position, buffer_slice(&position));
        }
        if (slice_equal(buffer_slice(&position), buffer_slice(&pass->position)))
            pass->numbers[pass->count++] = tag->number;
    }
    buffer_release(&position);
    return ok;
}

static bool note_progress(struct pass *pass, struct error *err)
{
    struct archive_counts counts;
    if (!archive_count(pass->archive, &counts, err))
        return false;
    const uint64_t of[] = { 0, counts.studies, counts.series, counts.instances };
    for (size_t i = 0; i < pass->count; i++) {
        const struct query_tag *own = tag_set_find(pass->archive->tags, pass->numbers[i]);
        struct query_tag tag = *own;
        tag.done += pass->done;
        tag.of = of[pass->level] > tag.done ? of[pass->level] : tag.done;
        if (pass->at_end) {
            tag.status = QUERY_TAG_READY;
            log_info("query tags: ready number=%u places=%" PRIu64, tag.number, tag.done);
        }
        tag_set_put_at(pass->archive, pass->transaction, &tag,
                       pass->at_end ? slice_of(NULL, 0) : buffer_slice(&pass->position));
    }
    return true;
}

/* *more false when no tag is being added. */
static bool add_some(struct archive *archive, bool *more, struct error *err)
{
    struct pass pass = { .archive = archive,
                         .position = buffer_up_to(KEY_SIZE),
                         .document = document_init() };
    if (!transaction_open(archive->storage, &pass.transaction, err))
        return false;
    bool ok = choose_tags(&pass, err);
    *more = ok && pass.count;
    if (*more) {
        ok = index_places(&pass, err) && note_progress(&pass, err) &&
             (pass.at_end ? transaction_commit(pass.transaction, err)
                          : transaction_commit_unsynced(pass.transaction, err));
        if (ok)
            FAULT_POINT("reindex_batch");
    }
    transaction_close(pass.transaction);
    if (!ok)
        tag_set_take_back(archive);
    document_release(&pass.document);
    buffer_release(&pass.position);
    return ok;
}

/* Removing. */

static bool remove_range(struct archive *archive, struct transaction *transaction, enum table table,
                         const struct key *prefix, bool *at_end, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice key;
    bool found = true;
    bool ok = storage_cursor_open_prefix(archive->storage, table, key_slice(prefix), &cursor, err);
    for (int i = 0; ok && i < BATCH_TERMS; i++) {
        ok = storage_cursor_next(cursor, &key, NULL, &found, err);
        if (!ok || !found)
            break;
        if (table == TABLE_TERM)
            ok = tag_terms_forget(transaction, key, err);
        else
            transaction_delete(transaction, table, key);
    }
    *at_end = ok && !found;
    storage_cursor_close(cursor);
    return ok;
}

static bool remove_some(struct archive *archive, bool *more, struct error *err)
{
    struct transaction *transaction = NULL;
    struct tag_set *set = archive->tags;
    const struct query_tag *tag = NULL;
    struct key terms, errors;
    bool no_terms, no_errors;
    if (!transaction_open(archive->storage, &transaction, err))
        return false;
    for (size_t i = 0; i < set->count && !tag; i++)
        if (set->tags[i].status == QUERY_TAG_DELETING)
            tag = &set->tags[i];
    *more = tag != NULL;
    bool ok = true;
    if (tag) {
        uint16_t number = tag->number;
        tag_key(&terms, number);
        tag_error_key(&errors, number, NULL);
        ok = remove_range(archive, transaction, TABLE_TERM, &terms, &no_terms, err) &&
             remove_range(archive, transaction, TABLE_POSITION, &errors, &no_errors, err);
        bool is_gone = ok && no_terms && no_errors;
        if (is_gone) {
            tag_set_drop(archive, transaction, number);
            log_info("query tags: removed number=%u", number);
        }
        ok = ok && (is_gone ? transaction_commit(transaction, err)
                            : transaction_commit_unsynced(transaction, err));
        if (ok)
            FAULT_POINT("untag_batch");
    }
    transaction_close(transaction);
    if (!ok)
        tag_set_take_back(archive);
    return ok;
}

/* The thread. */

static void sleep_us(long us)
{
    const struct timespec pause = { .tv_nsec = us * 1000 };
    nanosleep(&pause, NULL);
}

/* Until there is nothing to do. */
static bool work(struct tag_indexer *indexer, struct error *err)
{
    bool adds = true, removes = true;
    while ((adds || removes) && !is_stopping(indexer)) {
        if (!add_some(indexer->archive, &adds, err) ||
            !remove_some(indexer->archive, &removes, err))
            return false;
        sleep_us(REST_US);
    }
    return true;
}

static void wait_for_work(struct tag_indexer *indexer, bool soon)
{
    struct tag_set *set = indexer->archive->tags;
    struct timespec deadline = clock_deadline(RETRY_MS);
    int code = 0;
    pthread_mutex_lock(&set->lock);
    while (!indexer->stopping && set->changes == indexer->seen && code == 0)
        code = soon ? pthread_cond_timedwait(&set->changed, &set->lock, &deadline)
                    : pthread_cond_wait(&set->changed, &set->lock);
    indexer->seen = set->changes;
    pthread_mutex_unlock(&set->lock);
}

static void *run(void *argument)
{
    struct tag_indexer *indexer = argument;
    struct error err = { 0 };
    if (!tag_set_save_copy(indexer->archive, &err))
        log_warn("query tags: no copy beside the index: %s", err.message);
    while (!is_stopping(indexer)) {
        bool ok = work(indexer, &err);
        if (!ok)
            log_warn("query tags: not indexed, to be tried again: %s", err.message);
        wait_for_work(indexer, !ok);
    }
    return NULL;
}

bool tag_indexer_open(struct archive *archive, struct tag_indexer **out, struct error *err)
{
    struct tag_indexer *indexer = mem_alloc(sizeof(*indexer));
    indexer->archive = archive;
    int code = pthread_create(&indexer->thread, NULL, run, indexer);
    if (code) {
        free(indexer);
        return error_set_errno(err, code, "no thread for query tags");
    }
    *out = indexer;
    return true;
}

void tag_indexer_close(struct tag_indexer *indexer)
{
    if (!indexer)
        return;
    struct tag_set *set = indexer->archive->tags;
    pthread_mutex_lock(&set->lock);
    indexer->stopping = true;
    pthread_cond_broadcast(&set->changed);
    pthread_mutex_unlock(&set->lock);
    pthread_join(indexer->thread, NULL);
    free(indexer);
}
