/* SPDX-License-Identifier: MIT */
#pragma once
/* SHA-256, and random bytes that nobody can guess. Thread-safe. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { DIGEST_SIZE = 32 };

void digest_sha256(struct slice bytes, uint8_t digest[DIGEST_SIZE]);
/* RFC 2104 */
void digest_hmac_sha256(struct slice key, struct slice bytes, uint8_t digest[DIGEST_SIZE]);
/* For what wants it and needs no secret of it (RFC 6455). */
enum { DIGEST_SHA1_SIZE = 20 };
void digest_sha1(struct slice bytes, uint8_t digest[DIGEST_SHA1_SIZE]);
/* In a time that does not depend on where they differ. */
bool digest_equal(const uint8_t a[DIGEST_SIZE], const uint8_t b[DIGEST_SIZE]);
/* 64 hexadecimal digits. */
bool digest_parse(const char *text, uint8_t digest[DIGEST_SIZE]);
/* Aborts when the system has none: nothing could be kept secret then. */
void random_bytes(void *bytes, size_t size);
