/* SPDX-License-Identifier: MIT */
#pragma once
/* The request-target of HTTP (RFC 9112 3.2) taken apart: path segments and query pairs, each
 * percent-decoded once, all checked. By value; one thread at a time. */

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "http/server.h"

enum {
    TARGET_LIMIT = 64 << 10,  /* bytes of a request-target: longer ones are 414 */
    TARGET_MAX_SEGMENTS = 32, /* of a path */
    TARGET_MAX_PAIRS = 1000,  /* of a query */
};

struct target {
    char *path;            /* decoded, "/studies/1.2" */
    const char **segments; /* decoded; "/" has one empty segment */
    size_t segment_count;
    struct query_pair *pairs;
    size_t pair_count;
    char *text; /* what all of these point into */
};

/* `raw` is the origin form, or the absolute form when it names `host` (NULL: none known).
 * ERROR_INVALID for broken or forbidden escapes (%00, control characters, what is not UTF-8) and
 * dot segments; ERROR_LIMIT for too many parts. */
bool target_parse(const char *raw, const char *host, struct target *target, struct error *err);
void target_release(struct target *target);

/* A Host field value (RFC 9110 7.2) that may stand in URLs we write: name or address, optional
 * port. */
bool host_is_valid(const char *host);
