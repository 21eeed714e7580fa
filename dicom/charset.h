/* SPDX-License-Identifier: MIT */
#pragma once
/* Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 6.1): text of a data set to UTF-8. Never fails:
 * what cannot be decoded is read as Latin-1, then as U+FFFD. Immutable after opening; thread-safe.
 */

#include "base/buffer.h"
#include "base/slice.h"

struct charset;

/* `value` is the value of (0008,0005), backslashes and all; empty: the default repertoire. Sets are
 * shared and kept: nothing to free. Never NULL: an unknown name is read as if it were absent. */
const struct charset *charset_find(struct slice value);
const struct charset *charset_utf8(void);

/* Appends `text` as UTF-8. Code extensions are reset at line ends and control characters, and at
 * backslash where the VR is multi-valued, `^` and `=` for PN. Escapes are not in the result. */
void charset_decode(const struct charset *charset, uint16_t vr, struct slice text,
                    struct buffer *utf8);
