/* SPDX-License-Identifier: MIT */
#pragma once
/* What a search asks for, read from the parameters of a URL or a form (R4 3.1.1). Peers write them:
 * everything has a limit. One thread at a time. */

#include "base/error.h"
#include "cast/search_date.h"
#include "cast/search_parameters.h"
#include "http/server.h"

enum search_modifier {
    MODIFIER_NONE,
    MODIFIER_MISSING,
    MODIFIER_NOT,
    MODIFIER_EXACT,
    MODIFIER_CONTAINS,
    MODIFIER_IDENTIFIER, /* of a reference: the identifier that it names */
};

/* One of the values that a comma separates. */
struct search_value {
    char *text;      /* without system, prefix and backslashes; of a reference: the id alone */
    char *system;    /* of a token before the `|`; NULL: any. "" for none */
    bool whole_type; /* a reference to a type that this parameter never refers to */
    enum search_prefix prefix;
    struct time_span span; /* of a date */
};

/* A parameter: one of its values must fit. */
struct search_criterion {
    const struct search_parameter *parameter;
    enum search_modifier modifier;
    bool of_patient; /* patient.identifier: of the Patient that the resource is about */
    struct search_value *values;
    size_t count;
};

enum search_summary { SUMMARY_FALSE, SUMMARY_TRUE, SUMMARY_TEXT, SUMMARY_DATA, SUMMARY_COUNT };
enum search_total { TOTAL_IF_KNOWN, TOTAL_NONE, TOTAL_ACCURATE };

enum {
    SEARCH_DEFAULT_COUNT = 20,
    SEARCH_MOST_COUNT = 1000,
    SEARCH_MOST_VALUES = 100,  /* of a parameter */
    SEARCH_MOST_CRITERIA = 30, /* parameters of a search */
    SEARCH_MOST_OFFSET = 100 * 1000 * 1000,
    SEARCH_PAGE_SIZE = 2 * 520 + 1,
    SEARCH_VALUE_MAX = 4096,
    SEARCH_ELEMENTS_MAX = 2048,
    SEARCH_URL_MAX = 64 * 1024,
};

struct search_request {
    const struct search_type *type;
    enum fhir_version version;
    const char *base; /* borrowed: the view's own URL */
    struct search_criterion criteria[SEARCH_MOST_CRITERIA];
    size_t criterion_count;
    uint64_t count;
    uint64_t offset;
    char *page; /* where it goes on, as an answer before said; NULL: at the beginning */
    enum search_summary summary;
    enum search_total total;
    enum search_order order;
    bool descending;
    bool order_refused; /* _sort asks for an order that there is not */
    char *elements;     /* " id status ", NULL: all */
    unsigned includes;  /* bits by their place in the type's list */
    unsigned revincludes;
    struct buffer heeded; /* "identifier=x&_count=5": what a link to the page says again */
};

struct search_input {
    const struct search_type *type;
    enum fhir_version version;
    const char *base;
    const struct query_pair *pairs; /* percent-decoded */
    size_t count;
    bool strict; /* Prefer: handling=strict: what is not known is an error */
};

/* ERROR_INVALID, ERROR_LIMIT. To be released in any case. */
bool search_request_read(const struct search_input *input, struct search_request *request,
                         struct error *err);
void search_request_release(struct search_request *request);
/* NULL when the search has none of it. */
const struct search_criterion *search_request_find(const struct search_request *request,
                                                   const char *name);

/* Does the resource, as R4 has it, fit all criteria? `patient`: the one that it is about, or NULL.
 */
bool search_request_fits(const struct search_request *request, const cJSON *resource,
                         const cJSON *patient, int64_t now_ms);
/* One criterion's own. */
bool search_criterion_fits(const struct search_criterion *criterion, const cJSON *resource,
                           const cJSON *patient, int64_t now_ms);
/* Takes out what _summary and _elements leave out, and says so with the tag SUBSETTED. */
void search_request_subset(const struct search_request *request, cJSON *resource);
