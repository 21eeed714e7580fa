/* SPDX-License-Identifier: MIT */
#include "dicom/fold.h"
#include "dicom/match_parts.h"
#include "dicom/tag.h"

enum manner match_manner(uint16_t vr)
{
    switch (vr) {
    case VR_AE:
    case VR_CS:
    case VR_LO:
    case VR_LT:
    case VR_SH:
    case VR_ST:
    case VR_UC:
    case VR_UR:
    case VR_UT:
        return MANNER_WILD;
    case VR_PN:
        return MANNER_NAME;
    case VR_UI:
        return MANNER_UID;
    case VR_DA:
    case VR_TM:
    case VR_DT:
        return MANNER_TIME;
    case VR_SQ:
    case VR_OB:
    case VR_OW:
    case VR_OD:
    case VR_OF:
    case VR_OL:
    case VR_OV:
        return MANNER_NONE;
    default: /* AS, AT and UN are literal */
        return vr_is_number(vr) ? MANNER_NUMBER : MANNER_LITERAL;
    }
}

struct slice match_take_part(struct slice *rest, uint8_t separator)
{
    const uint8_t *end = rest->size ? memchr(rest->data, separator, rest->size) : NULL;
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    struct slice part = slice_take(*rest, size);
    *rest = slice_skip(*rest, end ? size + 1 : size);
    return part;
}

struct slice match_take_value(uint16_t vr, struct slice *rest)
{
    if (vr_is_text(vr) && !vr_is_multi_valued(vr)) {
        struct slice all = *rest;
        *rest = slice_of(NULL, 0);
        return all;
    }
    return match_take_part(rest, '\\');
}

struct slice match_take_group(struct slice *rest, size_t index)
{
    struct slice group = match_take_part(rest, '=');
    if (index + 1 == NAME_GROUPS)
        *rest = slice_of(NULL, 0);
    return group;
}

struct slice match_trim(uint16_t vr, struct slice value)
{
    value = fold_trim(value);
    while (vr == VR_PN && value.size && value.data[value.size - 1] == '=') {
        value.size--;
        value = fold_trim(value);
    }
    return value;
}

bool match_parse_time_in(uint16_t vr, struct slice text, int64_t zone_us, struct time_span *span)
{
    return vr == VR_DA   ? date_parse(text, span)
           : vr == VR_TM ? time_parse(text, span)
                         : date_time_parse_in(text, zone_us, span);
}

bool match_parse_time(uint16_t vr, struct slice text, struct time_span *span)
{
    return match_parse_time_in(vr, text, 0, span);
}

void match_append_time(uint16_t vr, int64_t us, struct buffer *folded)
{
    char text[DATE_TIME_TEXT_SIZE];
    if (vr == VR_DA)
        date_format(us, text);
    else if (vr == VR_TM)
        time_format(us, text);
    else
        date_time_format(us, text);
    buffer_append_text(folded, text);
}

static void fold_name(struct slice value, struct buffer *folded)
{
    size_t end = folded->size;
    for (size_t index = 0; index < NAME_GROUPS; index++) {
        size_t start = folded->size;
        fold_name_group(match_take_group(&value, index), folded);
        if (folded->size > start)
            end = folded->size;
        if (index + 1 < NAME_GROUPS)
            buffer_append_byte(folded, '=');
    }
    folded->size = end;
}

void match_fold_value(uint16_t vr, struct slice value, struct buffer *folded)
{
    struct time_span span;
    value = match_trim(vr, value);
    switch (match_manner(vr)) {
    case MANNER_NAME:
        fold_name(value, folded);
        return;
    case MANNER_NUMBER:
        if (fold_number(value, folded))
            return;
        break;
    case MANNER_TIME:
        if (match_parse_time(vr, value, &span)) {
            match_append_time(vr, span.first_us, folded);
            return;
        }
        break;
    default:
        break;
    }
    buffer_append(folded, value);
}

void match_fold(uint16_t vr, struct slice value, struct buffer *folded)
{
    bool more;
    do {
        size_t before = value.size;
        struct slice one = match_take_value(vr, &value);
        more = before > one.size; /* there was a separator */
        match_fold_value(vr, one, folded);
        if (more)
            buffer_append_byte(folded, '\\');
    } while (more);
}

struct match_terms match_fold_terms(uint16_t vr, struct slice value)
{
    struct match_terms terms = { vr, value, { NULL, 0 }, 0 };
    return terms;
}

bool match_terms_next(struct match_terms *terms, struct buffer *term)
{
    buffer_clear(term);
    while (!term->size && (terms->groups.size || terms->rest.size)) {
        if (terms->vr != VR_PN) {
            match_fold_value(terms->vr, match_take_value(terms->vr, &terms->rest), term);
            continue;
        }
        if (!terms->groups.size) {
            terms->groups = match_trim(VR_PN, match_take_value(VR_PN, &terms->rest));
            terms->group = 0;
        }
        fold_name_group(match_take_group(&terms->groups, terms->group++), term);
    }
    return term->size != 0;
}

bool match_is_by_value(uint32_t tag)
{
    uint16_t vr = dictionary_vr(tag);
    if (tag >> 16 < 8 || (tag & 0xFFFF) == 0)
        return false;
    if (tag_is_private(tag))
        return true;
    return vr == VR_SQ || (vr != VR_UN && match_manner(vr) != MANNER_NONE);
}
