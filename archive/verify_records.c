/* SPDX-License-Identifier: MIT */
/* Every live record of the segments: its bytes, and whether exactly this one is referred to. */
#include <stdio.h>

#include "archive/blob_key.h"
#include "archive/document.h"
#include "archive/lookup.h"
#include "archive/retrieve.h"
#include "archive/verify_work.h"
#include "archive/versions.h"
#include "storage/crc32c.h"

enum { SUSPECTS_SIZE = 4 << 20 };

struct records {
    struct verify *verify;
    uint64_t total; /* bytes, as of the beginning */
    uint64_t done;
    struct instance_record instance;
    struct buffer suspects; /* {blob id, 16-bit size, key} each: to be looked at once more */
};

enum payload { PAYLOAD_WHOLE, PAYLOAD_GONE, PAYLOAD_BROKEN };

static bool step(struct records *records, uint64_t bytes, struct error *err)
{
    records->done += bytes;
    return verify_step(records->verify, PHASE_RECORDS, "bytes", records->done, records->total,
                       bytes, err);
}

/* Read from the disk, not from the page cache, which may know better. */
static bool read_payload(struct records *records, struct blob *blob, uint32_t expected,
                         enum payload *payload, char message[256], struct error *err)
{
    uint32_t crc32c = 0;
    uint64_t size = blob_size(blob);
    struct error reason = { 0 };
    *payload = PAYLOAD_WHOLE;
    for (uint64_t at = 0; at < size && *payload == PAYLOAD_WHOLE;) {
        uint64_t left = size - at;
        struct space space = { records->verify->piece,
                               left < VERIFY_PIECE_SIZE ? (size_t)left : VERIFY_PIECE_SIZE };
        if (!blob_read_disk(blob, at, space, &reason)) {
            *payload = PAYLOAD_BROKEN;
            memcpy(message, reason.message, sizeof(reason.message));
        }
        crc32c = crc32c_extend(crc32c, slice_of(space.data, space.size));
        at += space.size;
        if (!step(records, space.size, err))
            return false;
    }
    if (*payload == PAYLOAD_WHOLE && crc32c != expected) {
        *payload = PAYLOAD_BROKEN;
        snprintf(message, 256, "the bytes do not fit their checksum");
    }
    return true;
}

static bool open_or_gone(struct records *records, const struct blob_id *id, struct blob **blob,
                         enum payload *payload, char message[256])
{
    struct error reason = { 0 };
    if (blob_open_aside(records->verify->archive->storage, id, blob, &reason))
        return true;
    *blob = NULL;
    *payload = reason.code == ERROR_NOT_FOUND ? PAYLOAD_GONE : PAYLOAD_BROKEN;
    memcpy(message, reason.message, sizeof(reason.message));
    return false;
}

/* A part of the data set against a part of the header, from `at` on. */
static bool compare_part(struct records *records, struct blob *blob, uint64_t offset,
                         struct slice header, bool *same, struct error *err)
{
    while (*same && header.size) {
        struct slice piece = slice_take(header, VERIFY_PIECE_SIZE);
        struct space space = { records->verify->piece, piece.size };
        if (!blob_read(blob, offset, space, NULL))
            return true; /* the checksum's business */
        *same = memcmp(space.data, piece.data, piece.size) == 0;
        header = slice_skip(header, piece.size);
        offset += piece.size;
        if (!step(records, 0, err))
            return false;
    }
    return true;
}

/* The header is the data set without what was left out of it. */
static bool compare_header(struct records *records, struct blob *blob,
                           const struct document_parts *parts, bool *same, struct error *err)
{
    uint64_t size = blob_size(blob) - records->instance.dataset_offset;
    struct slice header = parts->header;
    uint64_t at = 0;
    *same = true;
    for (uint32_t i = 0; *same && i <= parts->elision_count; i++) {
        struct elision elision = { size, 0 };
        if (i < parts->elision_count)
            elision = document_elision(parts, i);
        *same = elision.offset >= at && elision.offset - at <= header.size &&
                elision.offset <= size && elision.size <= size - elision.offset;
        if (!*same)
            return true;
        struct slice part = slice_take(header, (size_t)(elision.offset - at));
        if (!compare_part(records, blob, records->instance.dataset_offset + at, part, same, err))
            return false;
        header = slice_skip(header, part.size);
        at = elision.offset + elision.size;
    }
    *same = *same && !header.size;
    return true;
}

