/* SPDX-License-Identifier: MIT */
#pragma once
/* UTF-8 (RFC 3629) by code point: no surrogates, no overlong forms, nothing above U+10FFFF. */

#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"

enum { UTF8_REPLACEMENT = 0xFFFD };

/* The size of the character at the start of `text`, 1 to 4; 0 when there is none that is valid. */
size_t utf8_size(struct slice text);

/* The character at the start of `text`, and its size. What is not valid is U+FFFD, with as many
 * bytes as begin a character and no more (at least 1), as the Unicode standard recommends. `text`
 * is not empty. */
uint32_t utf8_next(struct slice text, size_t *size);

bool utf8_is_valid(struct slice text);

/* Appends a code point; one that is none as U+FFFD. */
void utf8_append(struct buffer *utf8, uint32_t code);
/* Appends `text` with everything that is not valid as U+FFFD. */
void utf8_append_repaired(struct buffer *utf8, struct slice text);
