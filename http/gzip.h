/* SPDX-License-Identifier: MIT */
#pragma once
/* For handlers that keep compressed answers: the coding that the server else applies by itself to
 * every text (http/compress.h). Such an answer says Content-Encoding: gzip and Vary:
 * Accept-Encoding, and is sent as it is. */

#include "http/server.h"

bool request_accepts_gzip(const struct request *request);

/* What `inner` gives, compressed while it is sent. Takes the source over. */
struct body_source gzip_source(const struct body_source *inner);
