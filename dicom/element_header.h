/* SPDX-License-Identifier: MIT */
#pragma once
/* The bytes before a value (PS3.5 7.1.2, 7.1.3, 7.5): tag, VR and length. Shared by the scan and
 * the readers of what it has passed, so that both see the same elements. */

#include "base/bytes.h"
#include "dicom/vr_table.h"

struct element_header {
    uint32_t tag;
    uint32_t length; /* or LENGTH_UNDEFINED */
    uint16_t vr;     /* 0 when it is not in the bytes: implicit VR, items, delimiters */
    uint8_t size;    /* of the header itself: 8 or 12 */
};

enum { ELEMENT_HEADER_MAX = 12 };

enum element_header_state {
    ELEMENT_HEADER_READ,
    ELEMENT_HEADER_SHORT,  /* more bytes are needed */
    ELEMENT_HEADER_BAD_VR, /* no VR, and its length cannot be told */
};

static inline bool is_letter(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z';
}

static inline enum element_header_state element_header_read(const uint8_t *p, size_t size,
                                                            bool explicit_vr, bool big_endian,
                                                            struct element_header *header)
{
    if (size < 8)
        return ELEMENT_HEADER_SHORT;
    header->tag = big_endian ? (uint32_t)get_u16be(p) << 16 | get_u16be(p + 2)
                             : (uint32_t)get_u16le(p) << 16 | get_u16le(p + 2);
    header->vr = 0;
    header->size = 8;
    if (!explicit_vr || header->tag >> 16 == 0xFFFE) {
        header->length = big_endian ? get_u32be(p + 4) : get_u32le(p + 4);
        return ELEMENT_HEADER_READ;
    }
    header->vr = VR(p[4], p[5]);
    uint8_t flags = vr_flags(header->vr);
    if (!flags) {
        /* A VR of the future has the long form; its content is as UN's (PS3.5 6.2.2). */
        if (!is_letter(p[4]) || !is_letter(p[5]) || p[6] || p[7])
            return ELEMENT_HEADER_BAD_VR;
        header->vr = VR_UN;
    } else if (!(flags & VR_LONG_FORM)) {
        header->length = big_endian ? get_u16be(p + 6) : get_u16le(p + 6);
        return ELEMENT_HEADER_READ;
    }
    if (size < 12)
        return ELEMENT_HEADER_SHORT;
    header->length = big_endian ? get_u32be(p + 8) : get_u32le(p + 8);
    header->size = 12;
    return ELEMENT_HEADER_READ;
}

/* Is this undefined length that of fragments (PS3.5 A.4) rather than of a sequence? */
static inline bool element_has_fragments(uint32_t tag, bool encapsulated)
{
    return tag == TAG_PIXEL_DATA && encapsulated;
}
