/* SPDX-License-Identifier: MIT */
/* Every instance record of the index: its blob, its place by SOP Instance UID, its series' term,
 * its header and frames. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "archive/document.h"
#include "archive/lookup.h"
#include "archive/terms.h"
#include "archive/verify_work.h"
#include "archive/versions.h"
#include "dicom/frames.h"

enum { TRIES = 8, SUSPICIONS = 4 };

struct suspicion {
    enum verify_kind kind;
    char message[200];
};

/* One look at one instance. */
struct look {
    struct verify *verify;
    struct identity identity;
    struct instance_record record;
    struct document document;
    struct suspicion suspicions[SUSPICIONS];
    size_t count;
};

static void suspect(struct look *look, enum verify_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void suspect(struct look *look, enum verify_kind kind, const char *format, ...)
{
    va_list arguments;
    if (look->count == SUSPICIONS)
        return;
    struct suspicion *suspicion = &look->suspicions[look->count++];
    suspicion->kind = kind;
    va_start(arguments, format);
    vsnprintf(suspicion->message, sizeof(suspicion->message), format, arguments);
    va_end(arguments);
}

/* True when a read failed for a reason that lies in what was to be read. */
static bool is_damage(const struct error *reason)
{
    return reason->code == ERROR_CORRUPT || reason->code == ERROR_NOT_FOUND ||
           reason->code == ERROR_IO;
}

static bool has_segment(struct look *look, uint32_t number)
{
    struct storage_segment_figures figures = { 0 };
    bool found = false;
    if (number)
        storage_segment_figures(look->verify->archive->storage, number - 1, &figures, &found);
    return found && figures.number == number;
}

static bool look_at_blob(struct look *look, struct blob **blob, struct error *err)
{
    const struct blob_id *id = &look->record.blob;
    struct error reason = { 0 };
    struct stat status;
    if (!blob_open_aside(look->verify->archive->storage, id, blob, &reason)) {
        *blob = NULL;
        if (!is_damage(&reason))
            return error_set(err, reason.code, "%s", reason.message);
        bool missing = reason.code == ERROR_NOT_FOUND || !has_segment(look, id->segment);
        suspect(look, missing ? VERIFY_BLOB_MISSING : VERIFY_BLOB_CORRUPT, "%.180s",
                reason.message);
        return true;
    }
    struct file_range range = blob_range(*blob, 0, id->size);
    /* Otherwise the whole payload is read later, and tells. */
    if (look->verify->options->quick && fstat(range.fd, &status) == 0 &&
        (uint64_t)status.st_size < range.offset + range.size)
        suspect(look, VERIFY_BLOB_CORRUPT, "segment %u ends before its record", id->segment);
    return true;
}

static bool look_at_terms(struct look *look, struct error *err)
{
    const struct identity *identity = &look->identity;
    struct buffer value = buffer_up_to(KEY_SIZE);
    struct key key, place;
    bool found;
    term_instance_key(&key, identity->instance);
    key_place(&place, 0, identity->study, identity->series, NULL);
    bool ok = storage_get(look->verify->archive->storage, TABLE_TERM, key_slice(&key), &value,
                          &found, err);
    if (ok && !found)
        suspect(look, VERIFY_TERM_MISSING, "the term of the SOP Instance UID is missing");
    else if (ok && !slice_equal(buffer_slice(&value), slice_skip(key_slice(&place), 1)))
        suspect(look, VERIFY_TERM_MISSING, "the term of the SOP Instance UID leads elsewhere");
    buffer_release(&value);
    if (!ok)
        return false;
    term_series_key(&key, identity->series);
    key_add(&key, slice_text(identity->study));
    if (!verify_has(look->verify, TABLE_TERM, key_slice(&key), &found, err))
        return false;
    if (!found)
        suspect(look, VERIFY_TERM_MISSING, "the term of the series is missing");
    return true;
}

/* Whether a table of frames can be made of the data set. Nearly every object with pixel data has
 * its table, so this is rarely asked. */
static bool has_frames(struct look *look, struct blob *blob, bool *has, struct error *err)
{
    const struct instance_record *record = &look->record;
    struct scan *scan = scan_new(transfer_syntax_or_private(slice_text(record->transfer_syntax)),
                                 &scan_default_limits);
    struct buffer table = buffer_up_to(DOCUMENT_SIZE);
    struct space space = { look->verify->piece, VERIFY_PIECE_SIZE };
    bool ok = true, readable = true;
    for (uint64_t at = record->dataset_offset; ok && readable && at < record->blob.size;) {
        uint64_t left = record->blob.size - at;
        struct space piece = { space.data, left < space.size ? (size_t)left : space.size };
        readable = blob_read(blob, at, piece, NULL) &&
                   scan_write(scan, slice_of(piece.data, piece.size), NULL);
        at += piece.size;
        ok = verify_step(look->verify, PHASE_INSTANCES, "instances",
                         look->verify->report->instances, look->verify->expected.instances,
                         piece.size, err);
    }
    if (ok && readable && scan_finish(scan, NULL) && look->document.dataset)
        frame_table_build(look->document.dataset, scan_pixel_data(scan), slice_of(NULL, 0),
                          slice_of(NULL, 0), &table);
    *has = table.size > 0;
    buffer_release(&table);
    scan_free(scan);
    return ok;
}

/* The last frame must end within the data set; of a deflated one nobody knows its size. */
static void look_at_table(struct look *look, struct slice table)
{
    const struct instance_record *record = &look->record;
    struct buffer fragments = buffer_up_to(DOCUMENT_SIZE);
    uint32_t count = frame_table_count(table);
    unsigned bit_shift;
    uint64_t size = record->blob.size - record->dataset_offset;
    if (transfer_syntax_or_private(slice_text(record->transfer_syntax))->deflated || !count)
        goto out;
    if (!frame_table_find(table, count, &fragments, &bit_shift, NULL))
        suspect(look, VERIFY_DOCUMENT_WRONG, "the table of frames cannot be read");
    for (size_t at = 0; at + sizeof(struct fragment64) <= fragments.size;
         at += sizeof(struct fragment64)) {
        struct fragment64 fragment;
        memcpy(&fragment, fragments.data + at, sizeof(fragment));
        if (fragment.offset > size || fragment.size > size - fragment.offset) {
            suspect(look, VERIFY_DOCUMENT_WRONG, "the table of frames points behind the end");
            break;
        }
    }
out:
    buffer_release(&fragments);
}

static bool look_at_frames(struct look *look, struct blob *blob, struct error *err)
{
    static const uint32_t tags[] = { TAG_PIXEL_DATA, TAG_FLOAT_PIXEL_DATA,
                                     TAG_DOUBLE_FLOAT_PIXEL_DATA };
    const struct identity *identity = &look->identity;
    struct buffer table = buffer_up_to(DOCUMENT_SIZE);
    struct element element;
    struct key key;
    bool found, has_pixels = false, has = false;
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
        has_pixels |= dataset_find(look->document.dataset, tags[i], &element) && element.size;
    key_place(&key, DOCUMENT_FRAMES, identity->study, identity->series, identity->instance);
    bool ok = storage_get(look->verify->archive->storage, TABLE_DOCUMENT, key_slice(&key), &table,
                          &found, err);
    if (ok && found) {
        look_at_table(look, buffer_slice(&table));
    } else if (ok && has_pixels && blob && !look->verify->options->quick) {
        ok = has_frames(look, blob, &has, err);
        if (ok && has)
            suspect(look, VERIFY_DOCUMENT_WRONG, "the table of frames is missing");
    }
    buffer_release(&table);
    return ok;
}

static bool look_at_document(struct look *look, struct blob *blob, struct error *err)
{
    struct error reason = { 0 };
    bool found = false;
    if (!document_load(look->verify->archive, &look->identity, &look->document, &found, &reason)) {
        if (reason.code != ERROR_CORRUPT)
            return error_set(err, reason.code, "%s", reason.message);
        suspect(look, VERIFY_DOCUMENT_WRONG, "the stored header cannot be read");
        return true;
    }
    if (!found) {
        suspect(look, VERIFY_DOCUMENT_WRONG, "the stored header is missing");
        return true;
    }
    return look_at_frames(look, blob, err);
}

static bool look_once(struct look *look, struct slice bytes, struct error *err)
{
    struct blob *blob = NULL;
    look->count = 0;
    if (!instance_record_decode(bytes, &look->record, NULL)) {
        suspect(look, VERIFY_INDEX_CORRUPT, "the instance record cannot be read");
        return true;
    }
    bool ok = look_at_blob(look, &blob, err) && look_at_terms(look, err) &&
              look_at_document(look, blob, err);
    blob_close(blob);
    return ok;
}

/* A record that is the same before and after the look was there all the time. */
static bool check_instance(struct look *look, struct slice key, struct buffer *bytes,
                           struct error *err)
{
    struct buffer again = buffer_up_to(RECORD_SIZE);
    bool found = true, same = false;
    bool ok = true;
    for (int i = 0; ok && found && !same && i < TRIES; i++) {
        ok = look_once(look, buffer_slice(bytes), err);
        if (!ok || !look->count)
            break;
        ok = storage_get(look->verify->archive->storage, TABLE_RECORD, key, &again, &found, err);
        same = ok && found && slice_equal(buffer_slice(bytes), buffer_slice(&again));
        buffer_clear(bytes);
        buffer_append(bytes, buffer_slice(&again));
    }
    for (size_t i = 0; ok && same && i < look->count; i++)
        verify_found(look->verify, look->suspicions[i].kind, &look->identity, &look->record.blob,
                     "%s", look->suspicions[i].message);
    buffer_release(&again);
    return ok;
}

bool verify_instances(struct verify *verify, struct error *err)
{
    struct look look = { .verify = verify, .document = document_init() };
    struct buffer key_copy = buffer_up_to(SIZE_MAX / 2);
    struct buffer bytes = buffer_up_to(SIZE_MAX / 2);
    struct pages pages;
    struct slice key, value;
    bool found = true;
    bool ok = true;
    instance_record_init(&look.record);
    pages_open_kind(&pages, verify->archive->storage, TABLE_RECORD, RECORD_INSTANCE);
    while (ok && (ok = pages_next(&pages, &key, &value, &found, err)) && found) {
        memset(&look.identity, 0, sizeof(look.identity));
        verify->report->instances++;
        buffer_clear(&key_copy);
        buffer_append(&key_copy, key);
        buffer_clear(&bytes);
        buffer_append(&bytes, value);
        if (!key_split_place(slice_skip(key, 1), &look.identity) || !look.identity.instance[0])
            verify_found(verify, VERIFY_INDEX_CORRUPT, NULL, NULL,
                         "the key of an instance cannot be read");
        else
            ok = check_instance(&look, buffer_slice(&key_copy), &bytes, err);
        ok = ok && verify_step(verify, PHASE_INSTANCES, "instances", verify->report->instances,
                               verify->expected.instances, 0, err);
    }
    pages_close(&pages);
    instance_record_release(&look.record);
    document_release(&look.document);
    buffer_release(&key_copy);
    buffer_release(&bytes);
    return ok;
}

/* Versions. */

static bool look_at_version(struct look *look, struct slice key, struct slice value,
                            struct error *err)
{
    struct blob *blob = NULL;
    struct error reason = { 0 };
    bool found = true;
    look->count = 0;
    if (!version_split_key(key, &look->identity) ||
        !instance_record_decode(value, &look->record, NULL)) {
        suspect(look, VERIFY_INDEX_CORRUPT, "the record of a version cannot be read");
        return true;
    }
    bool ok = look_at_blob(look, &blob, err);
    blob_close(blob);
    struct instance_record instance;
    instance_record_init(&instance);
    if (ok && !lookup_instance(look->verify->archive, &look->identity, &instance, &found, &reason))
        ok = reason.code == ERROR_CORRUPT || error_set(err, reason.code, "%s", reason.message);
    instance_record_release(&instance);
    if (ok && !found)
        suspect(look, VERIFY_INDEX_CORRUPT, "a version of an instance that is not there");
    return ok;
}

/* What is wrong counts when the same record is still there. */
bool verify_versions(struct verify *verify, struct error *err)
{
    struct look look = { .verify = verify, .document = document_init() };
    struct buffer again = buffer_up_to(RECORD_SIZE);
    struct pages pages;
    struct slice key, value;
    bool found = true, there;
    bool ok = true;
    instance_record_init(&look.record);
    pages_open_kind(&pages, verify->archive->storage, TABLE_RECORD, RECORD_OLD_VERSION);
    while (ok && (ok = pages_next(&pages, &key, &value, &found, err)) && found) {
        ok = look_at_version(&look, key, value, err);
        if (ok && look.count)
            ok = storage_get(verify->archive->storage, TABLE_RECORD, key, &again, &there, err);
        for (size_t i = 0; ok && i < look.count && there; i++)
            if (slice_equal(buffer_slice(&again), value))
                verify_found(verify, look.suspicions[i].kind, &look.identity, &look.record.blob,
                             "%s", look.suspicions[i].message);
        ok = ok && verify_step(verify, PHASE_INSTANCES, "instances", verify->report->instances,
                               verify->expected.instances, 0, err);
    }
    pages_close(&pages);
    instance_record_release(&look.record);
    document_release(&look.document);
    buffer_release(&again);
    return ok;
}
