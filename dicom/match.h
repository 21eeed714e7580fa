/* SPDX-License-Identifier: MIT */
#pragma once
/* Attribute matching (PS3.4 C.2.2.2): single value, list of UID, universal, wildcard, range,
 * sequence. A key is compiled once and then compared with many values. Immutable after that,
 * thread-safe. */

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "dicom/dataset.h"

enum match_kind {
    MATCH_UNIVERSAL, /* zero length or only '*' */
    MATCH_SINGLE,
    MATCH_WILDCARD,
    MATCH_RANGE, /* DA TM DT */
    MATCH_UID_LIST,
    MATCH_EMPTY, /* nothing but an empty or absent value */
};

/* What is agreed beyond the rules that always hold (PS3.4 C.5.1.1). */
enum match_option {
    MATCH_FUZZY_NAMES = 1,     /* PN: see dicom/fuzzy.h */
    MATCH_EMPTY_VALUE = 2,     /* `""` asks for an empty or absent value (PS3.4 C.2.2.2.7) */
    MATCH_MULTIPLE_VALUES = 4, /* `a\b` asks for all of these, in any order (PS3.4 C.2.2.2.8) */
};

struct match_key;

/* `value` is UTF-8, backslash between the members of a list. ERROR_INVALID with the tag for
 * - a DA, TM or DT that is neither a value nor a range, or a DA or DT range with reversed ends
 *   (FND-13). A TM range with reversed ends matches nothing: it never wraps midnight. It is only of
 *   use in match_combined, where the days may differ;
 * - `*` or `?` beside other characters where the VR has no wildcards (PS3.4 C.2.2.2.4), a member of
 *   a list that is empty, any value for a VR that is not matched by value (SQ, OB ...);
 * - a key beyond the limits (64 KiB, 64 wildcards, 20,000 list members).
 *
 * Shortened values: in a stored value or a single value what is left out is zero ("2230" is
 * 22:30:00), as it is in the lower end of a range; the upper end of a range is the end of the
 * period that it names ("-1800" is up to 18:00:59.999999, "-2006" of a DT up to the end of that
 * year). A DT with an offset is an instant, one without is read as UTC. In a DT a `-` is the hyphen
 * of a range wherever that makes a range that is none reversed, else the sign of an offset.
 *
 * A backslash in a VR that is no UI asks for just these values in this order. */
bool match_key_open(uint32_t tag, uint16_t vr, struct slice value, struct match_key **out,
                    struct error *err);
/* The same with some of enum match_option. */
bool match_key_open_with(uint32_t tag, uint16_t vr, struct slice value, unsigned options,
                         struct match_key **out, struct error *err);
/* The same; a DT without an offset is of a zone that is so far ahead of UTC. */
bool match_key_open_in(uint32_t tag, uint16_t vr, struct slice value, unsigned options,
                       int64_t zone_us, struct match_key **out, struct error *err);
void match_key_close(struct match_key *key);
enum match_kind match_key_kind(const struct match_key *key);
uint16_t match_key_vr(const struct match_key *key);

/* `value`: UTF-8, all values of the attribute with backslashes between, empty when absent. Any
 * value that matches is enough. Case-sensitive but for PN; padding never counts; numbers are
 * compared as numbers.
 *
 * PN (PS3.4 C.2.2.2.1.1): without regard to case and accents; empty components and groups at the
 * end do not count, neither in a key nor in a value. A key without `=` matches any one of the three
 * component groups; in a key with `=` each group that is not empty must match that very group. A
 * `?` is one character after folding (ß is two). */
bool match_value(const struct match_key *key, struct slice value);

/* The terms that an index must keep of an attribute so that every match can be found by them: one
 * for each value, for PN one for each component group of each value (alphabetic, ideographic,
 * phonetic), without a mark which. Folded as the parts of a key are. Empty ones are left out.
 *     struct match_terms terms = match_fold_terms(VR_PN, value);
 *     while (match_terms_next(&terms, &term)) ...            (`term` is cleared each time)
 * By value; borrows `value`. */
struct match_terms {
    uint16_t vr;
    struct slice rest;   /* values not yet seen */
    struct slice groups; /* PN: of the present value, not yet seen */
    size_t group;
};
struct match_terms match_fold_terms(uint16_t vr, struct slice value);
bool match_terms_next(struct match_terms *terms, struct buffer *term);

/* What an index can ask for. A value can match only if one of its terms (see above)
 * - is one of the members, when there are any (a single value, a UID list: sorted);
 * - begins with the prefix (a wildcard key; may be empty);
 * - lies between the ends, both included, in the order of bytes (a range; empty: open).
 * This finds candidates: match_value decides. Borrowed. */
size_t match_key_count(const struct match_key *key);
struct slice match_key_member(const struct match_key *key, size_t index);
struct slice match_key_prefix(const struct match_key *key);
struct slice match_key_lower(const struct match_key *key);
struct slice match_key_upper(const struct match_key *key);

/* A value in the form in which equal ones are equal bytes: padding off; PN folded in case, accents
 * and empty components and groups at the end, its groups joined by `=`; IS, DS and the numbers of
 * binary VRs in one spelling; DA as YYYYMMDD, TM as HHMMSSFFFFFF, DT as YYYYMMDDHHMMSSFFFFFF in
 * UTC. What is no such date or number stays as it is. Several values stay apart by backslashes.
 * Appends. An index of names needs match_fold_terms. */
void match_fold(uint16_t vr, struct slice value, struct buffer *folded);

/* A date and a time range taken together as one span (PS3.4 C.2.2.2.5): from the lower date at the
 * lower time to the upper date at the upper time. When either key is no range (SINGLE, or
 * UNIVERSAL) each is matched for itself. */
bool match_combined(const struct match_key *date, const struct match_key *time,
                    struct slice date_value, struct slice time_value);

/* Is the attribute one that keys can ask for: matched by value, a sequence, or private? Not what
 * the dictionary does not know, command and file meta elements, and bulk data. */
bool match_is_by_value(uint32_t tag);
