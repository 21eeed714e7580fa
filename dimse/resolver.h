/* SPDX-License-Identifier: MIT */
#pragma once
/* Host names with a deadline: the C library's resolver takes as long as it likes, so it is asked on
 * a thread of its own, which ends by itself. Numeric addresses are told at once. Thread-safe. */

#include <netdb.h>
#include <stdint.h>

#include "base/error.h"

/* Release by freeaddrinfo. ERROR_TIMEOUT; ERROR_BUSY when too many names are being asked for. */
bool resolver_find(const char *host, uint16_t port, int64_t deadline_ms, struct addrinfo **out,
                   struct error *err);
