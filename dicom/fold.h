/* SPDX-License-Identifier: MIT */
#pragma once
/* Values in the form in which equal ones are equal bytes. Folding twice changes nothing. */

#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"

/* Case, accents and combining marks off: Latin, Greek, Cyrillic and Armenian letters, full-width
 * ones too; typographic apostrophes, hyphens and spaces as the ASCII ones; ß as ss, æ as ae and so
 * on. Other scripts stay. Appends. */
void fold_text(struct slice utf8, struct buffer *folded);

/* One component group of a PN: each component folded and without spaces around it, empty components
 * at the end off (PS3.5 6.2.1). Appends. */
void fold_name_group(struct slice utf8, struct buffer *folded);

/* A decimal number (IS, DS and the numbers of binary VRs), exactly: "007", "7.0" and "70e-1" are
 * all "7". False and nothing appended when it is none. */
bool fold_number(struct slice text, struct buffer *folded);

/* Without the spaces and NULs at both ends. */
struct slice fold_trim(struct slice text);
