/* SPDX-License-Identifier: MIT */
#pragma once
/* Which web pages of other origins may use this server from a browser (the Fetch standard, "CORS
 * protocol"). For http/ only. Immutable, thread-safe. */

#include "http/exchange.h"

struct cors;

/* Origins as browsers write them: "https://viewer.example.org"; "*" is any. */
struct cors *cors_new(const char *const *origins, size_t count);
void cors_free(struct cors *cors);

/* Adds what a preflight asks for to the answer to OPTIONS; `allow`: the methods of the path. */
void cors_preflight(const struct cors *cors, const struct request *request, const char *allow,
                    struct response *response);
/* Adds what lets the page read the answer, to each one, before it is sent. */
/* Is the Origin of the request one of those? */
bool cors_allows(const struct cors *cors, const struct request *request);
void cors_finish(const struct cors *cors, const struct request *request, struct response *response);
