/* SPDX-License-Identifier: MIT */
#pragma once
/* Attribute matching (PS3.4 C.2.2.2): single value, list of UID, universal, wildcard, range,
 * sequence. A key is compiled once and then compared with many values. Immutable after that,
 * thread-safe. */

#include "base/error.h"
#include "base/slice.h"
#include "dicom/dataset.h"

enum match_kind {
    MATCH_UNIVERSAL, /* zero length or only '*' */
    MATCH_SINGLE,
    MATCH_WILDCARD,
    MATCH_RANGE, /* DA TM DT */
    MATCH_UID_LIST,
};

struct match_key;

/* `value` is UTF-8, backslash between the members of a list. ERROR_INVALID with the tag for a date,
 * time or range that is none (FND-13), and for a key beyond the limits (64 KiB, 64 wildcards,
 * 20,000 list members). */
bool match_key_open(uint32_t tag, uint16_t vr, struct slice value, struct match_key **out,
                    struct error *err);
void match_key_close(struct match_key *key);
enum match_kind match_key_kind(const struct match_key *key);
uint16_t match_key_vr(const struct match_key *key);

/* `value`: UTF-8, all values of the attribute with backslashes between, empty when absent. Any
 * value that matches is enough. PN: case- and accent-insensitive, in each component group (PS3.4
 * C.2.2.2.1.1). */
bool match_value(const struct match_key *key, struct slice value);

/* What an index can use: the members of a single value or UID list; the literal beginning of a
 * wildcard; the ends of a range (empty: open). Values are folded as match_fold does. Borrowed. */
size_t match_key_count(const struct match_key *key);
struct slice match_key_member(const struct match_key *key, size_t index);
struct slice match_key_prefix(const struct match_key *key);
struct slice match_key_lower(const struct match_key *key);
struct slice match_key_upper(const struct match_key *key);

/* A value in the form in which equal ones are equal bytes: padding off; PN folded in case, accents
 * and empty trailing components; IS and DS as numbers; TM and DA in full length without
 * punctuation. Appends. For index terms. */
void match_fold(uint16_t vr, struct slice value, struct buffer *folded);

/* A date and a time range taken together as one span (PS3.4 C.2.2.2.5): both keys must be
 * MATCH_RANGE or SINGLE. */
bool match_combined(const struct match_key *date, const struct match_key *time,
                    struct slice date_value, struct slice time_value);
