/* SPDX-License-Identifier: MIT */
#pragma once
/* Looks whether the worklist is whole: every object can be read and has exactly its terms, and
 * every term is one of an object. Reads only; others go on meanwhile, and what they change is no
 * finding. */

#include "base/job.h"
#include "worklist/objects.h"

enum worklist_finding_kind {
    WORKLIST_OBJECT_CORRUPT, /* a record that cannot be read */
    WORKLIST_TERM_MISSING,   /* an object that a walk by an index would not meet */
    WORKLIST_TERM_UNKNOWN,   /* a term of no object */
    WORKLIST_FINDING_KINDS,
};

struct worklist_verify_options {
    /* `uid`: of a step, a performed step or a work item, "" else; the message has no patient data.
     */
    void (*finding)(void *context, enum worklist_finding_kind kind, const char *uid,
                    const char *message);
    void *context;
};

struct worklist_verify_report {
    uint64_t objects;
    uint64_t terms;
    uint64_t findings[WORKLIST_FINDING_KINDS];
};

/* True when it looked at everything, whatever it found. `job` may be NULL. */
bool worklist_verify(struct worklist *worklist, const struct worklist_verify_options *options,
                     struct job *job, struct worklist_verify_report *report, struct error *err);
