/* SPDX-License-Identifier: MIT */
#pragma once
/* Text as FHIR wants it, and percent encoding. */

#include "base/buffer.h"

/* In place: control characters but TAB, CR, LF become spaces or go, white space around is off.
 * False when nothing is left. (FHIR R4 datatypes, string.) */
bool text_clean(char *text);
/* As text_clean, and runs of white space become one space: a `code`. */
bool text_clean_code(char *text);
/* RFC 3986: all but unreserved characters become %XX, in upper case. */
void text_percent_encode(struct slice text, struct buffer *out);
/* For `uri`: no spaces, control characters, quotes or angle brackets; a scheme at the front. */
bool text_is_uri(const char *text);
