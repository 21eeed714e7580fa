/* SPDX-License-Identifier: MIT */
#include "storage/record.h"

#include "base/bytes.h"
#include "storage/crc32c.h"

/* Segment header block: magic 8, version 4, crc of bytes 16..63 4, number 4, kind 4, nonce 16,
 * zeros. Record header: magic 4, state 4, crc of bytes 12..639 4, version 2, key size 2,
 * segment 4, payload crc 4, offset 8, payload size 8, nonce 16, zeros up to 128, key 512.
 * The state stands outside the checksum, so that four bytes turn a record dead. */

enum {
    FORMAT_VERSION = 1,
    SEGMENT_CRC_FROM = 16,
    SEGMENT_HEADER_END = 64,
    RECORD_CRC_FROM = 12,
    RECORD_KEY_OFFSET = 128,
};

static const uint8_t segment_magic[8] = { 'H', 'N', 'S', 'F', 'S', 'E', 'G', '\n' };
static const uint8_t record_magic[4] = { 'H', 'N', 'R', '\n' };
static const char state_words[][RECORD_STATE_SIZE + 1] = {
    [RECORD_LIVE] = "LIVE",
    [RECORD_DEAD] = "DEAD",
    [RECORD_TORN] = "TORN",
};

void segment_header_encode(const struct segment_header *header, uint8_t block[SEGMENT_BLOCK])
{
    memset(block, 0, SEGMENT_BLOCK);
    memcpy(block, segment_magic, sizeof(segment_magic));
    put_u32le(block + 8, FORMAT_VERSION);
    put_u32le(block + 16, header->number);
    put_u32le(block + 20, (uint32_t)header->kind);
    memcpy(block + 24, header->nonce, NONCE_SIZE);
    put_u32le(block + 12, crc32c_extend(0, slice_of(block + SEGMENT_CRC_FROM,
                                                    SEGMENT_HEADER_END - SEGMENT_CRC_FROM)));
}

bool segment_header_decode(const uint8_t block[SEGMENT_BLOCK], struct segment_header *header,
                           struct error *err)
{
    if (memcmp(block, segment_magic, sizeof(segment_magic)) != 0)
        return error_set(err, ERROR_CORRUPT, "no segment header");
    uint32_t version = get_u32le(block + 8);
    if (version > FORMAT_VERSION)
        return error_set(err, ERROR_UNSUPPORTED, "segment has version %u, newer than this program",
                         version);
    uint32_t crc = crc32c_extend(
        0, slice_of(block + SEGMENT_CRC_FROM, SEGMENT_HEADER_END - SEGMENT_CRC_FROM));
    header->number = get_u32le(block + 16);
    uint32_t kind = get_u32le(block + 20);
    if (crc != get_u32le(block + 12) || (kind != SEGMENT_SHARED && kind != SEGMENT_SINGLE))
        return error_set(err, ERROR_CORRUPT, "segment header does not fit its checksum");
    header->kind = (enum segment_kind)kind;
    memcpy(header->nonce, block + 24, NONCE_SIZE);
    return true;
}

void record_header_encode(const struct record_header *header, const uint8_t nonce[NONCE_SIZE],
                          uint8_t bytes[RECORD_HEADER_SIZE])
{
    memset(bytes, 0, RECORD_HEADER_SIZE);
    memcpy(bytes, record_magic, sizeof(record_magic));
    record_state_encode(header->state, bytes + RECORD_STATE_OFFSET);
    put_u16le(bytes + 12, FORMAT_VERSION);
    put_u16le(bytes + 14, (uint16_t)header->key.size);
    put_u32le(bytes + 16, header->id.segment);
    put_u32le(bytes + 20, header->id.crc32c);
    put_u64le(bytes + 24, header->id.offset);
    put_u64le(bytes + 32, header->id.size);
    memcpy(bytes + 40, nonce, NONCE_SIZE);
    if (header->key.size)
        memcpy(bytes + RECORD_KEY_OFFSET, header->key.data, header->key.size);
    put_u32le(bytes + 8, crc32c_extend(0, slice_of(bytes + RECORD_CRC_FROM,
                                                   RECORD_HEADER_SIZE - RECORD_CRC_FROM)));
}

static enum record_state decode_state(const uint8_t bytes[RECORD_STATE_SIZE])
{
    if (memcmp(bytes, state_words[RECORD_DEAD], RECORD_STATE_SIZE) == 0)
        return RECORD_DEAD;
    if (memcmp(bytes, state_words[RECORD_TORN], RECORD_STATE_SIZE) == 0)
        return RECORD_TORN;
    return RECORD_LIVE;
}

bool record_header_decode(const uint8_t bytes[RECORD_HEADER_SIZE], struct record_header *header,
                          uint8_t nonce[NONCE_SIZE])
{
    if (memcmp(bytes, record_magic, sizeof(record_magic)) != 0)
        return false;
    uint32_t crc = crc32c_extend(
        0, slice_of(bytes + RECORD_CRC_FROM, RECORD_HEADER_SIZE - RECORD_CRC_FROM));
    uint16_t key_size = get_u16le(bytes + 14);
    if (crc != get_u32le(bytes + 8) || get_u16le(bytes + 12) > FORMAT_VERSION ||
        key_size > RECORD_KEY_MAX)
        return false;
    header->state = decode_state(bytes + RECORD_STATE_OFFSET);
    header->id.segment = get_u32le(bytes + 16);
    header->id.crc32c = get_u32le(bytes + 20);
    header->id.offset = get_u64le(bytes + 24);
    header->id.size = get_u64le(bytes + 32);
    header->key = slice_of(bytes + RECORD_KEY_OFFSET, key_size);
    memcpy(nonce, bytes + 40, NONCE_SIZE);
    return header->id.size < UINT64_MAX / 4;
}

void record_state_encode(enum record_state state, uint8_t bytes[RECORD_STATE_SIZE])
{
    memcpy(bytes, state_words[state], RECORD_STATE_SIZE);
}

bool record_block_is_empty(const uint8_t block[SEGMENT_BLOCK])
{
    static const uint8_t zeros[SEGMENT_BLOCK];
    return memcmp(block, zeros, SEGMENT_BLOCK) == 0;
}

bool blob_id_equals(const struct blob_id *a, const struct blob_id *b)
{
    return a->segment == b->segment && a->offset == b->offset && a->size == b->size &&
           a->crc32c == b->crc32c;
}

void blob_id_encode(const struct blob_id *id, uint8_t bytes[BLOB_ID_SIZE])
{
    put_u32be(bytes, id->segment);
    put_u32be(bytes + 4, id->crc32c);
    put_u64be(bytes + 8, id->offset);
    put_u64be(bytes + 16, id->size);
}

void blob_id_decode(const uint8_t bytes[BLOB_ID_SIZE], struct blob_id *id)
{
    id->segment = get_u32be(bytes);
    id->crc32c = get_u32be(bytes + 4);
    id->offset = get_u64be(bytes + 8);
    id->size = get_u64be(bytes + 16);
}
