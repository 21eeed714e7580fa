/* SPDX-License-Identifier: MIT */
#pragma once
/* The verification that the daemon does by itself every so many days, slowly and in a thread of low
 * priority; and what the last one found, which is kept in the index. One that a stop interrupted
 * begins anew. Thread-safe. */

#include "archive/archive.h"
#include "archive/verify.h"

struct storage;
struct verifier;

struct verifier_options {
    struct storage *storage; /* that of the archive */
    double every_days;       /* 0: only remembers what others found */
    uint64_t bytes_per_second;
};

bool verifier_open(struct archive *archive, const struct verifier_options *options,
                   struct verifier **out, struct error *err);
void verifier_close(struct verifier *verifier);

struct verifier_status {
    int64_t finished_ms; /* Unix time of the last one that looked at everything; 0: none yet */
    uint64_t findings[VERIFY_KIND_COUNT]; /* of that one */
    uint64_t damage;                      /* see verify_damage */
    double progress;                      /* of the one that runs now, 0 to 1 */
};
void verifier_status(struct verifier *verifier, struct verifier_status *status);

/* A full verification was done by somebody. `verifier` may be NULL. */
void verifier_record(struct archive *archive, struct verifier *verifier,
                     const struct verify_report *report);
