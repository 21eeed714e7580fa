/* SPDX-License-Identifier: MIT */
#pragma once
/* An archive in a fresh folder, and synthetic instances to put into it. */

#include "archive/archive.h"
#include "archive/ingest.h"
#include "archive/query.h"
#include "storage/blob.h"
#include "storage/storage.h"
#include "tests/test.h"

struct fixture {
    char folder[128];
    bool index_in_memory;
    struct storage *storage;
    struct archive *archive;
};

void fixture_open(struct fixture *fixture, bool index_in_memory);
void fixture_open_with(struct fixture *fixture, bool index_in_memory,
                       const struct archive_options *options);
void fixture_reopen(struct fixture *fixture); /* only with an index on disk */
void fixture_close(struct fixture *fixture);

/* Where an instance's blob stands. */
struct blob_id fixture_blob_of(struct fixture *fixture, const char *study, const char *series,
                               const char *instance);
/* What a verification finds, leftovers too. */
uint64_t fixture_findings(struct fixture *fixture);
/* A bit of a segment file changes under the archive; once more, and it is as it was. */
void fixture_flip(struct fixture *fixture, uint32_t segment, uint64_t offset);

/* What an instance says; NULL: the attribute is absent. */
struct object {
    const char *study;
    const char *series;
    const char *instance;
    const char *sop_class; /* NULL: CT Image Storage */
    const char *patient_id;
    const char *patient_name;
    const char *issuer;
    const char *issuer_entity; /* a UID: Issuer of Patient ID Qualifiers Sequence has it */
    const char *accession;
    const char *study_date;
    const char *study_time;
    const char *study_id;
    const char *referring;
    const char *description;
    const char *modality;
    const char *series_number;
    const char *instance_number;
    const char *step_id; /* items of Request Attributes Sequence, backslash between them */
    const char *procedure_id;
    const char *charset;
    size_t pixels; /* bytes of Pixel Data, 0: none */
    uint8_t fill;  /* what the pixels are made of */
};

#define CT_IMAGE_STORAGE "1.2.840.10008.5.1.4.1.1.2"

/* Explicit VR little endian. Appends. */
void object_encode(const struct object *object, struct buffer *out);
bool object_store(struct archive *archive, const struct object *object,
                  enum ingest_outcome *outcome, struct error *err);
/* As a C-STORE of these bytes. */
bool bytes_store(struct archive *archive, struct slice dataset, const char *sop_class,
                 const char *instance, enum ingest_outcome *outcome, struct error *err);
/* Must be stored. */
void store(struct fixture *fixture, const struct object *object);

/* The values of one attribute of all matches, "a,b,c", in order. Closes the query. */
const char *query_list(struct query *query, uint32_t tag);
/* A query with one key. */
struct query *query_by(struct fixture *fixture, enum level level, uint32_t tag, const char *value);
void query_key(struct query *query, uint32_t tag, const char *value);
/* "patients studies series instances". */
const char *counts_text(struct fixture *fixture);
