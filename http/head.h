/* SPDX-License-Identifier: MIT */
#pragma once
/* Did the lines of a request's head end as they must (RFC 9112 2.2), and was none folded (5.2)? The
 * library before 1.0 takes a line feed alone for the end of a line, and joins folded lines, and
 * does not tell. What it does: it reads the head in place, so that where its texts lie says what
 * stood between them. */

#include "http/exchange.h"

/* `method` and `version`: as the library gave them, `size`: of the head with the empty line. */
bool head_is_sound(const char *method, const char *version, size_t size,
                   const struct request *request);
