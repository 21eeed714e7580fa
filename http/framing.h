/* SPDX-License-Identifier: MIT */
#pragma once
/* Where a request ends (RFC 9112 6.3, 7.1) and whom it is for (3.2): stricter than the library, so
 * that no two parties on the way can read one message as two (request smuggling). */

#include "http/exchange.h"

struct framing {
    bool has_body;
    bool has_length;
    uint64_t length;
};

/* 0 when the request's header fields are sound, else the status and why. */
int framing_check(const struct request *request, const char *version, struct framing *framing,
                  struct error *err);
