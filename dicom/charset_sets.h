/* SPDX-License-Identifier: MIT */
#pragma once
/* The graphic character sets of PS3.3 C.12.1.1.2 and what each byte of the single-byte ones
 * means. */

#include <stdint.h>

enum graphic_set {
    /* 96 characters in G1, in this order in charset_g1_table */
    SET_LATIN1,
    SET_LATIN2,
    SET_LATIN3,
    SET_LATIN4,
    SET_CYRILLIC,
    SET_ARABIC,
    SET_GREEK,
    SET_HEBREW,
    SET_LATIN5,
    SET_LATIN9,
    SET_THAI,
    SET_TABLES,
    /* computed */
    SET_NONE = SET_TABLES,
    SET_ASCII,     /* ISO-IR 6 */
    SET_JIS_ROMAN, /* ISO-IR 14, JIS X 0201 romaji */
    SET_KATAKANA,  /* ISO-IR 13, JIS X 0201 katakana */
    /* two bytes a character */
    SET_JIS_X_0208, /* ISO-IR 87 */
    SET_JIS_X_0212, /* ISO-IR 159 */
    SET_KS_X_1001,  /* ISO-IR 149 */
    SET_GB_2312,    /* ISO-IR 58 */
};

extern const uint16_t charset_g1_table[][96];
