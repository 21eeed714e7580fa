/* SPDX-License-Identifier: MIT */
#include "archive/study.h"

#include <stdlib.h>

#include "archive/answer.h"
#include "archive/document.h"
#include "archive/listing.h"
#include "archive/lookup.h"
#include "archive/study_document.h"
#include "base/memory.h"
#include "storage/transaction.h"

enum { READ_TRIES = 4 };

/* A study as it is given out, and what it borrows from. */
struct owned_series {
    struct answer_dataset attributes;
    struct document header;
    struct answer_dataset *instances;
    struct identity *places;
    size_t instance_capacity;
    struct document *documents; /* of each instance; NULL: there are none */
};
struct owned_study {
    struct study study; /* first: this is what callers hold */
    char uid[UID_SIZE];
    struct answer_dataset attributes;
    struct owned_series *series; /* as many as study.series */
    struct identity *places;
    size_t series_capacity;
};

/* What is needed while reading. */
struct reader {
    struct archive *archive;
    struct row row;
    struct query_keys no_keys;
    struct answer of_study;
    struct answer of_series;
    struct answer of_instance;
    struct study_budget budget;
    bool head; /* the first series and the first instance are enough */
};

static struct answer answer_of(enum level from, enum level level)
{
    struct answer answer = answer_init();
    answer.all = true;
    answer.from = from;
    answer_prepare(&answer, level);
    return answer;
}

static void reader_init(struct reader *reader, struct archive *archive)
{
    memset(reader, 0, sizeof(*reader));
    reader->archive = archive;
    reader->budget = study_budget_init();
    row_init(&reader->row, archive);
    reader->of_study = answer_of(LEVEL_PATIENT, LEVEL_STUDY);
    reader->of_series = answer_of(LEVEL_SERIES, LEVEL_SERIES);
    reader->of_instance = answer_of(LEVEL_INSTANCE, LEVEL_INSTANCE);
}

static void reader_release(struct reader *reader)
{
    row_release(&reader->row);
    answer_release(&reader->of_study);
    answer_release(&reader->of_series);
    answer_release(&reader->of_instance);
}

void study_close(struct study *study)
{
    struct owned_study *owned = (struct owned_study *)(void *)study;
    if (!study)
        return;
    for (size_t i = 0; i < study->series_count; i++) {
        struct owned_series *series = &owned->series[i];
        for (size_t k = 0; k < study->series[i].instance_count; k++) {
            answer_dataset_release(&series->instances[k]);
            if (series->documents)
                document_release(&series->documents[k]);
        }
        answer_dataset_release(&series->attributes);
        document_release(&series->header);
        free(series->instances);
        free(series->documents);
        free(series->places);
        free(study->series[i].instances);
    }
    answer_dataset_release(&owned->attributes);
    free(owned->series);
    free(owned->places);
    free(study->series);
    free(owned);
}

static bool add_instance(struct reader *reader, struct study_series *series,
                         struct owned_series *owned, const struct listing_entry *entry,
                         struct error *err)
{
    struct identity place;
    size_t index = series->instance_count;
    if (!listing_place(entry, &place, err) ||
        !row_set_instance(&reader->row, place.instance, entry->value, err) ||
        !answer_write(&reader->of_instance, &reader->row, LEVEL_INSTANCE, &reader->no_keys, err))
        return false;
    if (index == owned->instance_capacity) {
        size_t capacity = index ? index * 2 : 16;
        owned->instances = mem_resize_array(owned->instances, capacity, sizeof(*owned->instances));
        owned->places = mem_resize_array(owned->places, capacity, sizeof(*owned->places));
        owned->instance_capacity = capacity;
    }
    memcpy(place.sop_class, reader->row.instance.sop_class, UID_SIZE);
    owned->places[index] = place;
    owned->instances[index] = answer_take(&reader->of_instance);
    series->instance_count++;
    return true;
}

static bool add_instances(struct reader *reader, const struct identity *place,
                          struct study_series *series, struct owned_series *owned,
                          struct error *err)
{
    struct listing *listing = NULL;
    const struct listing_entry *entry;
    bool ok = listing_open(reader->archive, RECORD_INSTANCE, place->study, place->series, &listing,
                           err);
    while (ok && !(reader->head && series->instance_count) &&
           (ok = listing_next(listing, &entry, err)) && entry)
        ok = add_instance(reader, series, owned, entry, err);
    listing_close(listing);
    return ok;
}

