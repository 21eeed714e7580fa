/* SPDX-License-Identifier: MIT */
#include "cast/uuid.h"

#include <stdio.h>

#include "base/bytes.h"

enum { BLOCK = 64, ROUNDS = 80 };

struct sha1_state {
    uint32_t h[5];
    uint8_t block[BLOCK];
    size_t filled;
    uint64_t size;
};

static uint32_t rotate(uint32_t value, int bits)
{
    return value << bits | value >> (32 - bits);
}

/* FIPS 180-4 6.1.2. */
static void sha1_block(struct sha1_state *state)
{
    static const uint32_t k[] = { 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6 };
    uint32_t w[ROUNDS];
    uint32_t *h = state->h;
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int t = 0; t < 16; t++)
        w[t] = get_u32be(state->block + t * 4);
    for (int t = 16; t < ROUNDS; t++)
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    for (int t = 0; t < ROUNDS; t++) {
        uint32_t f = t < 20   ? (b & c) | (~b & d)
                     : t < 40 ? b ^ c ^ d
                     : t < 60 ? (b & c) | (b & d) | (c & d)
                              : b ^ c ^ d;
        uint32_t next = rotate(a, 5) + f + e + k[t / 20] + w[t];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
    state->filled = 0;
}

static void sha1_add(struct sha1_state *state, const uint8_t *bytes, size_t size)
{
    state->size += size;
    for (size_t i = 0; i < size; i++) {
        state->block[state->filled++] = bytes[i];
        if (state->filled == BLOCK)
            sha1_block(state);
    }
}

void sha1(struct slice first, struct slice second, uint8_t digest[SHA1_SIZE])
{
    struct sha1_state state = { .h = { 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476,
                                       0xC3D2E1F0 } };
    sha1_add(&state, first.data, first.size);
    sha1_add(&state, second.data, second.size);

    uint64_t bits = state.size * 8;
    uint8_t end[8] = { 0x80 };
    sha1_add(&state, end, 1);
    end[0] = 0;
    while (state.filled != BLOCK - 8)
        sha1_add(&state, end, 1);
    put_u32be(end, (uint32_t)(bits >> 32));
    put_u32be(end + 4, (uint32_t)bits);
    sha1_add(&state, end, 8);
    for (int i = 0; i < 5; i++)
        put_u32be(digest + i * 4, state.h[i]);
}

void uuid_of_name(struct slice name, char text[UUID_SIZE])
{
    /* Drawn once at random. */
    static const uint8_t namespace[16] = { 0xc5, 0x4a, 0x0d, 0x1c, 0x5e, 0x7f, 0x4d, 0x0a,
                                           0x9c, 0x55, 0x0b, 0x63, 0x1f, 0x2e, 0x88, 0xd1 };
    uint8_t u[SHA1_SIZE];
    sha1(slice_of(namespace, sizeof namespace), name, u);
    u[6] = (u[6] & 0x0F) | 0x50;
    u[8] = (u[8] & 0x3F) | 0x80;
    snprintf(text, UUID_SIZE,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
             u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
             u[15]);
}
