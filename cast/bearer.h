/* SPDX-License-Identifier: MIT */
#pragma once
/* Where bearer tokens come from: the setting, a file that others keep fresh, or an OAuth 2.0 token
 * endpoint (client credentials, RFC 6749 4.4), where we show a secret or sign an assertion (SMART
 * Backend Services; RFC 7523). A token is kept until it is about to end, or is refused.
 * Thread-safe. */

#include "cast/fhir_client.h"

struct bearer;

struct bearer_options {
    const char *token; /* one of these three */
    const char *file;
    const char *token_url;

    const char *client_id;
    const char *client_secret; /* or one of these two */
    const char *client_secret_file;
    const char *key_file;
    const char *key_id;              /* of the key in the set that we registered; NULL: not said */
    const char *scope;               /* NULL: not said */
    struct fhir_client_options http; /* of which TLS and proxy count */
};

/* *out NULL when the options name none. Their strings must outlive it. ERROR_INVALID. */
bool bearer_open(const struct bearer_options *options, struct bearer **out, struct error *err);
void bearer_close(struct bearer *bearer);
void bearer_stop(struct bearer *bearer); /* ends the request in flight */

/* A copy of the token that counts now. `refused`: one that the server did not take (NULL: none), so
 * that it is not given out again; ERROR_UNSUPPORTED when we
 * get none or no other. */
bool bearer_token(struct bearer *bearer, const char *refused, char **token, struct error *err);