/* Of a deflated data set the header is that of the inflated bytes. */
static bool compare_deflated(struct records *records, const struct identity *identity,
                             const struct document_parts *parts, bool *same, struct error *err)
{
    struct instance *instance = NULL;
    struct slice header = parts->header;
    uint64_t at = 0;
    bool ok = true;
    *same = true;
    if (!instance_open(records->verify->archive, identity->study, identity->series,
                       identity->instance, &instance, NULL))
        return true; /* deleted meanwhile */
    for (uint32_t i = 0; ok && *same && i <= parts->elision_count; i++) {
        struct elision elision = { at + header.size, 0 };
        if (i < parts->elision_count)
            elision = document_elision(parts, i);
        *same = elision.offset >= at && elision.offset - at <= header.size;
        for (uint64_t left = *same ? elision.offset - at : 0; ok && *same && left;) {
            struct space space = { records->verify->piece,
                                   left < VERIFY_PIECE_SIZE ? (size_t)left : VERIFY_PIECE_SIZE };
            *same = instance_read_inflated(instance, at, space, NULL) &&
                    memcmp(space.data, header.data, space.size) == 0;
            header = slice_skip(header, space.size);
            at += space.size;
            left -= space.size;
            ok = step(records, 0, err);
        }
        at = elision.offset + elision.size;
    }
    instance_close(instance);
    return ok;
}

/* Of a document that is missing or cannot be read the walk over the instances has told. */
static bool check_document(struct records *records, const struct identity *identity,
                           struct blob *blob, struct error *err)
{
    struct archive *archive = records->verify->archive;
    struct buffer bytes = buffer_up_to(DOCUMENT_SIZE);
    struct document_parts parts;
    struct key key;
    struct instance_record again;
    bool found, same = true;
    key_place(&key, DOCUMENT_HEADER, identity->study, identity->series, identity->instance);
    bool ok = storage_get(archive->storage, TABLE_DOCUMENT, key_slice(&key), &bytes, &found, err);
    if (ok && found && document_split(buffer_slice(&bytes), &parts, NULL)) {
        bool is_deflated = transfer_syntax_or_private(slice_text(parts.transfer_syntax))->deflated;
        if (strcmp(parts.transfer_syntax, records->instance.transfer_syntax) != 0)
            same = false;
        else if (is_deflated)
            ok = compare_deflated(records, identity, &parts, &same, err);
        else
            ok = compare_header(records, blob, &parts, &same, err);
    }
    if (ok && !same) { /* unless another instance has come to stand there meanwhile */
        instance_record_init(&again);
        ok = lookup_instance(archive, identity, &again, &found, err);
        if (ok && found && again.created == records->instance.created)
            verify_found(records->verify, VERIFY_DOCUMENT_WRONG, identity, &records->instance.blob,
                         "the stored header is not that of the blob");
        instance_record_release(&again);
    }
    buffer_release(&bytes);
    return ok;
}

/* Whether the instance record at the place of the key refers to this blob, or one of its versions.
 * *found: there is an instance; *is_version: it has another blob. */
static bool look_up(struct records *records, struct slice key, const struct blob_id *id,
                    struct identity *identity, bool *found, bool *refers, bool *is_version,
                    struct error *err)
{
    struct archive *archive = records->verify->archive;
    struct error reason = { 0 };
    struct blob_facts facts;
    struct key version;
    *found = false;
    *refers = false;
    *is_version = false;
    if (!blob_key_decode(key, identity, &facts))
        return true;
    if (!lookup_instance(archive, identity, &records->instance, found, &reason)) {
        *found = false; /* a broken record, which was told: nobody knows what it refers to */
        *refers = true;
        return reason.code == ERROR_CORRUPT || error_set(err, reason.code, "%s", reason.message);
    }
    *refers = *found && blob_id_equals(&records->instance.blob, id);
    if (!*found || *refers)
        return true;
    if (!version_find(archive, identity, id, &version, &records->instance, is_version, &reason))
        return reason.code == ERROR_CORRUPT || error_set(err, reason.code, "%s", reason.message);
    *refers = *is_version;
    return true;
}

static bool was_deleted(struct records *records, const struct identity *identity, bool *deleted,
                        struct error *err)
{
    struct key key;
    *deleted = false;
    if (!identity->instance[0])
        return true;
    key_place(&key, RECORD_TOMBSTONE, identity->study, identity->series, identity->instance);
    return verify_has(records->verify, TABLE_RECORD, key_slice(&key), deleted, err);
}

/* Now that all who were writing have ended: is it still there, and still not referred to? */
static bool resolve(struct records *records, const struct blob_id *id, struct slice key,
                    struct error *err)
{
    struct transaction *turn = NULL;
    struct identity identity;
    struct blob *blob = NULL;
    enum payload payload = PAYLOAD_WHOLE;
    char message[256];
    bool found = false, refers = false, is_version = false, deleted = false;
    bool ok = verify_turn_open(records->verify, &turn, err) &&
              look_up(records, key, id, &identity, &found, &refers, &is_version, err) &&
              was_deleted(records, &identity, &deleted, err);
    bool there = ok && !refers && open_or_gone(records, id, &blob, &payload, message);
    transaction_close(turn);
    if (ok && there && !found && !deleted) {
        if (!records->verify->options->quick)
            ok = read_payload(records, blob, id->crc32c, &payload, message, err);
        /* Of a write that failed nothing but a header may be there. */
        deleted = payload != PAYLOAD_WHOLE;
    }
    if (ok && there && (found || deleted))
        records->verify->report->leftovers++;
    else if (ok && there)
        verify_found(records->verify, VERIFY_BLOB_UNKNOWN, &identity, id,
                     "a record that nothing in the index refers to");
    blob_close(blob);
    return ok;
}

