/* SPDX-License-Identifier: MIT */
#include "archive/records.h"

#include "archive/keys.h"
#include "archive/tally.h"
#include "base/fields.h"

/* The first byte of every record. A later layout gets the next number. */
enum { RECORD_VERSION = 1 };

/* Flags beside a summary. */
enum { PARTIAL = 1, AMENDED = 2 };

void study_record_init(struct study_record *record)
{
    memset(record, 0, sizeof(*record));
    memset(record->stamp, '9', STAMP_SIZE);
    record->patient_key = buffer_up_to(KEY_SIZE);
    record->modalities = buffer_up_to(TALLY_SIZE);
    record->sop_classes = buffer_up_to(TALLY_SIZE);
    record->summary = summary_init();
}

void study_record_release(struct study_record *record)
{
    buffer_release(&record->patient_key);
    buffer_release(&record->modalities);
    buffer_release(&record->sop_classes);
    summary_release(&record->summary);
}

void series_record_init(struct series_record *record)
{
    memset(record, 0, sizeof(*record));
    record->number = NUMBER_ABSENT;
    record->summary = summary_init();
}

void series_record_release(struct series_record *record)
{
    summary_release(&record->summary);
}

void instance_record_init(struct instance_record *record)
{
    memset(record, 0, sizeof(*record));
    record->number = NUMBER_ABSENT;
    record->summary = summary_init();
}

void instance_record_release(struct instance_record *record)
{
    summary_release(&record->summary);
}

static void fill(struct buffer *buffer, struct slice bytes)
{
    buffer_clear(buffer);
    buffer_append(buffer, bytes);
}

static void put_summary(struct buffer *out, const struct summary *summary, uint8_t flags)
{
    buffer_append_u64le(out, summary->present);
    buffer_append_byte(out, flags | (summary->partial ? PARTIAL : 0));
    fields_put_bytes(out, buffer_slice(&summary->bytes));
}

static uint8_t take_summary(struct fields *fields, struct summary *summary)
{
    summary->present = fields_u64(fields);
    uint8_t flags = fields_u8(fields);
    summary->partial = flags & PARTIAL;
    fill(&summary->bytes, fields_bytes(fields));
    return flags;
}

static void take_buffer(struct fields *fields, struct buffer *buffer)
{
    fill(buffer, fields_bytes(fields));
    if (buffer->overflowed)
        fields->broken = true;
}

static struct fields open_fields(struct slice bytes)
{
    struct fields fields = { bytes, false };
    if (fields_u8(&fields) != RECORD_VERSION)
        fields.broken = true;
    return fields;
}

static bool check(const struct fields *fields, const char *what, struct error *err)
{
    if (fields->broken)
        return error_set(err, ERROR_CORRUPT, "a %s record of the index cannot be read", what);
    return true;
}

void patient_record_encode(const struct patient_record *record, struct buffer *out)
{
    buffer_append_byte(out, RECORD_VERSION);
    buffer_append_u64le(out, record->studies);
    buffer_append_u64le(out, record->series);
    buffer_append_u64le(out, record->instances);
}

bool patient_record_decode(struct slice bytes, struct patient_record *record, struct error *err)
{
    struct fields fields = open_fields(bytes);
    record->studies = fields_u64(&fields);
    record->series = fields_u64(&fields);
    record->instances = fields_u64(&fields);
    return check(&fields, "patient", err);
}

void study_record_encode(const struct study_record *record, struct buffer *out)
{
    buffer_append_byte(out, RECORD_VERSION);
    buffer_append_u64le(out, record->created);
    buffer_append_u64le(out, record->changed);
    buffer_append_u64le(out, (uint64_t)record->stored_at_ms);
    buffer_append_u64le(out, record->series);
    buffer_append_u64le(out, record->instances);
    buffer_append_u64le(out, record->bytes);
    buffer_append(out, slice_of(record->stamp, STAMP_SIZE));
    fields_put_text(out, record->source_series);
    fields_put_text(out, record->source_instance);
    fields_put_bytes(out, buffer_slice(&record->patient_key));
    fields_put_bytes(out, buffer_slice(&record->modalities));
    fields_put_bytes(out, buffer_slice(&record->sop_classes));
    put_summary(out, &record->summary, 0);
}

bool study_record_decode(struct slice bytes, struct study_record *record, struct error *err)
{
    struct fields fields = open_fields(bytes);
    record->created = fields_u64(&fields);
    record->changed = fields_u64(&fields);
    record->stored_at_ms = (int64_t)fields_u64(&fields);
    record->series = fields_u64(&fields);
    record->instances = fields_u64(&fields);
    record->bytes = fields_u64(&fields);
    struct slice stamp = fields_take(&fields, STAMP_SIZE);
    if (stamp.size)
        memcpy(record->stamp, stamp.data, STAMP_SIZE);
    fields_text(&fields, record->source_series, UID_SIZE);
    fields_text(&fields, record->source_instance, UID_SIZE);
    take_buffer(&fields, &record->patient_key);
    take_buffer(&fields, &record->modalities);
    take_buffer(&fields, &record->sop_classes);
    take_summary(&fields, &record->summary);
    return check(&fields, "study", err);
}

