/* SPDX-License-Identifier: MIT */
#pragma once
/* One study brought to a FHIR server once: read what the server holds, map what the archive holds,
 * merge, and send one transaction if anything differs. Every round may be repeated. One thread at a
 * time. */

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

struct round {
    struct archive *archive;
    struct fhir_client *client;
    const struct mapping_options *mapping;
    bool strict; /* a study that cannot be mapped whole is refused */
    /* "Endpoint/7" as the server was found to hold them: they do not change. "" when not known. */
    char endpoints[MAPPING_ENDPOINTS][128];
};

struct round_report {
    int status;             /* HTTP; 0: no answer */
    int64_t retry_after_ms; /* -1: not said */
    size_t written;         /* entries of the transaction */
    struct error error;     /* why not: safe to log */
    struct buffer outcome;  /* the server's words about a refusal: not safe to log */
};
void round_report_release(struct round_report *report);

/* `attempt`: how many rounds of this study failed in a row. */
enum round_result round_run(struct round *round, const char *study_uid, unsigned attempt,
                            struct round_report *report);
