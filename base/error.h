/* SPDX-License-Identifier: MIT */
#pragma once
/* Errors are values. What can fail returns bool and takes `struct error *err` last. A code says
 * what is wrong in the caller's terms; only the edges (dimse, dicomweb, cast) turn it into a status
 * of their protocol. Messages are for people, hold no patient data, and are safe to log and to
 * send. */

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum error_code {
    ERROR_NONE = 0,
    ERROR_INVALID,     /* what came in is malformed: DIMSE Cxxx, HTTP 400 */
    ERROR_MISMATCH,    /* well formed, but does not fit together: DIMSE A900, HTTP 409 */
    ERROR_UNSUPPORTED, /* understood, and not done here: HTTP 406 or 415 */
    ERROR_NOT_FOUND,   /* no such thing */
    ERROR_GONE,        /* was here and has been deleted: HTTP 410 */
    ERROR_CONFLICT, /* the same identity with other content is here already: DIMSE 0111, HTTP 409 */
    ERROR_LIMIT,    /* larger, deeper or longer than we accept: DIMSE A700 or C000, HTTP 413 */
    ERROR_NO_SPACE, /* no resources now, try again: DIMSE A700, HTTP 503 or 507 */
    ERROR_BUSY,     /* too much at once: HTTP 503 */
    ERROR_IO,       /* the disk or the network failed */
    ERROR_CORRUPT,  /* what we stored does not read back as it was written */
    ERROR_TIMEOUT,  /* a deadline passed */
    ERROR_CLOSED,   /* the peer went away */
    ERROR_STOPPED,  /* we are shutting down */
};

struct error {
    enum error_code code;
    uint32_t tag;      /* the attribute at fault as ggggeeee, or 0 */
    char message[256]; /* UTF-8, NUL-terminated, cut at a character when too long */
};

/* Fills `err` (which may be NULL) and returns false, so that it can stand in a return statement. */
bool error_set(struct error *err, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set, and names the attribute at fault. */
bool error_set_tag(struct error *err, enum error_code code, uint32_t tag, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* As error_set with ": " and the text of errno_value behind it. ENOSPC and EDQUOT become
 * ERROR_NO_SPACE. */
bool error_set_errno(struct error *err, int errno_value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the message that is there, once, where the context is known. Returns
 * false. */
bool error_add_context(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

const char *error_name(enum error_code code); /* "invalid", "not-found" ... for logs and metrics */

#ifdef __cplusplus
}
#endif
