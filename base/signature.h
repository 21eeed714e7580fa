/* SPDX-License-Identifier: MIT */
#pragma once
/* Signatures by a private key of ours, as JSON Web Signatures have them (RFC 7518 3.3, 3.4):
 * RS384 with an RSA key of 2048 bits or more, ES384 with one on P-384. Immutable, thread-safe. */

#include "base/buffer.h"
#include "base/error.h"

struct signing_key;

/* PEM, without a password. ERROR_INVALID for a key of another kind. */
bool signing_key_load(const char *path, struct signing_key **out, struct error *err);
void signing_key_free(struct signing_key *key);
const char *signing_key_algorithm(const struct signing_key *key); /* "RS384", "ES384" */
/* Appends the signature: of ES384 the two numbers of 48 bytes, one behind the other. */
bool signing_key_sign(const struct signing_key *key, struct slice bytes, struct buffer *signature,
                      struct error *err);
