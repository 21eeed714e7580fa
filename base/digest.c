/* SPDX-License-Identifier: MIT */
#include "base/digest.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

void digest_sha256(struct slice bytes, uint8_t digest[DIGEST_SIZE])
{
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes.data, bytes.size, digest) < 0)
        abort();
}

void digest_hmac_sha256(struct slice key, struct slice bytes, uint8_t digest[DIGEST_SIZE])
{
    if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, key.data, key.size, bytes.data, bytes.size, digest) < 0)
        abort();
}

void digest_sha1(struct slice bytes, uint8_t digest[DIGEST_SHA1_SIZE])
{
    if (gnutls_hash_fast(GNUTLS_DIG_SHA1, bytes.data, bytes.size, digest) < 0)
        abort();
}

bool digest_equal(const uint8_t a[DIGEST_SIZE], const uint8_t b[DIGEST_SIZE])
{
    return gnutls_memcmp(a, b, DIGEST_SIZE) == 0;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool digest_parse(const char *text, uint8_t digest[DIGEST_SIZE])
{
    if (strlen(text) != 2 * DIGEST_SIZE)
        return false;
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        int high = digit_of(text[2 * i]);
        int low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void random_bytes(void *bytes, size_t size)
{
    if (gnutls_rnd(GNUTLS_RND_KEY, bytes, size) < 0)
        abort();
}
