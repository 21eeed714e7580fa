/* SPDX-License-Identifier: MIT */
#pragma once
/* The bytes of a segment file: its own header block, and the header before every blob.
 * docs/storage-format.md. Pure functions. */

#include "storage/blob.h"

enum {
    SEGMENT_BLOCK = 4096,     /* records begin at multiples of it */
    RECORD_HEADER_SIZE = 640, /* the payload follows at once */
    RECORD_KEY_MAX = 512,
    NONCE_SIZE = 16,
};

enum segment_kind {
    SEGMENT_SHARED = 1, /* many records, one behind the other */
    SEGMENT_SINGLE = 2, /* one big record */
};

struct segment_header {
    uint32_t number;
    enum segment_kind kind;
    uint8_t nonce[NONCE_SIZE]; /* random, so that no payload can pretend to be a record */
};

enum record_state { RECORD_LIVE, RECORD_DEAD, RECORD_TORN };

struct record_header {
    struct blob_id id;
    struct slice key; /* points into the bytes it was decoded from */
    enum record_state state;
};

enum { RECORD_STATE_OFFSET = 4, RECORD_STATE_SIZE = 4 };

void segment_header_encode(const struct segment_header *header, uint8_t block[SEGMENT_BLOCK]);
/* ERROR_UNSUPPORTED when its version is newer, ERROR_CORRUPT when it is none. */
bool segment_header_decode(const uint8_t block[SEGMENT_BLOCK], struct segment_header *header,
                           struct error *err);

void record_header_encode(const struct record_header *header, const uint8_t nonce[NONCE_SIZE],
                          uint8_t bytes[RECORD_HEADER_SIZE]);
/* False when the bytes are no whole record header. */
bool record_header_decode(const uint8_t bytes[RECORD_HEADER_SIZE], struct record_header *header,
                          uint8_t nonce[NONCE_SIZE]);
void record_state_encode(enum record_state state, uint8_t bytes[RECORD_STATE_SIZE]);

/* Nothing was ever written there, or it was given back. */
bool record_block_is_empty(const uint8_t block[SEGMENT_BLOCK]);

/* What a record takes in its segment. */
static inline uint64_t record_extent(uint64_t payload_size)
{
    return (RECORD_HEADER_SIZE + payload_size + SEGMENT_BLOCK - 1) / SEGMENT_BLOCK * SEGMENT_BLOCK;
}
