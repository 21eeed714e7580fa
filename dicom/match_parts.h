/* SPDX-License-Identifier: MIT */
#pragma once
/* Between the files of match. */

#include "dicom/date_time.h"
#include "dicom/match.h"

enum { NAME_GROUPS = 3, MAX_OWNED = 8 };

/* What one component group of a PN must be. */
struct name_group {
    bool asked; /* false: anything, also nothing */
    bool wildcard;
    struct slice pattern;
};

struct match_key {
    uint16_t vr;
    enum match_kind kind;
    bool whole; /* a backslash in it: compared with all values at once */
    struct slice pattern;
    struct slice *members;
    size_t count;
    struct slice prefix;
    struct slice lower;
    struct slice upper;
    struct time_span span; /* DA TM DT: of the single value, or of the range */
    int64_t zone_us;       /* DT: of a key without an offset */
    struct name_group groups[NAME_GROUPS];
    size_t group_count;       /* 1: any group of the value */
    bool fuzzy;               /* PN: `pattern` is like the value */
    struct match_key **parts; /* keys that must all match */
    size_t part_count;
    void *owned[MAX_OWNED];
    size_t owned_count;
};

/* How values of a VR are compared */
enum manner {
    MANNER_NONE, /* not by value */
    MANNER_LITERAL,
    MANNER_WILD, /* text with wildcards */
    MANNER_NAME,
    MANNER_UID,
    MANNER_NUMBER,
    MANNER_TIME,
};
enum manner match_manner(uint16_t vr);

/* --- match_fold.c: values one by one, and what of them is compared. */

/* One of several parts, by a separator. */
struct slice match_take_part(struct slice *rest, uint8_t separator);
/* Long text has one value, whatever is in it; the backslash is a character there. */
struct slice match_take_value(uint16_t vr, struct slice *rest);
/* More than three groups there are not: what stands behind them is dropped. */
struct slice match_take_group(struct slice *rest, size_t index);
/* Without padding, a name also without the delimiters of groups that are not there. */
struct slice match_trim(uint16_t vr, struct slice value);
/* DA, TM, DT. */
bool match_parse_time_in(uint16_t vr, struct slice text, int64_t zone_us, struct time_span *span);
bool match_parse_time(uint16_t vr, struct slice text, struct time_span *span);
void match_append_time(uint16_t vr, int64_t us, struct buffer *folded);
/* A single value. */
void match_fold_value(uint16_t vr, struct slice value, struct buffer *folded);

/* --- match_key.c: the order of a list of UIDs, as bsearch takes it. */
int match_compare_members(const void *a, const void *b);
