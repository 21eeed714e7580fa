/* SPDX-License-Identifier: MIT */
#include "archive/headers.h"

#include <stdlib.h>

#include "archive/document.h"
#include "archive/listing.h"
#include "archive/lookup.h"
#include "base/memory.h"

/* A header document of the present series: where it stands in `bytes`. */
struct place {
    size_t key; /* offset of the SOP Instance UID, behind it the document */
    size_t key_size;
    size_t size;
};

struct headers {
    struct archive *archive;
    size_t memory;
    char study[UID_SIZE];
    struct listing *series;
    struct listing *instances; /* of the present series */
    struct buffer bytes;       /* its documents, in the order of their keys */
    struct buffer places;      /* struct place each */
    bool gathered;             /* all of them are there */
    size_t next;               /* the place behind the one that was found last */
    struct identity identity;
    struct document document; /* of one that was looked up by itself */
    struct dataset *dataset;  /* of one that was gathered */
};

bool headers_change(struct archive *archive, const char *study, const char *series,
                    uint64_t *change, struct error *err)
{
    bool found, ok;
    *change = 0;
    if (is_empty_text(series)) {
        struct study_record record;
        study_record_init(&record);
        ok = lookup_study(archive, study, &record, &found, err);
        if (ok && found)
            *change = record.changed;
        study_record_release(&record);
    } else {
        struct series_record record;
        series_record_init(&record);
        ok = lookup_series(archive, study, series, &record, &found, err);
        if (ok && found)
            *change = record.changed;
        series_record_release(&record);
    }
    return ok;
}

bool headers_open(struct archive *archive, const char *study, const char *series, size_t memory,
                  struct headers **out, struct error *err)
{
    struct headers *headers = mem_alloc(sizeof(*headers));
    struct identity place = { 0 };
    headers->archive = archive;
    headers->memory = memory;
    headers->document = document_init();
    headers->bytes = buffer_up_to(memory);
    headers->places = buffer_up_to(memory);
    bool ok = true;
    if (lookup_is_place(study, series, NULL)) {
        memcpy(headers->study, study, strlen(study) + 1);
        memcpy(place.study, study, strlen(study) + 1);
        if (!is_empty_text(series))
            memcpy(place.series, series, strlen(series) + 1);
        ok = place.series[0]
                 ? listing_open_one(archive, &place, &headers->series, err)
                 : listing_open(archive, RECORD_SERIES, study, NULL, &headers->series, err);
    }
    if (!ok) {
        headers_close(headers);
        return false;
    }
    *out = headers;
    return true;
}

static bool add_place(struct headers *headers, struct slice uid, struct slice document)
{
    struct place place = { headers->bytes.size, uid.size, document.size };
    return buffer_append(&headers->bytes, uid) && buffer_append(&headers->bytes, document) &&
           buffer_append(&headers->places, slice_of(&place, sizeof(place)));
}

/* Reads all documents of a series, if they fit. */
static bool gather(struct headers *headers, const char *series, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct key prefix;
    struct slice key, value;
    bool found = true;
    buffer_clear(&headers->bytes);
    buffer_clear(&headers->places);
    headers->next = 0;
    headers->gathered = headers->memory > 0;
    if (!headers->gathered)
        return true;
    key_children(&prefix, DOCUMENT_HEADER, headers->study, series);
    bool ok = storage_cursor_open_prefix(headers->archive->storage, TABLE_DOCUMENT,
                                         key_slice(&prefix), &cursor, err);
    while (ok && headers->gathered &&
           (ok = storage_cursor_next(cursor, &key, &value, &found, err)) && found)
        headers->gathered = add_place(headers, slice_skip(key, prefix.size), value);
    storage_cursor_close(cursor);
    return ok;
}

/* The listing is taken before the documents are read: what is stored in between is not in it. */
static bool next_series(struct headers *headers, bool *found, struct error *err)
{
    const struct listing_entry *entry = NULL;
    struct identity place;
    *found = false;
    if (!headers->series)
        return true;
    if (!listing_next(headers->series, &entry, err))
        return false;
    *found = entry != NULL;
    return !entry || (listing_place(entry, &place, err) &&
                      listing_open(headers->archive, RECORD_INSTANCE, headers->study, place.series,
                                   &headers->instances, err) &&
                      gather(headers, place.series, err));
}

static struct slice place_uid(const struct headers *headers, size_t index, struct place *place)
{
    memcpy(place, headers->places.data + index * sizeof(*place), sizeof(*place));
    return slice_of(headers->bytes.data + place->key, place->key_size);
}

/* In most series the order of numbers is nearly that of UIDs, or of no relation to it. */
static bool find_place(struct headers *headers, struct place *place)
{
    struct slice uid = slice_text(headers->identity.instance);
    size_t low = 0;
    size_t high = headers->places.size / sizeof(*place);
    if (headers->next < high && slice_equal(place_uid(headers, headers->next, place), uid)) {
        headers->next++;
        return true;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(place_uid(headers, middle, place), uid);
        if (order == 0) {
            headers->next = middle + 1;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static bool load(struct headers *headers, const struct dataset **header, struct error *err)
{
    struct place place;
    bool found;
    *header = NULL;
    dataset_close(headers->dataset);
    headers->dataset = NULL;
    if (!headers->gathered) {
        if (!document_load(headers->archive, &headers->identity, &headers->document, &found, err))
            return false;
        *header = found ? headers->document.dataset : NULL;
        return true;
    }
    if (!find_place(headers, &place))
        return true;
    struct slice bytes = slice_of(headers->bytes.data + place.key + place.key_size, place.size);
    if (!document_open(bytes, &headers->dataset, err))
        return false;
    *header = headers->dataset;
    return true;
}

bool headers_next(struct headers *headers, const struct identity **identity,
                  const struct dataset **header, struct error *err)
{
    const struct listing_entry *entry;
    bool found = true;
    *header = NULL;
    *identity = &headers->identity;
    while (!*header) {
        entry = NULL;
        if (headers->instances && !listing_next(headers->instances, &entry, err))
            return false;
        if (entry) {
            if (!listing_place(entry, &headers->identity, err) || !load(headers, header, err))
                return false;
            continue;
        }
        listing_close(headers->instances);
        headers->instances = NULL;
        if (!next_series(headers, &found, err))
            return false;
        if (!found)
            return true;
    }
    return true;
}

void headers_close(struct headers *headers)
{
    if (!headers)
        return;
    listing_close(headers->series);
    listing_close(headers->instances);
    dataset_close(headers->dataset);
    document_release(&headers->document);
    buffer_release(&headers->bytes);
    buffer_release(&headers->places);
    free(headers);
}
