/* SPDX-License-Identifier: MIT */
#pragma once
/* Who may ask for what: users with a password (Basic, RFC 7617) or a token (Bearer, RFC 6750).
 * Immutable but for what it remembers; thread-safe. */

#include "http/address.h"
#include "http/server.h"

struct login;

/* Copies the users. */
struct login *login_new(const struct http_user *users, size_t count);
/* One who needs it more; each frees it. */
struct login *login_hold(struct login *login);
void login_free(struct login *login);

enum login_result {
    LOGIN_NONE,  /* nobody's credentials, or they have expired */
    LOGIN_FOUND, /* *user is whose they are; borrowed */
    LOGIN_BUSY,  /* too many passwords of this client, or of all, wait to be looked at */
};
/* Whose credentials these are: the value of an Authorization field, or NULL. Waits for its turn
 * when a password was never seen before. */
enum login_result login_find(struct login *login, const char *authorization,
                             const struct address *client, const struct http_user **user);
