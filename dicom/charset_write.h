/* SPDX-License-Identifier: MIT */
#pragma once
/* UTF-8 into the sets of a Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 6.1.2): the way back
 * from dicom/charset.h. One thread at a time. */

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

struct charset_writer;

/* For this value of (0008,0005); empty: the default repertoire. NULL when one of its sets is not
 * known. Close it. */
struct charset_writer *charset_writer_open(struct slice value);
void charset_writer_close(struct charset_writer *writer);

/* Appends the text of a VR, all values with backslashes between; escapes begin anew behind each
 * delimiter and end with the text. False when a character is in none of the sets; what was appended
 * is then of no use. */
bool charset_write(struct charset_writer *writer, uint16_t vr, struct slice utf8,
                   struct buffer *text);
