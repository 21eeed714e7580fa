/* SPDX-License-Identifier: MIT */
/* One byte for the VR, two for the size of the key, the key, a stored value. What matches must be
 * found by its index terms, and a value must match itself. */
#include "dicom/match.h"

#include <stdlib.h>

#include "dicom/charset.h"
#include "dicom/tag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_between(const struct match_key *key, struct slice term)
{
    struct slice lower = match_key_lower(key), upper = match_key_upper(key);
    return (!lower.size || slice_compare(lower, term) <= 0) &&
           (!upper.size || slice_compare(term, upper) <= 0);
}

static bool is_member(const struct match_key *key, struct slice term)
{
    for (size_t i = 0; i < match_key_count(key); i++) {
        if (slice_equal(match_key_member(key, i), term))
            return true;
    }
    return match_key_count(key) == 0;
}

static bool is_found_by_a_term(const struct match_key *key, struct slice value)
{
    struct match_terms terms = match_fold_terms(match_key_vr(key), value);
    struct buffer term = buffer_up_to(1 << 24);
    bool found = match_key_kind(key) == MATCH_UNIVERSAL;
    while (!found && match_terms_next(&terms, &term)) {
        struct slice text = buffer_slice(&term);
        found = slice_starts_with(text, match_key_prefix(key)) && lies_between(key, text) &&
                is_member(key, text);
    }
    buffer_release(&term);
    return found;
}

static void check_fold(uint16_t vr, struct slice value)
{
    struct buffer once = buffer_up_to(1 << 24), twice = buffer_up_to(1 << 24);
    match_fold(vr, value, &once);
    match_fold(vr, buffer_slice(&once), &twice);
    if (vr != VR_TM && vr != VR_DT && !slice_equal(buffer_slice(&once), buffer_slice(&twice)))
        abort();
    buffer_release(&once);
    buffer_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t vrs[] = { VR_PN, VR_LO, VR_LT, VR_UI, VR_DA, VR_TM, VR_DT, VR_DS, VR_US };
    if (size < 3)
        return 0;
    uint16_t vr = vrs[data[0] % (sizeof(vrs) / sizeof(vrs[0]))];
    struct slice rest = slice_of(data + 3, size - 3);
    struct slice text = slice_take(rest, (size_t)(data[1] | data[2] << 8));
    /* Values are UTF-8 by contract. */
    struct buffer value = buffer_up_to(1 << 24);
    charset_decode(charset_utf8(), vr, slice_skip(rest, text.size), &value);
    struct buffer key_text = buffer_up_to(1 << 24);
    charset_decode(charset_utf8(), vr, text, &key_text);
    struct match_key *key = NULL;
    struct error err = { 0 };
    if (!match_key_open(0x00100010, vr, buffer_slice(&key_text), &key, &err)) {
        if (err.code != ERROR_INVALID || err.tag != 0x00100010)
            abort();
    } else {
        struct slice own = buffer_slice(&key_text);
        if (match_value(key, buffer_slice(&value)) &&
            !is_found_by_a_term(key, buffer_slice(&value)))
            abort();
        if (match_key_kind(key) == MATCH_SINGLE && !match_value(key, own))
            abort();
        match_combined(key, key, buffer_slice(&value), buffer_slice(&value));
    }
    match_key_close(key);
    check_fold(vr, buffer_slice(&value));
    buffer_release(&value);
    buffer_release(&key_text);
    return 0;
}
