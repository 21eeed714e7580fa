/* SPDX-License-Identifier: MIT */
#include "dicom/vr_table.h"

#define AT(a, b)  [((a) - 'A') * 26 + (b) - 'A']
#define STRINGS   VR_KNOWN | VR_TEXT | VR_MULTI_VALUED
#define CHARS     STRINGS | VR_CHARACTER_SET
#define PARAGRAPH VR_KNOWN | VR_TEXT | VR_CHARACTER_SET

/* PS3.5 tables 6.2-1 and 7.1-1. */
const struct vr_properties vr_table[VR_TABLE_SIZE] = {
    AT('A', 'E') = { STRINGS, 1 },
    AT('A', 'S') = { STRINGS, 1 },
    AT('A', 'T') = { VR_KNOWN, 2 },
    AT('C', 'S') = { STRINGS, 1 },
    AT('D', 'A') = { STRINGS, 1 },
    AT('D', 'S') = { STRINGS, 1 },
    AT('D', 'T') = { STRINGS, 1 },
    AT('F', 'D') = { VR_KNOWN, 8 },
    AT('F', 'L') = { VR_KNOWN, 4 },
    AT('I', 'S') = { STRINGS, 1 },
    AT('L', 'O') = { CHARS, 1 },
    AT('L', 'T') = { PARAGRAPH, 1 },
    AT('O', 'B') = { VR_KNOWN | VR_LONG_FORM, 1 },
    AT('O', 'D') = { VR_KNOWN | VR_LONG_FORM, 8 },
    AT('O', 'F') = { VR_KNOWN | VR_LONG_FORM, 4 },
    AT('O', 'L') = { VR_KNOWN | VR_LONG_FORM, 4 },
    AT('O', 'V') = { VR_KNOWN | VR_LONG_FORM, 8 },
    AT('O', 'W') = { VR_KNOWN | VR_LONG_FORM, 2 },
    AT('P', 'N') = { CHARS, 1 },
    AT('S', 'H') = { CHARS, 1 },
    AT('S', 'L') = { VR_KNOWN, 4 },
    AT('S', 'Q') = { VR_KNOWN | VR_LONG_FORM, 1 },
    AT('S', 'S') = { VR_KNOWN, 2 },
    AT('S', 'T') = { PARAGRAPH, 1 },
    AT('S', 'V') = { VR_KNOWN | VR_LONG_FORM, 8 },
    AT('T', 'M') = { STRINGS, 1 },
    AT('U', 'C') = { CHARS | VR_LONG_FORM, 1 },
    AT('U', 'I') = { STRINGS, 1 },
    AT('U', 'L') = { VR_KNOWN, 4 },
    AT('U', 'N') = { VR_KNOWN | VR_LONG_FORM, 1 },
    AT('U', 'R') = { VR_KNOWN | VR_TEXT | VR_LONG_FORM, 1 },
    AT('U', 'S') = { VR_KNOWN, 2 },
    AT('U', 'T') = { PARAGRAPH | VR_LONG_FORM, 1 },
    AT('U', 'V') = { VR_KNOWN | VR_LONG_FORM, 8 },
};

bool vr_is_known(uint16_t vr)
{
    return vr_flags(vr) & VR_KNOWN;
}

bool vr_has_long_form(uint16_t vr)
{
    return vr_flags(vr) & VR_LONG_FORM;
}

bool vr_is_text(uint16_t vr)
{
    return vr_flags(vr) & VR_TEXT;
}

bool vr_uses_character_set(uint16_t vr)
{
    return vr_flags(vr) & VR_CHARACTER_SET;
}

bool vr_is_multi_valued(uint16_t vr)
{
    return vr_flags(vr) & VR_MULTI_VALUED;
}

size_t vr_unit_size(uint16_t vr)
{
    return vr_flags(vr) ? vr_table[((vr >> 8) - 'A') * 26 + (vr & 0xFF) - 'A'].unit : 1;
}

uint8_t vr_padding(uint16_t vr)
{
    return vr_is_text(vr) && vr != VR_UI ? ' ' : 0;
}

bool vr_is_number(uint16_t vr)
{
    switch (vr) {
    case VR_IS:
    case VR_DS:
    case VR_US:
    case VR_SS:
    case VR_UL:
    case VR_SL:
    case VR_UV:
    case VR_SV:
    case VR_FL:
    case VR_FD:
        return true;
    default:
        return false;
    }
}
