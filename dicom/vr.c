/* SPDX-License-Identifier: MIT */
#include "dicom/tag.h"

enum {
    KNOWN = 1,
    LONG_FORM = 2,
    TEXT = 4,
    CHARACTER_SET = 8,
    MULTI_VALUED = 16,
};

struct properties {
    uint8_t flags;
    uint8_t unit;
};

#define AT(a, b)  [((a) - 'A') * 26 + (b) - 'A']
#define STRINGS   KNOWN | TEXT | MULTI_VALUED
#define CHARS     STRINGS | CHARACTER_SET
#define PARAGRAPH KNOWN | TEXT | CHARACTER_SET

/* PS3.5 tables 6.2-1 and 7.1-1. By both letters, so that a scan pays one load an element. */
static const struct properties table[26 * 26] = {
    AT('A', 'E') = { STRINGS, 1 },
    AT('A', 'S') = { STRINGS, 1 },
    AT('A', 'T') = { KNOWN, 2 },
    AT('C', 'S') = { STRINGS, 1 },
    AT('D', 'A') = { STRINGS, 1 },
    AT('D', 'S') = { STRINGS, 1 },
    AT('D', 'T') = { STRINGS, 1 },
    AT('F', 'D') = { KNOWN, 8 },
    AT('F', 'L') = { KNOWN, 4 },
    AT('I', 'S') = { STRINGS, 1 },
    AT('L', 'O') = { CHARS, 1 },
    AT('L', 'T') = { PARAGRAPH, 1 },
    AT('O', 'B') = { KNOWN | LONG_FORM, 1 },
    AT('O', 'D') = { KNOWN | LONG_FORM, 8 },
    AT('O', 'F') = { KNOWN | LONG_FORM, 4 },
    AT('O', 'L') = { KNOWN | LONG_FORM, 4 },
    AT('O', 'V') = { KNOWN | LONG_FORM, 8 },
    AT('O', 'W') = { KNOWN | LONG_FORM, 2 },
    AT('P', 'N') = { CHARS, 1 },
    AT('S', 'H') = { CHARS, 1 },
    AT('S', 'L') = { KNOWN, 4 },
    AT('S', 'Q') = { KNOWN | LONG_FORM, 1 },
    AT('S', 'S') = { KNOWN, 2 },
    AT('S', 'T') = { PARAGRAPH, 1 },
    AT('S', 'V') = { KNOWN | LONG_FORM, 8 },
    AT('T', 'M') = { STRINGS, 1 },
    AT('U', 'C') = { CHARS | LONG_FORM, 1 },
    AT('U', 'I') = { STRINGS, 1 },
    AT('U', 'L') = { KNOWN, 4 },
    AT('U', 'N') = { KNOWN | LONG_FORM, 1 },
    AT('U', 'R') = { KNOWN | TEXT | LONG_FORM, 1 },
    AT('U', 'S') = { KNOWN, 2 },
    AT('U', 'T') = { PARAGRAPH | LONG_FORM, 1 },
    AT('U', 'V') = { KNOWN | LONG_FORM, 8 },
};

static uint8_t flags_of(uint16_t vr)
{
    unsigned first = (vr >> 8) - 'A';
    unsigned second = (vr & 0xFFu) - 'A';
    return first < 26 && second < 26 ? table[first * 26 + second].flags : 0;
}

bool vr_is_known(uint16_t vr)
{
    return flags_of(vr) & KNOWN;
}

bool vr_has_long_form(uint16_t vr)
{
    return flags_of(vr) & LONG_FORM;
}

bool vr_is_text(uint16_t vr)
{
    return flags_of(vr) & TEXT;
}

bool vr_uses_character_set(uint16_t vr)
{
    return flags_of(vr) & CHARACTER_SET;
}

bool vr_is_multi_valued(uint16_t vr)
{
    return flags_of(vr) & MULTI_VALUED;
}

size_t vr_unit_size(uint16_t vr)
{
    return flags_of(vr) ? table[((vr >> 8) - 'A') * 26 + (vr & 0xFF) - 'A'].unit : 1;
}

uint8_t vr_padding(uint16_t vr)
{
    return vr_is_text(vr) && vr != VR_UI ? ' ' : 0;
}
