/* SPDX-License-Identifier: MIT */
#pragma once
/* What the parts of archive_verify share. Only archive/verify*.c include this header.
 *
 * Others store, delete and move meanwhile, so what looks wrong at first is only a suspicion. It
 * becomes a finding when it is seen at one moment: in the write turn, or between two reads of a
 * record that did not change (every store and delete gives its record another change number). */

#include "archive/core.h"
#include "archive/keys.h"
#include "archive/pages.h"
#include "archive/records.h"
#include "archive/verify.h"
#include "storage/transaction.h"

struct verify {
    struct archive *archive;
    const struct verify_options *options;
    struct job *job; /* may be NULL */
    struct verify_report *report;
    struct archive_counts expected; /* as of the beginning, for the progress */
    uint8_t *piece;                 /* VERIFY_PIECE_SIZE bytes to read into */
};

enum { VERIFY_PIECE_SIZE = 1 << 20 };

/* As a job is told them. */
#define PHASE_STUDIES   "counting studies"
#define PHASE_PATIENTS  "counting patients"
#define PHASE_TOTALS    "adding up"
#define PHASE_INSTANCES "checking instances"
#define PHASE_TERMS     "checking terms"
#define PHASE_DOCUMENTS "checking headers"
#define PHASE_RECORDS   "reading records"

/* Each walks a part; they find, and fail only when they cannot look. */
bool verify_counts(struct verify *verify, struct error *err);
bool verify_instances(struct verify *verify, struct error *err);
bool verify_versions(struct verify *verify, struct error *err);
bool verify_terms(struct verify *verify, struct error *err);
bool verify_documents(struct verify *verify, struct error *err);
bool verify_records(struct verify *verify, struct error *err);

/* `identity` and `blob` may be NULL. */
void verify_found(struct verify *verify, enum verify_kind kind, const struct identity *identity,
                  const struct blob_id *blob, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

bool verify_step(struct verify *verify, const char *phase, const char *unit, uint64_t done,
                 uint64_t total, uint64_t bytes, struct error *err);

/* The write turn: nobody stores or deletes until it is closed (storage/transaction.h). *turn NULL
 * when the disk has failed: then nobody does anyway. */
bool verify_turn_open(struct verify *verify, struct transaction **turn, struct error *err);

bool verify_has(struct verify *verify, enum table table, struct slice key, bool *found,
                struct error *err);
