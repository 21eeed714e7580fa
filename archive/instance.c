/* SPDX-License-Identifier: MIT */
#include "archive/instance.h"

#include <stdlib.h>

#include "archive/document.h"
#include "archive/lookup.h"
#include "archive/versions.h"
#include "base/memory.h"
#include "dicom/deflate.h"
#include "storage/blob.h"

enum { PIECE_SIZE = 64 << 10 };

/* A deflated data set, read on from where the last read ended. */
struct inflation {
    struct inflater *inflater;
    uint8_t *piece;
    uint64_t taken;      /* of the deflated bytes */
    uint64_t given;      /* of the inflated bytes, without those in `output` */
    struct slice input;  /* of the piece, not yet inflated */
    struct slice output; /* inflated and not yet given */
};

struct instance {
    struct archive *archive;
    struct identity identity;
    struct instance_record record;
    struct blob *blob;        /* opened on first use */
    struct document document; /* likewise */
    uint64_t replacements;    /* before the record was read: see archive_replacements */
    struct buffer frames;
    bool has_frames;
    struct inflation inflation;
};

bool instance_load(struct archive *archive, const struct identity *identity,
                   struct instance **instance, struct error *err)
{
    bool found = false;
    struct instance *loaded = mem_alloc(sizeof(*loaded));
    loaded->archive = archive;
    loaded->identity = *identity;
    loaded->document = document_init();
    loaded->frames = buffer_up_to(DOCUMENT_SIZE);
    instance_record_init(&loaded->record);
    loaded->replacements = archive_replacements(archive);
    bool ok = lookup_instance(archive, identity, &loaded->record, &found, err);
    if (!ok || !found) {
        instance_close(loaded);
        loaded = NULL;
    } else {
        memcpy(loaded->identity.sop_class, loaded->record.sop_class, UID_SIZE);
    }
    *instance = loaded;
    return ok;
}

bool instance_open(struct archive *archive, const char *study, const char *series,
                   const char *sop_instance, struct instance **out, struct error *err)
{
    struct identity identity = { 0 };
    if (!lookup_is_place(study, series, sop_instance) || is_empty_text(series) ||
        is_empty_text(sop_instance))
        return error_set(err, ERROR_NOT_FOUND, "no such instance");
    memcpy(identity.study, study, strlen(study) + 1);
    memcpy(identity.series, series, strlen(series) + 1);
    memcpy(identity.instance, sop_instance, strlen(sop_instance) + 1);
    struct instance *instance;
    if (!instance_load(archive, &identity, &instance, err))
        return false;
    if (!instance)
        return lookup_absent(archive, study, series, sop_instance, err);
    *out = instance;
    return true;
}

void instance_close(struct instance *instance)
{
    if (!instance)
        return;
    blob_close(instance->blob);
    document_release(&instance->document);
    buffer_release(&instance->frames);
    instance_record_release(&instance->record);
    inflater_free(instance->inflation.inflater);
    free(instance->inflation.piece);
    free(instance);
}

bool archive_find(struct archive *archive, const char *study, const char *series, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    bool found = false;
    bool ok = true;
    if (lookup_is_place(study, series, NULL)) {
        key_place(&key, is_empty_text(series) ? RECORD_STUDY : RECORD_SERIES, study, series, NULL);
        ok = storage_get(archive->storage, TABLE_RECORD, key_slice(&key), &bytes, &found, err);
    }
    buffer_release(&bytes);
    if (!ok || found)
        return ok;
    return lookup_absent(archive, study, series, NULL, err);
}

struct archive *instance_archive(const struct instance *instance)
{
    return instance->archive;
}

bool instance_is_amended(const struct instance *instance)
{
    return instance->record.amended;
}

const struct identity *instance_identity(const struct instance *instance)
{
    return &instance->identity;
}

const struct transfer_syntax *instance_syntax(const struct instance *instance)
{
    return transfer_syntax_or_private(slice_text(instance->record.transfer_syntax));
}