/* The arrays no longer move: now they can be pointed into. */
static void link_instances(struct study_series *series, struct owned_series *owned)
{
    series->attributes = owned->attributes.dataset;
    series->header = owned->header.dataset;
    series->instances = mem_alloc_array(series->instance_count + 1, sizeof(*series->instances));
    for (size_t i = 0; i < series->instance_count; i++) {
        series->instances[i].sop_instance = owned->places[i].instance;
        series->instances[i].sop_class = owned->places[i].sop_class;
        series->instances[i].attributes = owned->instances[i].dataset;
        series->instances[i].document = owned->documents ? owned->documents[i].dataset : NULL;
    }
}

static bool is_document(const struct identity *place)
{
    return sop_class_is_structured_document(place->sop_class) ||
           sop_class_is_encapsulated_document(place->sop_class);
}

static bool add_documents(struct reader *reader, struct owned_study *owned,
                          const struct study_series *series, struct owned_series *parts,
                          bool *whole, struct error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < series->instance_count; i++) {
        bool found = true, beyond = false;
        if (!is_document(&parts->places[i]))
            continue;
        if (!parts->documents) {
            parts->documents = mem_alloc_array(series->instance_count, sizeof(*parts->documents));
            for (size_t k = 0; k < series->instance_count; k++)
                parts->documents[k] = document_init();
        }
        ok = study_document_load(reader->archive, &parts->places[i], &reader->budget,
                                 &parts->documents[i], &found, &beyond, err);
        owned->study.documents_left_out += beyond;
        if (!found)
            *whole = false;
    }
    return ok;
}

static void grow_series(struct owned_study *owned)
{
    size_t count = owned->study.series_count;
    if (count < owned->series_capacity)
        return;
    size_t capacity = count ? count * 2 : 8;
    owned->series = mem_resize_array(owned->series, capacity, sizeof(*owned->series));
    owned->places = mem_resize_array(owned->places, capacity, sizeof(*owned->places));
    owned->study.series = mem_resize_array(owned->study.series, capacity,
                                           sizeof(*owned->study.series));
    owned->series_capacity = capacity;
}

static bool add_series(struct reader *reader, struct owned_study *owned,
                       const struct listing_entry *entry, bool *whole, struct error *err)
{
    struct identity place;
    bool found = false;
    if (!listing_place(entry, &place, err) ||
        !row_set_series(&reader->row, place.series, entry->value, err) ||
        !answer_write(&reader->of_series, &reader->row, LEVEL_SERIES, &reader->no_keys, err))
        return false;
    grow_series(owned);
    size_t index = owned->study.series_count++;
    struct study_series *series = &owned->study.series[index];
    struct owned_series *parts = &owned->series[index];
    memset(series, 0, sizeof(*series));
    memset(parts, 0, sizeof(*parts));
    owned->places[index] = place;
    parts->header = document_init();
    parts->attributes = answer_take(&reader->of_series);
    if (!add_instances(reader, &place, series, parts, err))
        return false;
    if (series->instance_count &&
        !document_load(reader->archive, &parts->places[0], &parts->header, &found, err))
        return false;
    if (!found)
        *whole = false; /* deleted meanwhile */
    return reader->head || add_documents(reader, owned, series, parts, whole, err);
}

static bool read_tree(struct reader *reader, struct owned_study *owned, bool *whole,
                      struct error *err)
{
    struct listing *listing = NULL;
    const struct listing_entry *entry;
    bool ok = answer_write(&reader->of_study, &reader->row, LEVEL_STUDY, &reader->no_keys, err);
    if (ok)
        owned->attributes = answer_take(&reader->of_study);
    ok = ok && listing_open(reader->archive, RECORD_SERIES, owned->uid, NULL, &listing, err);
    while (ok && !(reader->head && owned->study.series_count) &&
           (ok = listing_next(listing, &entry, err)) && entry)
        ok = add_series(reader, owned, entry, whole, err);
    listing_close(listing);
    return ok;
}

static void link_series(struct owned_study *owned)
{
    struct study *study = &owned->study;
    study->uid = owned->uid;
    study->attributes = owned->attributes.dataset;
    for (size_t i = 0; i < study->series_count; i++) {
        study->series[i].uid = owned->places[i].series;
        link_instances(&study->series[i], &owned->series[i]);
    }
    study->header = study->series_count ? study->series[0].header : NULL;
}

