/* SPDX-License-Identifier: MIT */
#include "archive/retrieve.h"

#include <stdio.h>
#include <stdlib.h>

#include "archive/entry_list.h"
#include "archive/instance.h"
#include "archive/listing.h"
#include "archive/lookup.h"
#include "archive/terms.h"
#include "archive/uid_set.h"
#include "archive/versions.h"
#include "base/memory.h"
#include "dicom/fold.h"
#include "storage/feed.h"

/* Bytes of a list of studies. */
#define LIST_SIZE ((size_t)512 << 20)

struct retrieve {
    struct archive *archive;
    uint64_t until; /* what is stored after the opening does not belong to it */
    bool by_series; /* only those in `series` */
    struct uid_set series;
    struct buffer studies; /* char[UID_SIZE] each */
    size_t study;          /* the next one to load */
    uint64_t count;
    struct entry_list entries; /* of the study loaded last, or all of a list of instances */
    size_t entry;
    struct instance *instance;
};

static bool add_study(struct retrieve *retrieve, const char *uid, struct error *err)
{
    char text[UID_SIZE] = { 0 };
    memcpy(text, uid, strnlen(uid, UID_SIZE - 1));
    buffer_append(&retrieve->studies, slice_of(text, UID_SIZE));
    return buffer_check(&retrieve->studies, "list of studies", err);
}

static bool has_patient(const struct study_record *study, struct slice patient_id)
{
    struct key key;
    if (!patient_id.size)
        return true;
    key_patient(&key, patient_id, slice_of(NULL, 0), "");
    return slice_starts_with(buffer_slice(&study->patient_key), slice_skip(key_slice(&key), 1));
}

/* Adds the study when it is there and is the patient's (empty: anybody's). */
static bool add_if_there(struct retrieve *retrieve, const char *uid, struct slice patient_id,
                         struct error *err)
{
    struct study_record record;
    bool found;
    study_record_init(&record);
    bool ok = lookup_study(retrieve->archive, uid, &record, &found, err) &&
              (!found || !has_patient(&record, patient_id) || add_study(retrieve, uid, err));
    study_record_release(&record);
    return ok;
}

static bool add_listed(struct retrieve *retrieve, const struct uid_set *studies,
                       struct slice patient_id, struct error *err)
{
    for (size_t i = 0; i < studies->count; i++) {
        if (!add_if_there(retrieve, studies->uids[i], patient_id, err))
            return false;
    }
    return true;
}

/* A term is a candidate only: long values are cut in it. */
static bool add_of_patient(struct retrieve *retrieve, struct slice patient_id, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct key prefix;
    struct slice key, stamp, study;
    char uid[UID_SIZE];
    bool found = true;
    term_value_key(&prefix, TERM_PATIENT_ID, patient_id);
    bool ok = storage_cursor_open_prefix(retrieve->archive->storage, TABLE_TERM, key_slice(&prefix),
                                         &cursor, err);
    while (ok && (ok = storage_cursor_next(cursor, &key, NULL, &found, err)) && found) {
        if (term_split(key, &stamp, &study) && uid_copy(study, uid))
            ok = add_if_there(retrieve, uid, patient_id, err);
    }
    storage_cursor_close(cursor);
    return ok;
}

/* The studies that hold a series of the list, each once. */
static bool add_of_series(struct retrieve *retrieve, struct slice patient_id, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct buffer list = buffer_up_to(LIST_SIZE);
    struct key prefix;
    struct slice key;
    bool ok = true;
    for (size_t i = 0; ok && i < retrieve->series.count; i++) {
        bool found = true;
        term_series_key(&prefix, retrieve->series.uids[i]);
        ok = storage_cursor_open_prefix(retrieve->archive->storage, TABLE_TERM, key_slice(&prefix),
                                        &cursor, err);
        while (ok && (ok = storage_cursor_next(cursor, &key, NULL, &found, err)) && found) {
            buffer_append(&list, slice_skip(key, prefix.size));
            buffer_append_byte(&list, '\\');
        }
        storage_cursor_close(cursor);
        cursor = NULL;
    }
    ok = ok && buffer_check(&list, "list of studies", err);
    if (ok) {
        struct uid_set studies = uid_set_read(buffer_text(&list));
        ok = add_listed(retrieve, &studies, patient_id, err);
        uid_set_release(&studies);
    }
    buffer_release(&list);
    return ok;
}

/* What was there at the opening; also when other bytes have taken its place since. */
static bool belongs(struct retrieve *retrieve, const struct identity *place, uint64_t created,
                    bool *belongs, struct error *err)
{
    *belongs = created <= retrieve->until;
    return *belongs || version_was_there(retrieve->archive, place, retrieve->until, belongs, err);
}

