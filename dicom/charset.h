/* SPDX-License-Identifier: MIT */
#pragma once
/* Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 6.1): text of a data set to UTF-8. Never fails:
 * what cannot be decoded is read as Latin-1 in a single-byte set, as U+FFFD in others. In the
 * default repertoire, which has nothing above 7F, text that is valid UTF-8 is read as that. Escapes
 * are honoured whether their set was announced or not. Immutable; thread-safe. */

#include "base/buffer.h"
#include "base/slice.h"

struct charset;

/* `value` is the value of (0008,0005), backslashes and all; empty: the default repertoire. Sets are
 * shared and kept: nothing to free. Never NULL: an unknown name is read as if it were absent. */
const struct charset *charset_find(struct slice value);
const struct charset *charset_utf8(void);

/* Appends `text` as UTF-8. Code extensions are reset at line ends and control characters, and at
 * backslash where the VR is multi-valued, `^` and `=` for PN. The result is valid UTF-8 without
 * ESC, its backslashes are the separators of values. */
void charset_decode(const struct charset *charset, uint16_t vr, struct slice text,
                    struct buffer *utf8);

/* Are the bytes of `text` their own UTF-8, ASCII without escapes? Then decoding would copy them. */
bool charset_is_plain(const struct charset *charset, struct slice text);