const char *instance_syntax_uid(const struct instance *instance)
{
    return instance->record.transfer_syntax;
}

const char *instance_source_ae(const struct instance *instance)
{
    return instance->record.source_ae;
}

uint64_t instance_stored_at_ms(const struct instance *instance)
{
    return (uint64_t)instance->record.stored_at_ms;
}

uint32_t instance_checksum(const struct instance *instance)
{
    return instance->record.blob.crc32c;
}

static bool deleted_meanwhile(struct error *err)
{
    return error_set(err, ERROR_GONE, "this instance was deleted");
}

/* After header or frames were read: they must be of the same version as the record, or the bytes
 * would be taken for what they are not. */
static bool check_version(struct instance *instance, struct error *err)
{
    struct instance_record record;
    bool found;
    if (instance->replacements && instance->replacements == archive_replacements(instance->archive))
        return true;
    instance_record_init(&record);
    bool ok = lookup_instance(instance->archive, &instance->identity, &record, &found, err);
    if (ok && !found)
        ok = deleted_meanwhile(err);
    else if (ok && record.created != instance->record.created)
        ok = error_set(err, ERROR_GONE, "this instance was replaced meanwhile");
    instance_record_release(&record);
    return ok;
}

bool instance_header(struct instance *instance, const struct dataset **header, struct error *err)
{
    bool found = true;
    if (!instance->document.dataset) {
        if (!document_load(instance->archive, &instance->identity, &instance->document, &found,
                           err))
            return false;
        if (!found)
            return deleted_meanwhile(err);
        if (!check_version(instance, err)) {
            document_release(&instance->document);
            instance->document = document_init();
            return false;
        }
    }
    *header = instance->document.dataset;
    return true;
}

/* No table is what an object without frames has, and one that is gone. */
static bool check_there(struct instance *instance, struct error *err)
{
    struct instance_record record;
    bool found;
    instance_record_init(&record);
    bool ok = lookup_instance(instance->archive, &instance->identity, &record, &found, err);
    instance_record_release(&record);
    return ok && (found || deleted_meanwhile(err));
}

bool instance_frames(struct instance *instance, struct slice *table, struct error *err)
{
    const struct identity *identity = &instance->identity;
    struct key key;
    bool found;
    if (!instance->has_frames) {
        key_place(&key, DOCUMENT_FRAMES, identity->study, identity->series, identity->instance);
        if (!storage_get(instance->archive->storage, TABLE_DOCUMENT, key_slice(&key),
                         &instance->frames, &found, err) ||
            (!found && !check_there(instance, err)) || !check_version(instance, err))
            return false;
        if (!found)
            buffer_clear(&instance->frames);
        instance->has_frames = true;
    }
    *table = buffer_slice(&instance->frames);
    return true;
}

/* Compaction moves the bytes of an instance: its record tells where they stand now. One that was
 * stored anew has another change number. */
static bool follow_move(struct instance *instance, struct error *err)
{
    struct instance_record record;
    const struct blob_id was = instance->record.blob;
    bool found;
    instance_record_init(&record);
    bool ok = lookup_instance(instance->archive, &instance->identity, &record, &found, err);
    if (ok && found && record.created == instance->record.created) {
        instance->record.blob = record.blob;
    } else if (ok) { /* it may have become a version that was moved since */
        const struct identity *identity = &instance->identity;
        ok = version_get(instance->archive, identity, instance->record.created, &record, &found,
                         err);
        if (ok && found)
            instance->record.blob = record.blob;
    }
    instance_record_release(&record);
    bool moved = was.segment != instance->record.blob.segment ||
                 was.offset != instance->record.blob.offset;
    return ok && (moved || deleted_meanwhile(err));
}

static bool open_blob(struct instance *instance, struct error *err)
{
    while (!instance->blob) {
        struct error reason = { 0 };
        if (blob_open(instance->archive->storage, &instance->record.blob, &instance->blob, &reason))
            break;
        instance->blob = NULL;
        if (reason.code != ERROR_NOT_FOUND) {
            if (err)
                *err = reason;
            return false;
        }
        if (!follow_move(instance, err))
            return false;
    }
    return true;
}