static bool add_record(struct retrieve *retrieve, struct slice key, struct slice value,
                       int64_t series_number, struct error *err)
{
    char transfer_syntax[UID_SIZE];
    struct identity identity = { 0 };
    bool is_meant = false;
    int64_t number;
    uint64_t created;
    if (!key_split_place(slice_skip(key, 1), &identity) ||
        !record_order(value, &number, &created) || !record_syntax(value, transfer_syntax))
        return error_set(err, ERROR_CORRUPT, "an instance record of the index cannot be read");
    return belongs(retrieve, &identity, created, &is_meant, err) &&
           (!is_meant || entry_list_add(&retrieve->entries, &identity, series_number, number,
                                        transfer_syntax, err));
}

/* In the order of the index: they are sorted together. */
static bool load_series(struct retrieve *retrieve, const struct identity *series, int64_t number,
                        struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice key, value;
    struct key prefix;
    bool found = true;
    key_children(&prefix, RECORD_INSTANCE, series->study, series->series);
    bool ok = storage_cursor_open_prefix(retrieve->archive->storage, TABLE_RECORD,
                                         key_slice(&prefix), &cursor, err);
    while (ok && (ok = storage_cursor_next(cursor, &key, &value, &found, err)) && found)
        ok = add_record(retrieve, key, value, number, err);
    storage_cursor_close(cursor);
    return ok;
}

/* Fills the entries with those of a study. */
static bool load_study(struct retrieve *retrieve, size_t study, struct error *err)
{
    struct listing *listing = NULL;
    const struct listing_entry *listed;
    const char *uid = (const char *)retrieve->studies.data + study * UID_SIZE;
    entry_list_clear(&retrieve->entries);
    retrieve->entry = 0;
    bool ok = listing_open(retrieve->archive, RECORD_SERIES, uid, NULL, &listing, err);
    while (ok && (ok = listing_next(listing, &listed, err)) && listed) {
        struct identity identity;
        ok = listing_place(listed, &identity, err);
        if (ok && (!retrieve->by_series || uid_set_has(&retrieve->series, identity.series)))
            ok = load_series(retrieve, &identity, listed->number, err);
    }
    listing_close(listing);
    if (ok)
        entry_list_sort(&retrieve->entries);
    return ok;
}

static size_t study_count(const struct retrieve *retrieve)
{
    return retrieve->studies.size / UID_SIZE;
}

/* Counts all, and leaves the last study loaded: with one study, which is the rule, nothing is read
 * twice. */
static bool count_studies(struct retrieve *retrieve, struct error *err)
{
    for (size_t i = 0; i < study_count(retrieve); i++) {
        if (!load_study(retrieve, i, err))
            return false;
        retrieve->count += entry_list_count(&retrieve->entries);
    }
    retrieve->study = study_count(retrieve) == 1 ? 1 : 0;
    if (study_count(retrieve) != 1)
        entry_list_clear(&retrieve->entries);
    return true;
}

static bool open_studies(struct retrieve *retrieve, const struct selection *selection,
                         struct slice patient_id, struct error *err)
{
    struct uid_set studies = uid_set_read(selection->studies);
    bool ok = true;
    retrieve->by_series = !is_empty_text(selection->series);
    retrieve->series = uid_set_read(selection->series);
    if (!is_empty_text(selection->studies))
        ok = add_listed(retrieve, &studies, patient_id, err);
    else if (retrieve->by_series)
        ok = add_of_series(retrieve, patient_id, err);
    else if (patient_id.size)
        ok = add_of_patient(retrieve, patient_id, err);
    uid_set_release(&studies);
    return ok && count_studies(retrieve, err);
}

/* Which of the instances of a list are meant. */
struct filter {
    struct uid_set studies;
    struct uid_set series;
    bool by_study;
    bool by_series;
    struct slice patient_id;
};

static bool passes(struct retrieve *retrieve, const struct filter *filter,
                   const struct identity *place, bool *pass, struct error *err)
{
    *pass = (!filter->by_study || uid_set_has(&filter->studies, place->study)) &&
            (!filter->by_series || uid_set_has(&filter->series, place->series));
    if (!*pass || !filter->patient_id.size)
        return true;
    struct study_record study;
    study_record_init(&study);
    bool ok = lookup_study(retrieve->archive, place->study, &study, pass, err);
    *pass = ok && *pass && has_patient(&study, filter->patient_id);
    study_record_release(&study);
    return ok;
}

