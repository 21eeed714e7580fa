/* SPDX-License-Identifier: MIT */
#pragma once
/* The file of those who may use HTTP, for http.usersFile: names, hashes of passwords and tokens,
 * rights. Read-only once loaded. */

#include "base/error.h"
#include "http/server.h"

enum { USERS_MAX = 1000 };

struct users {
    struct http_user *users;
    size_t count;
};

/* ERROR_INVALID says which user, and what is wrong. */
bool users_load(const char *path, struct users *users, struct error *err);
void users_release(struct users *users);
