/* SPDX-License-Identifier: MIT */
#pragma once
/* One study brought to a FHIR server once: read what the server holds, map what the archive holds,
 * merge, and send one transaction if anything differs. Every round may be repeated. */

#include "archive/archive.h"
#include "cast/fhir_client.h"
#include "cast/mapping.h"

enum round_result {
    ROUND_DONE,     /* the server agrees with the archive */
    ROUND_CONFLICT, /* others wrote meanwhile: read again */
    ROUND_REFUSED,  /* the server does not take this study */
    ROUND_WAIT,     /* no answer, or "later": the whole server is to be left alone for a while */
    ROUND_DENIED,   /* credentials or address are wrong: somebody must set it right */
    ROUND_STOPPED,
};

/* What becomes of the ImagingStudy of a study that is gone from the archive. */
enum removal {
    REMOVAL_DELETE,           /* deleted; withdrawn where others refer to it */
    REMOVAL_CANCELLED,        /* kept without its series, with this status */
    REMOVAL_ENTERED_IN_ERROR, /* so too */
};

/* What rounds of several threads share: who writes which Patient, the server's Endpoints and its
 * release of FHIR.
 * Thread-safe. */
struct round_shared;
/* `version`: the server's; FHIR_UNKNOWN: its CapabilityStatement says it. */
struct round_shared *round_shared_new(enum fhir_version version);
void round_shared_free(struct round_shared *shared);
void round_shared_stop(struct round_shared *shared); /* ends the waits of all rounds */

/* Of one thread at a time. One study is of one round at a time. */
struct round {
    struct archive *archive;
    struct fhir_client *client;
    const struct mapping_options *mapping;
    struct round_shared *shared;
    enum removal removal;
    bool looks_up; /* Practitioners, orders and visits that the server has are referred to */
    bool strict;   /* a study that cannot be mapped whole is refused */
    bool dry;      /* finds out what differs, and writes nothing */
};

struct round_report {
    int status;             /* HTTP; 0: no answer */
    int64_t retry_after_ms; /* -1: not said */
    size_t written;         /* entries of the transaction; of a dry one: that would be */
    bool missing;           /* the server had no ImagingStudy */
    bool extra;             /* it had one that the archive does not have */
    size_t duplicates;      /* ImagingStudies of the study beside the one that is kept */
    size_t patient_duplicates;
    struct error error; /* why not: safe to log */
};

/* `attempt`: how many rounds of this study failed in a row. */
enum round_result round_run(struct round *round, const char *study_uid, unsigned attempt,
                            struct round_report *report);
