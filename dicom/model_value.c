/* SPDX-License-Identifier: MIT */
#include "dicom/model_value.h"

#include "dicom/charset.h"

enum model_kind model_kind_of(uint16_t vr)
{
    switch (vr) {
    case VR_LO:
    case VR_SH:
    case VR_UC:
        return MODEL_TEXT;
    case VR_LT:
    case VR_ST:
    case VR_UT:
    case VR_UR:
        return MODEL_PARAGRAPH;
    case VR_PN:
        return MODEL_NAME;
    case VR_DS:
    case VR_IS:
        return MODEL_DECIMAL;
    case VR_FD:
    case VR_FL:
    case VR_SL:
    case VR_SS:
    case VR_SV:
    case VR_UL:
    case VR_US:
    case VR_UV:
        return MODEL_NUMBER;
    case VR_AT:
        return MODEL_TAG;
    case VR_OB:
    case VR_OD:
    case VR_OF:
    case VR_OL:
    case VR_OV:
    case VR_OW:
    case VR_UN:
        return MODEL_BINARY;
    default:
        return MODEL_STRING;
    }
}

void model_split_name(struct slice name, struct slice groups[MODEL_NAME_GROUPS])
{
    bool more = true;
    for (size_t i = 0; i < MODEL_NAME_GROUPS; i++) {
        groups[i] = slice_of(NULL, 0);
        if (more && i + 1 < MODEL_NAME_GROUPS)
            groups[i] = model_trim(model_take_part(&name, '=', &more), true);
        else if (more)
            groups[i] = model_trim(name, true);
    }
}

struct slice model_text(const struct element *element, enum model_kind kind, struct buffer *scratch,
                        bool *beyond_ascii)
{
    const struct charset *charset = element->charset;
    bool leading = kind != MODEL_PARAGRAPH && element->vr != VR_UC;
    if (kind == MODEL_STRING || kind == MODEL_DECIMAL || element->vr == VR_UR || !charset)
        charset = charset_find(slice_of(NULL, 0));
    struct slice text = model_trim(element->value, leading);
    *beyond_ascii = !charset_is_plain(charset, text);
    if (!*beyond_ascii)
        return text;
    buffer_clear(scratch);
    charset_decode(charset, element->vr, text, scratch);
    return model_trim(buffer_slice(scratch), leading);
}

static void put_base64(struct slice bytes, struct buffer *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct space space = buffer_reserve(out, (bytes.size + 2) / 3 * 4);
    if (!space.data)
        return;
    uint8_t *to = space.data;
    for (size_t at = 0; at < bytes.size; at += 3) {
        size_t left = bytes.size - at;
        uint32_t three = (uint32_t)bytes.data[at] << 16;
        if (left > 1)
            three |= (uint32_t)bytes.data[at + 1] << 8;
        if (left > 2)
            three |= bytes.data[at + 2];
        *to++ = (uint8_t)digits[three >> 18];
        *to++ = (uint8_t)digits[three >> 12 & 63];
        *to++ = left > 1 ? (uint8_t)digits[three >> 6 & 63] : '=';
        *to++ = left > 2 ? (uint8_t)digits[three & 63] : '=';
    }
    buffer_advance(out, space.size);
}

void model_put_base64(const struct element *element, struct buffer *out)
{
    enum { PIECE = 24 * 16 }; /* whole units and whole groups of three bytes */
    size_t unit = vr_unit_size(element->vr);
    struct slice rest = element->value;
    if (!element->big_endian || unit == 1) {
        put_base64(rest, out);
        return;
    }
    while (rest.size) {
        uint8_t swapped[PIECE];
        struct slice piece = slice_take(rest, PIECE);
        rest = slice_skip(rest, PIECE);
        size_t whole = piece.size / unit * unit;
        for (size_t i = 0; i < piece.size; i++)
            swapped[i] = piece.data[i < whole ? i / unit * unit + unit - 1 - i % unit : i];
        put_base64(slice_of(swapped, piece.size), out);
    }
}
