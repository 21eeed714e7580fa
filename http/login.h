/* SPDX-License-Identifier: MIT */
#pragma once
/* Who may ask for what: users with a password (Basic, RFC 7617) or a token (Bearer, RFC 6750).
 * Immutable but for what it remembers; thread-safe. */

#include "http/server.h"

struct login;

/* Copies the users. */
struct login *login_new(const struct http_user *users, size_t count);
void login_free(struct login *login);

/* Whose credentials these are: the value of an Authorization field, or NULL. NULL: nobody's, or
 * they have expired. Borrowed. */
const struct http_user *login_find(struct login *login, const char *authorization);
