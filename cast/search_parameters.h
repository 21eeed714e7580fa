/* SPDX-License-Identifier: MIT */
#pragma once
/* What the view can be searched by: a table for each type, out of which requests are read,
 * resources are matched and the CapabilityStatement is made. Paths are those of R4. */

#include "cast/fhir_version.h"

enum search_kind {
    SEARCH_TOKEN,
    SEARCH_REFERENCE,
    SEARCH_DATE,
    SEARCH_STRING,
    SEARCH_URI,
};

struct search_parameter {
    const char *name;
    enum search_kind kind;
    const char *paths; /* "series.instance.uid", several with a space between */
    const char *documentation;
    const char *target;        /* of a reference: the one type that is referred to by id, or NULL */
    enum fhir_version version; /* that calls it so; FHIR_UNKNOWN: every one */
};

/* By what results can be sorted (_sort): where an index has that order, or they are few. */
enum search_order { ORDER_OWN, ORDER_ID, ORDER_LAST_UPDATED, ORDER_STARTED };

enum { SEARCH_INCLUDES = 4 };

struct search_type {
    const char *name;
    const struct search_parameter *parameters;
    size_t parameter_count;
    const char *includes[SEARCH_INCLUDES]; /* "ImagingStudy:patient" */
    const char *revincludes[SEARCH_INCLUDES];
    const char *mandatory;     /* elements that _elements never leaves out, with spaces around */
    const char *not_summary;   /* elements that _summary leaves out */
    const char *orders;        /* that _sort may name */
    bool is_document;          /* what documents of a study say, and Device: by its study */
    enum fhir_version version; /* that has it; FHIR_UNKNOWN: every one */
};

extern const struct search_type search_types[];
extern const size_t search_type_count;
bool search_type_is_of(const struct search_type *type, enum fhir_version version);
/* NULL when the release has none of that name. */
const struct search_type *search_type_find(const char *name, enum fhir_version version);
/* `size` bytes of a name. NULL when the release does not know it. */
const struct search_parameter *search_parameter_find(const struct search_type *type,
                                                     const char *name, size_t size,
                                                     enum fhir_version version);
/* *order by the name that _sort has for it; false when results of this type have no such order. */
bool search_order_find(const struct search_type *type, const char *name, enum search_order *order);
/* "token", "reference" ... */
const char *search_kind_name(enum search_kind kind);
