/* SPDX-License-Identifier: MIT */
#pragma once
/* Byte ranges (RFC 9110 14): of what is streamed with a known size a part can be had. The other
 * half of conditional.c, response_etag, is in http/server.h. For http/ only. */

#include "http/exchange.h"

/* Makes a 206 or 416 of the 200 that a handler has given to a GET, where the request asks for that.
 */
void range_apply(const struct request *request, struct response *response);