static uint64_t dataset_size(const struct instance *instance)
{
    return instance->record.blob.size - instance->record.dataset_offset;
}

static bool get_range(struct instance *instance, uint64_t offset, uint64_t size,
                      struct file_range *range, struct error *err)
{
    if (!open_blob(instance, err))
        return false;
    *range = blob_range(instance->blob, offset, size);
    return true;
}

bool instance_file(struct instance *instance, struct file_range *file, struct error *err)
{
    return get_range(instance, 0, instance->record.blob.size, file, err);
}

bool instance_dataset(struct instance *instance, struct file_range *dataset, struct error *err)
{
    return get_range(instance, instance->record.dataset_offset, dataset_size(instance), dataset,
                     err);
}

static bool check_range(const struct instance *instance, uint64_t offset, uint64_t size,
                        struct error *err)
{
    uint64_t whole = dataset_size(instance);
    if (offset > whole || size > whole - offset)
        return error_set(err, ERROR_INVALID, "a range beyond the end of the data set");
    return true;
}

bool instance_read(struct instance *instance, uint64_t offset, struct space space,
                   struct error *err)
{
    return check_range(instance, offset, space.size, err) && open_blob(instance, err) &&
           blob_read(instance->blob, instance->record.dataset_offset + offset, space, err);
}

bool instance_range(struct instance *instance, uint64_t offset, uint64_t size,
                    struct file_range *range, struct error *err)
{
    if (instance_syntax(instance)->deflated)
        return error_set(err, ERROR_UNSUPPORTED, "a deflated data set has no ranges");
    return check_range(instance, offset, size, err) &&
           get_range(instance, instance->record.dataset_offset + offset, size, range, err);
}

/* Deflated data sets. */

static void restart_inflation(struct inflation *inflation)
{
    inflater_free(inflation->inflater);
    inflation->inflater = inflater_new(scan_default_limits.inflated_size);
    if (!inflation->piece)
        inflation->piece = mem_alloc(PIECE_SIZE);
    inflation->taken = 0;
    inflation->given = 0;
    inflation->input = slice_of(NULL, 0);
    inflation->output = slice_of(NULL, 0);
}

static bool inflate_more(struct instance *instance, struct error *err)
{
    struct inflation *inflation = &instance->inflation;
    uint64_t left = dataset_size(instance) - inflation->taken;
    if (!inflation->input.size && left) {
        struct space space = { inflation->piece, left < PIECE_SIZE ? (size_t)left : PIECE_SIZE };
        if (!instance_read(instance, inflation->taken, space, err))
            return false;
        inflation->taken += space.size;
        inflation->input = slice_of(space.data, space.size);
    }
    bool is_end = !inflation->input.size;
    if (!inflater_next(inflation->inflater, &inflation->input, &inflation->output, err))
        return false;
    if (is_end && !inflation->output.size)
        return error_set(err, ERROR_INVALID, "a range beyond the end of the data set");
    return true;
}

bool instance_read_inflated(struct instance *instance, uint64_t offset, struct space space,
                            struct error *err)
{
    struct inflation *inflation = &instance->inflation;
    if (!instance_syntax(instance)->deflated)
        return instance_read(instance, offset, space, err);
    if (!inflation->inflater || offset < inflation->given)
        restart_inflation(inflation);
    while (space.size) {
        uint64_t ahead = offset - inflation->given;
        if (ahead >= inflation->output.size) {
            inflation->given += inflation->output.size;
            inflation->output = slice_of(NULL, 0);
            if (!inflate_more(instance, err))
                return false;
            continue;
        }
        struct slice ready = slice_skip(inflation->output, (size_t)ahead);
        ready = slice_take(ready, space.size);
        memcpy(space.data, ready.data, ready.size);
        offset += ready.size;
        space = (struct space){ space.data + ready.size, space.size - ready.size };
    }
    return true;
}
