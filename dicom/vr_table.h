/* SPDX-License-Identifier: MIT */
#pragma once
/* Behind dicom/tag.h: what is known of each VR, by both letters, so that reading an element header
 * costs one load. */

#include "dicom/tag.h"

enum vr_flag {
    VR_KNOWN = 1,
    VR_LONG_FORM = 2,
    VR_TEXT = 4,
    VR_CHARACTER_SET = 8,
    VR_MULTI_VALUED = 16,
};

struct vr_properties {
    uint8_t flags;
    uint8_t unit;
};

enum { VR_TABLE_SIZE = 26 * 26 };
extern const struct vr_properties vr_table[VR_TABLE_SIZE];

/* 0 for what is no VR. */
static inline uint8_t vr_flags(uint16_t vr)
{
    unsigned first = (vr >> 8) - 'A';
    unsigned second = (vr & 0xFFu) - 'A';
    return first < 26 && second < 26 ? vr_table[first * 26 + second].flags : 0;
}