/* Reads the study once. *whole tells that nothing in it changed meanwhile: every change of a study
 * gives its record another sequence number. */
static bool read_once(struct archive *archive, const char *uid, bool head, struct study **out,
                      bool *found, bool *whole, struct error *err)
{
    struct reader reader;
    struct owned_study *owned = mem_alloc(sizeof(*owned));
    bool there = true;
    reader_init(&reader, archive);
    reader.head = head;
    memcpy(owned->uid, uid, strlen(uid) + 1);
    *whole = true;
    bool ok = row_load_study(&reader.row, uid, found, err);
    owned->study.change = reader.row.study.changed;
    if (ok && *found)
        ok = read_tree(&reader, owned, whole, err) && row_load_study(&reader.row, uid, &there, err);
    link_series(owned);
    if (!there || reader.row.study.changed != owned->study.change || !owned->study.series_count)
        *whole = false;
    reader_release(&reader);
    if (ok && *found && *whole) {
        *out = &owned->study;
        return true;
    }
    study_close(&owned->study);
    return ok;
}

/* With the write turn nothing changes. For studies that are being stored into all the time. */
static bool read_in_turn(struct archive *archive, const char *uid, bool head, struct study **out,
                         bool *found, struct error *err)
{
    struct transaction *transaction;
    bool whole;
    if (!transaction_open(archive->storage, &transaction, err))
        return false;
    bool ok = read_once(archive, uid, head, out, found, &whole, err);
    transaction_close(transaction);
    if (ok && *found && !whole)
        return error_set(err, ERROR_CORRUPT, "the records of study %s do not fit together", uid);
    return ok;
}

static bool open_study(struct archive *archive, const char *study_uid, bool head,
                       struct study **out, struct error *err)
{
    bool found = false;
    bool whole = false;
    if (!lookup_is_place(study_uid, NULL, NULL))
        return error_set(err, ERROR_NOT_FOUND, "no such study");
    for (int i = 0; i < READ_TRIES && !whole; i++) {
        if (!read_once(archive, study_uid, head, out, &found, &whole, err))
            return false;
        if (!found)
            return lookup_absent(archive, study_uid, NULL, NULL, err);
    }
    if (!whole && !read_in_turn(archive, study_uid, head, out, &found, err))
        return false;
    return found || lookup_absent(archive, study_uid, NULL, NULL, err);
}

bool study_open(struct archive *archive, const char *study_uid, struct study **out,
                struct error *err)
{
    return open_study(archive, study_uid, false, out, err);
}

bool study_open_head(struct archive *archive, const char *study_uid, struct study **out,
                     struct error *err)
{
    return open_study(archive, study_uid, true, out, err);
}

bool study_last_change(struct archive *archive, const char *study_uid, uint64_t *sequence,
                       bool *found, struct error *err)
{
    struct study_record record;
    *found = false;
    if (!lookup_is_place(study_uid, NULL, NULL))
        return true;
    study_record_init(&record);
    bool ok = lookup_study(archive, study_uid, &record, found, err);
    *sequence = *found ? record.changed : 0;
    study_record_release(&record);
    return ok;
}

bool study_gone_at(struct archive *archive, const char *study_uid, int64_t *at_ms, bool *found,
                   struct error *err)
{
    *found = false;
    return !lookup_is_place(study_uid, NULL, NULL) ||
           lookup_gone(archive, study_uid, at_ms, found, err);
}

bool study_next(struct archive *archive, const char *after, char study_uid[UID_SIZE], bool *found,
                struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct identity place = { 0 };
    struct key lower, upper;
    struct slice key;
    key_place(&lower, RECORD_STUDY, after, NULL, NULL);
    if (!is_empty_text(after))
        key_add_byte(&lower, 0); /* just behind it */
    key_start(&upper, RECORD_STUDY + 1);
    bool ok = storage_cursor_open(archive->storage, TABLE_RECORD, key_slice(&lower),
                                  key_slice(&upper), &cursor, err) &&
              storage_cursor_next(cursor, &key, NULL, found, err);
    if (ok && *found)
        ok = key_split_place(slice_skip(key, 1), &place) ||
             error_set(err, ERROR_CORRUPT, "a key of the index cannot be read");
    if (ok && *found)
        memcpy(study_uid, place.study, UID_SIZE);
    storage_cursor_close(cursor);
    return ok;
}