static bool resolve_all(struct records *records, struct error *err)
{
    struct job *job = records->verify->job;
    struct slice rest = buffer_slice(&records->suspects);
    if (!rest.size)
        return true;
    bool ok = archive_writing_settle(records->verify->archive, job ? job->cancelled : NULL,
                                     job ? job->context : NULL, err);
    while (ok && rest.size) {
        struct blob_id id;
        blob_id_decode(rest.data, &id);
        size_t size = (size_t)(rest.data[BLOB_ID_SIZE] | rest.data[BLOB_ID_SIZE + 1] << 8);
        ok = resolve(records, &id, slice_of(rest.data + BLOB_ID_SIZE + 2, size), err) &&
             step(records, 0, err);
        rest = slice_skip(rest, BLOB_ID_SIZE + 2 + size);
    }
    buffer_clear(&records->suspects);
    return ok;
}

static bool suspect(struct records *records, const struct blob_record *record, struct error *err)
{
    uint8_t id[BLOB_ID_SIZE];
    blob_id_encode(&record->id, id);
    buffer_append(&records->suspects, slice_of(id, sizeof(id)));
    buffer_append_u16le(&records->suspects, (uint16_t)record->key.size);
    buffer_append(&records->suspects, record->key);
    return records->suspects.size < SUSPECTS_SIZE || resolve_all(records, err);
}

/* `readable`: the instance record is. The record of the segment is referred to, so it is whole: who
 * refers to a blob does so after it is durable. */
static bool check_payload(struct records *records, const struct blob_record *record,
                          const struct identity *identity, bool readable, struct error *err)
{
    struct blob *blob = NULL;
    enum payload payload = PAYLOAD_WHOLE;
    char message[256];
    if (!open_or_gone(records, &record->id, &blob, &payload, message))
        return true; /* deleted since; a broken header was told by the walk over the instances */
    bool ok = read_payload(records, blob, record->id.crc32c, &payload, message, err);
    if (ok && payload == PAYLOAD_BROKEN)
        verify_found(records->verify, VERIFY_BLOB_CORRUPT, identity, &record->id, "%s", message);
    else if (ok && readable)
        ok = check_document(records, identity, blob, err);
    blob_close(blob);
    return ok;
}

static bool check_record(struct records *records, const struct blob_record *record,
                         struct error *err)
{
    struct identity identity;
    bool found, refers, is_version;
    records->verify->report->records++;
    if (!look_up(records, record->key, &record->id, &identity, &found, &refers, &is_version, err))
        return false;
    if (!refers)
        return suspect(records, record, err) && step(records, 0, err);
    return records->verify->options->quick
               ? step(records, 0, err)
               : check_payload(records, record, &identity, found && !is_version, err);
}

/* What cannot be read is stepped over: an instance that stands there was told already. */
static bool next_record(struct records *records, struct blob_walk *walk, struct blob_record *record,
                        bool *found, struct error *err)
{
    struct error reason = { 0 };
    while (!blob_walk_next(walk, record, found, &reason)) {
        if (reason.code != ERROR_IO && reason.code != ERROR_CORRUPT &&
            reason.code != ERROR_NOT_FOUND)
            return error_set(err, reason.code, "%s", reason.message);
        records->verify->report->unreadable++;
        blob_walk_skip(walk);
        if (!step(records, 0, err))
            return false;
    }
    return true;
}

bool verify_records(struct verify *verify, struct error *err)
{
    struct records records = { .verify = verify, .suspects = buffer_up_to(SUSPECTS_SIZE + 1024) };
    struct blob_walk *walk = NULL;
    struct blob_record record;
    bool found = true;
    records.total = verify->options->quick ? 0 : verify->expected.bytes;
    instance_record_init(&records.instance);
    bool ok = blob_walk_open(verify->archive->storage, &walk, err);
    while (ok && (ok = next_record(&records, walk, &record, &found, err)) && found)
        if (!record.dead)
            ok = check_record(&records, &record, err);
    ok = ok && resolve_all(&records, err);
    blob_walk_close(walk);
    instance_record_release(&records.instance);
    buffer_release(&records.suspects);
    return ok;
}
