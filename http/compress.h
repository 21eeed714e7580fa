/* SPDX-License-Identifier: MIT */
#pragma once
/* gzip for answers that are text (RFC 9110 8.4): JSON of a study shrinks to a tenth or less. */

#include "http/exchange.h"

/* Compresses the body, made or still to be made, when the client accepts that and it is worth it.
 */
void compress_response(const struct request *request, struct response *response);

/* Does an Accept-Encoding field accept gzip? (RFC 9110 12.5.3) */
bool accepts_gzip(const char *field);