static bool add_instance(struct retrieve *retrieve, const struct identity *place, struct error *err)
{
    struct instance_record instance;
    struct series_record series;
    bool found, series_found;
    instance_record_init(&instance);
    series_record_init(&series);
    bool ok = lookup_instance(retrieve->archive, place, &instance, &found, err) &&
              lookup_series(retrieve->archive, place->study, place->series, &series, &series_found,
                            err);
    if (ok && found && !belongs(retrieve, place, instance.created, &found, err))
        ok = false;
    if (ok && found)
        ok = entry_list_add(&retrieve->entries, place, series.number, instance.number,
                            instance.transfer_syntax, err);
    instance_record_release(&instance);
    series_record_release(&series);
    return ok;
}

/* Instances by their UIDs are found one by one: each is often asked for by itself, and its study
 * may hold thousands. */
static bool open_instances(struct retrieve *retrieve, const struct selection *selection,
                           struct slice patient_id, struct error *err)
{
    struct uid_set instances = uid_set_read(selection->instances);
    struct filter filter = {
        .studies = uid_set_read(selection->studies),
        .series = uid_set_read(selection->series),
        .by_study = !is_empty_text(selection->studies),
        .by_series = !is_empty_text(selection->series),
        .patient_id = patient_id,
    };
    bool ok = true;
    for (size_t i = 0; ok && i < instances.count; i++) {
        struct identity place;
        bool found, pass = false;
        ok = lookup_place(retrieve->archive, instances.uids[i], &place, &found, err) &&
             (!found || passes(retrieve, &filter, &place, &pass, err)) &&
             (!pass || add_instance(retrieve, &place, err));
    }
    entry_list_sort(&retrieve->entries);
    retrieve->count = entry_list_count(&retrieve->entries);
    uid_set_release(&instances);
    uid_set_release(&filter.studies);
    uid_set_release(&filter.series);
    return ok;
}

bool retrieve_open(struct archive *archive, const struct selection *selection,
                   struct retrieve **out, struct error *err)
{
    struct retrieve *retrieve = mem_alloc(sizeof(*retrieve));
    struct slice patient_id = fold_trim(slice_text(selection->patient_id));
    retrieve->archive = archive;
    retrieve->until = feed_latest(archive->storage);
    retrieve->studies = buffer_up_to(LIST_SIZE);
    retrieve->entries = entry_list_init();
    bool ok = is_empty_text(selection->instances)
                  ? open_studies(retrieve, selection, patient_id, err)
                  : open_instances(retrieve, selection, patient_id, err);
    if (!ok) {
        retrieve_close(retrieve);
        return false;
    }
    *out = retrieve;
    return true;
}

uint64_t retrieve_count(const struct retrieve *retrieve)
{
    return retrieve->count;
}

const char *retrieve_syntax(const struct retrieve *retrieve, uint64_t index)
{
    if (entry_list_count(&retrieve->entries) != retrieve->count || index >= retrieve->count)
        return NULL;
    return entry_list_syntax(&retrieve->entries, index);
}

static bool next_entry(struct retrieve *retrieve, struct identity *place, bool *found,
                       struct error *err)
{
    while (retrieve->entry == entry_list_count(&retrieve->entries)) {
        *found = retrieve->study < study_count(retrieve);
        if (!*found)
            return true;
        if (!load_study(retrieve, retrieve->study++, err))
            return false;
    }
    entry_list_place(&retrieve->entries, retrieve->entry++, place);
    *found = true;
    return true;
}

bool retrieve_skip(struct retrieve *retrieve, uint64_t count, struct error *err)
{
    struct identity place;
    bool found = true;
    instance_close(retrieve->instance);
    retrieve->instance = NULL;
    for (; count && found; count--)
        if (!next_entry(retrieve, &place, &found, err))
            return false;
    return true;
}

bool retrieve_next(struct retrieve *retrieve, struct instance **instance, struct error *err)
{
    struct identity place;
    bool found = true;
    instance_close(retrieve->instance);
    retrieve->instance = NULL;
    while (!retrieve->instance) {
        if (!next_entry(retrieve, &place, &found, err))
            return false;
        if (!found)
            break;
        if (!instance_load(retrieve->archive, &place, &retrieve->instance, err))
            return false;
    }
    *instance = retrieve->instance;
    return true;
}

void retrieve_rewind(struct retrieve *retrieve)
{
    instance_close(retrieve->instance);
    retrieve->instance = NULL;
    retrieve->entry = 0;
    if (study_count(retrieve) < 2)
        return;
    retrieve->study = 0;
    entry_list_clear(&retrieve->entries);
}

void retrieve_close(struct retrieve *retrieve)
{
    if (!retrieve)
        return;
    instance_close(retrieve->instance);
    uid_set_release(&retrieve->series);
    buffer_release(&retrieve->studies);
    entry_list_release(&retrieve->entries);
    free(retrieve);
}
