/* SPDX-License-Identifier: MIT */
#pragma once
/* The records of the tree as they stand in TABLE_RECORD (docs/index-format.md). Decoding fills a
 * record that may have been used before, so that a walk allocates once. */

#include "archive/archive.h"
#include "archive/attributes.h"
#include "base/buffer.h"
#include "storage/blob.h"

/* The series or instance number of what has none: it comes last. */
#define NUMBER_ABSENT INT64_MAX

/* Characters of a study's place in time, see terms.h. */
enum { STAMP_SIZE = 14 };

struct patient_record {
    uint64_t studies;
    uint64_t series;
    uint64_t instances;
};

struct study_record {
    uint64_t created; /* sequence number of its first change in the feed, and of its last */
    uint64_t changed;
    int64_t stored_at_ms;
    uint64_t series;
    uint64_t instances;
    uint64_t bytes;
    uint8_t stamp[STAMP_SIZE];
    char source_series[UID_SIZE]; /* the instance whose header stands for the study's */
    char source_instance[UID_SIZE];
    struct buffer patient_key;
    struct buffer modalities; /* tallies: series of a modality, instances of a SOP class */
    struct buffer sop_classes;
    struct summary summary;
};

struct series_record {
    uint64_t created;
    uint64_t changed;
    int64_t stored_at_ms;
    uint64_t instances;
    uint64_t bytes;
    int64_t number;
    char modality[UID_SIZE]; /* as it was counted in the study */
    char source_instance[UID_SIZE];
    struct summary summary;
};

struct instance_record {
    uint64_t created;
    int64_t stored_at_ms;
    int64_t number;
    struct blob_id blob;
    uint64_t dataset_offset; /* in the blob */
    char sop_class[UID_SIZE];
    char transfer_syntax[UID_SIZE];
    char source_ae[17];
    bool amended; /* its bytes were made here of those of its first version: archive/registration.h
                   */
    struct summary summary;
};

void study_record_init(struct study_record *record);
void study_record_release(struct study_record *record);
void series_record_init(struct series_record *record);
void series_record_release(struct series_record *record);
void instance_record_init(struct instance_record *record);
void instance_record_release(struct instance_record *record);

/* Appended to `out`. */
void patient_record_encode(const struct patient_record *record, struct buffer *out);
void study_record_encode(const struct study_record *record, struct buffer *out);
void series_record_encode(const struct series_record *record, struct buffer *out);
void instance_record_encode(const struct instance_record *record, struct buffer *out);
void counts_encode(const struct archive_counts *counts, struct buffer *out);

/* ERROR_CORRUPT when the bytes are no such record. */
bool patient_record_decode(struct slice bytes, struct patient_record *record, struct error *err);
bool study_record_decode(struct slice bytes, struct study_record *record, struct error *err);
bool series_record_decode(struct slice bytes, struct series_record *record, struct error *err);
bool instance_record_decode(struct slice bytes, struct instance_record *record, struct error *err);
bool counts_decode(struct slice bytes, struct archive_counts *counts, struct error *err);

/* The numbers that lists are ordered by, from an encoded series or instance record. */
bool record_order(struct slice bytes, int64_t *number, uint64_t *created);

/* The transfer syntax, from an encoded instance record. */
bool record_syntax(struct slice bytes, char transfer_syntax[UID_SIZE]);

enum { RECORD_SIZE = 512 << 10 }; /* no encoded record is larger */
