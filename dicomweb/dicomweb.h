/* SPDX-License-Identifier: MIT */
#pragma once
/* DICOM over HTTP (PS3.18): the routes of STOW-RS, QIDO-RS, WADO-RS, UPS-RS, performed steps,
 * delete and the change feed. */

#include "archive/archive.h"
#include "http/server.h"

struct dicomweb;
struct worklist;

struct dicomweb_options {
    struct worklist *worklist; /* for UPS-RS and performed steps; NULL: none */
    const char *ae_title;
    uint64_t query_limit;          /* most results of one answer, 0: 1000 */
    int64_t query_timeout_ms;      /* of a search without another match, 0: a minute */
    uint64_t part_limit;           /* most parts of one STOW request, 0: 100,000 */
    unsigned feed_waiters;         /* clients that may wait for changes at a time, 0: 64 */
    uint64_t metadata_cache_bytes; /* for metadata as it was sent, 0: none is kept */
    uint64_t picture_cache_bytes;  /* for rendered pictures, 0: none is kept */
};

struct dicomweb *dicomweb_new(struct archive *archive, const struct dicomweb_options *options);
void dicomweb_free(struct dicomweb *dicomweb);
/* Borrowed; lives as long as `dicomweb`. The prefix ("/dicomweb") is copied. */
struct route_table dicomweb_routes(struct dicomweb *dicomweb, const char *prefix);