/* Series and instance records begin alike: version, created, number. See record_order. */
void series_record_encode(const struct series_record *record, struct buffer *out)
{
    buffer_append_byte(out, RECORD_VERSION);
    buffer_append_u64le(out, record->created);
    buffer_append_u64le(out, (uint64_t)record->number);
    buffer_append_u64le(out, record->changed);
    buffer_append_u64le(out, (uint64_t)record->stored_at_ms);
    buffer_append_u64le(out, record->instances);
    buffer_append_u64le(out, record->bytes);
    fields_put_text(out, record->modality);
    fields_put_text(out, record->source_instance);
    put_summary(out, &record->summary, 0);
}

bool series_record_decode(struct slice bytes, struct series_record *record, struct error *err)
{
    struct fields fields = open_fields(bytes);
    record->created = fields_u64(&fields);
    record->number = (int64_t)fields_u64(&fields);
    record->changed = fields_u64(&fields);
    record->stored_at_ms = (int64_t)fields_u64(&fields);
    record->instances = fields_u64(&fields);
    record->bytes = fields_u64(&fields);
    fields_text(&fields, record->modality, sizeof(record->modality));
    fields_text(&fields, record->source_instance, UID_SIZE);
    take_summary(&fields, &record->summary);
    return check(&fields, "series", err);
}

void instance_record_encode(const struct instance_record *record, struct buffer *out)
{
    uint8_t blob[BLOB_ID_SIZE];
    blob_id_encode(&record->blob, blob);
    buffer_append_byte(out, RECORD_VERSION);
    buffer_append_u64le(out, record->created);
    buffer_append_u64le(out, (uint64_t)record->number);
    buffer_append_u64le(out, (uint64_t)record->stored_at_ms);
    buffer_append(out, slice_of(blob, sizeof(blob)));
    buffer_append_u64le(out, record->dataset_offset);
    fields_put_text(out, record->sop_class);
    fields_put_text(out, record->transfer_syntax);
    fields_put_text(out, record->source_ae);
    put_summary(out, &record->summary, record->amended ? AMENDED : 0);
}

bool instance_record_decode(struct slice bytes, struct instance_record *record, struct error *err)
{
    struct fields fields = open_fields(bytes);
    record->created = fields_u64(&fields);
    record->number = (int64_t)fields_u64(&fields);
    record->stored_at_ms = (int64_t)fields_u64(&fields);
    struct slice blob = fields_take(&fields, BLOB_ID_SIZE);
    if (blob.size)
        blob_id_decode(blob.data, &record->blob);
    record->dataset_offset = fields_u64(&fields);
    fields_text(&fields, record->sop_class, UID_SIZE);
    fields_text(&fields, record->transfer_syntax, UID_SIZE);
    fields_text(&fields, record->source_ae, sizeof(record->source_ae));
    record->amended = take_summary(&fields, &record->summary) & AMENDED;
    if (record->dataset_offset > record->blob.size)
        fields.broken = true;
    return check(&fields, "instance", err);
}

bool record_order(struct slice bytes, int64_t *number, uint64_t *created)
{
    struct fields fields = open_fields(bytes);
    *created = fields_u64(&fields);
    *number = (int64_t)fields_u64(&fields);
    return !fields.broken;
}

bool record_syntax(struct slice bytes, char transfer_syntax[UID_SIZE])
{
    struct fields fields = open_fields(bytes);
    char sop_class[UID_SIZE];
    fields_take(&fields, 3 * sizeof(uint64_t) + BLOB_ID_SIZE + sizeof(uint64_t));
    fields_text(&fields, sop_class, UID_SIZE);
    fields_text(&fields, transfer_syntax, UID_SIZE);
    return !fields.broken;
}

void counts_encode(const struct archive_counts *counts, struct buffer *out)
{
    buffer_append_byte(out, RECORD_VERSION);
    buffer_append_u64le(out, counts->patients);
    buffer_append_u64le(out, counts->studies);
    buffer_append_u64le(out, counts->series);
    buffer_append_u64le(out, counts->instances);
    buffer_append_u64le(out, counts->bytes);
}

bool counts_decode(struct slice bytes, struct archive_counts *counts, struct error *err)
{
    struct fields fields = open_fields(bytes);
    counts->patients = fields_u64(&fields);
    counts->studies = fields_u64(&fields);
    counts->series = fields_u64(&fields);
    counts->instances = fields_u64(&fields);
    counts->bytes = fields_u64(&fields);
    return check(&fields, "counts", err);
}
