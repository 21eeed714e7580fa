/* SPDX-License-Identifier: MIT */
#pragma once
/* Which representation the client wants: the Accept field and the `accept` query parameter, as
 * RFC 9110 12.5.1 and PS3.18 8.7 have them. By value. */

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "http/server.h"

/* One acceptable media range. */
struct media_range {
    char type[128];           /* "image/jpeg", "image/ *", "* / *"; lower case */
    char inner[128];          /* the type parameter of multipart/related, lower case; "" none */
    char transfer_syntax[65]; /* a UID or "*"; "" none */
    unsigned quality;         /* 0 to 1000; 0: not acceptable */
};

enum { ACCEPT_MAX_RANGES = 32 }; /* further ones are left out */

struct accept {
    struct media_range ranges[ACCEPT_MAX_RANGES];
    size_t count;
};

/* What the server can give. */
struct offer {
    const char *type;            /* "application/dicom+json", "multipart/related" */
    const char *inner;           /* of multipart/related: "application/dicom"; else NULL */
    const char *transfer_syntax; /* NULL: has none, and any range that names one fits too */
    bool named_only; /* only for a range that names this transfer syntax, or "*": a range without
                        one means the default syntax (PS3.18 8.7.3.4) */
};

/* Malformed members are ignored; no field at all (NULL or empty) is * / *. */
void accept_parse(const char *field, struct accept *accept);
/* The accept query parameter if there is one, else the Accept fields. ERROR_INVALID for wildcards
 * in the parameter (PS3.18 8.3.3.1). */
bool accept_of_request(const struct request *request, struct accept *accept, struct error *err);
/* The index of the best offer, -1 when none is acceptable (406). An offer has the quality of the
 * most specific range that fits it; of equal quality the more specific wins, then the first.
 * *range (may be NULL) tells which range decided. */
int accept_choose(const struct accept *accept, const struct offer *offers, size_t count,
                  size_t *range);
/* Both steps with one field. */
int negotiate(const char *field, const struct offer *offers, size_t count);
/* For a 406: "text/plain, multipart/related; type=\"application/dicom\"". */
void offers_write(const struct offer *offers, size_t count, struct buffer *text);
