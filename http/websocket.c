/* SPDX-License-Identifier: MIT */
#include "http/websocket.h"

#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/digest.h"

enum { KEY_SIZE = 24, HEAD_SIZE = 2, MASK_SIZE = 4, FINAL = 0x80, RESERVED = 0x70, MASKED = 0x80 };

/* --- the handshake (RFC 6455 4.2.2) -------------------------------------------------------- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool is_key(const char *key)
{
    size_t size = strspn(key, letters);
    return size == KEY_SIZE - 2 && strcmp(key + size, "==") == 0;
}

bool websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_SIZE])
{
    uint8_t digest[DIGEST_SHA1_SIZE + 1] = { 0 };
    struct buffer text = buffer_up_to(128);
    accept[0] = '\0';
    if (!key || !is_key(key))
        return false;
    buffer_append_text(&text, key);
    buffer_append_text(&text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    digest_sha1(buffer_slice(&text), digest);
    buffer_release(&text);
    /* 20 bytes are 28 letters, the last of which pads. */
    for (size_t i = 0; i < 7; i++) {
        uint32_t three = (uint32_t)digest[3 * i] << 16 | (uint32_t)digest[3 * i + 1] << 8 |
                         digest[3 * i + 2];
        for (size_t j = 0; j < 4; j++)
            accept[4 * i + j] = letters[three >> (18 - 6 * j) & 0x3F];
    }
    accept[27] = '=';
    accept[28] = '\0';
    return true;
}

bool websocket_has_token(const char *field, const char *token)
{
    size_t size = strlen(token);
    while (field && *field) {
        field += strspn(field, " \t,");
        size_t length = strcspn(field, " \t,");
        if (length == size && strncasecmp(field, token, size) == 0)
            return true;
        field += length;
    }
    return false;
}

/* --- frames (RFC 6455 5.2) ----------------------------------------------------------------- */

static bool is_control(uint8_t opcode)
{
    return opcode & 0x8;
}

static size_t length_size(uint8_t second)
{
    uint8_t length = second & 0x7F;
    return length == 127 ? 8 : length == 126 ? 2 : 0;
}

static uint64_t payload_length(const struct websocket_reader *reader)
{
    const uint8_t *bytes = reader->head + HEAD_SIZE;
    uint64_t length = reader->head[1] & 0x7F;
    size_t size = length_size(reader->head[1]);
    if (size)
        length = 0;
    for (size_t i = 0; i < size; i++)
        length = length << 8 | bytes[i];
    return length;
}

/* What is wrong with the first two bytes; 0: nothing. */
static uint16_t check_start(const struct websocket_reader *reader)
{
    uint8_t opcode = reader->head[0] & 0x0F;
    bool is_final = reader->head[0] & FINAL;
    if (reader->head[0] & RESERVED || !(reader->head[1] & MASKED))
        return WEBSOCKET_PROTOCOL_ERROR;
    if (is_control(opcode))
        return opcode > WEBSOCKET_PONG || !is_final || length_size(reader->head[1])
                   ? WEBSOCKET_PROTOCOL_ERROR
                   : 0;
    if (opcode > WEBSOCKET_BINARY || (opcode == WEBSOCKET_CONTINUATION) != reader->in_message)
        return WEBSOCKET_PROTOCOL_ERROR;
    return 0;
}

/* The head is whole: its length, and the bounds of the message. */
static uint16_t begin_payload(struct websocket_reader *reader)
{
    uint8_t opcode = reader->head[0] & 0x0F;
    reader->left = payload_length(reader);
    reader->in_payload = true;
    reader->control_size = 0;
    if (reader->left >> 63)
        return WEBSOCKET_PROTOCOL_ERROR;
    if (is_control(opcode))
        return 0;
    if (opcode != WEBSOCKET_CONTINUATION) {
        reader->message_size = 0;
        reader->fragments = 0;
    }
    reader->in_message = !(reader->head[0] & FINAL);
    if (reader->left > WEBSOCKET_MESSAGE_SIZE - reader->message_size ||
        ++reader->fragments > WEBSOCKET_FRAGMENTS)
        return WEBSOCKET_TOO_BIG;
    reader->message_size += reader->left;
    return 0;
}

/* Of a close frame (RFC 6455 5.5.1, 7.4). */
static enum websocket_event closed(const struct websocket_reader *reader, uint16_t *code)
{
    *code = WEBSOCKET_NO_CODE;
    if (!reader->control_size)
        return WEBSOCKET_CLOSED;
    *code = reader->control_size > 1 ? (uint16_t)(reader->control[0] << 8 | reader->control[1]) : 0;
    bool is_code = (*code >= 1000 && *code <= 1014 && *code != 1004 && *code != 1005 &&
                    *code != 1006) ||
                   (*code >= 3000 && *code <= 4999);
    if (is_code)
        return WEBSOCKET_CLOSED;
    *code = WEBSOCKET_PROTOCOL_ERROR;
    return WEBSOCKET_BROKEN;
}

static enum websocket_event end_frame(struct websocket_reader *reader, uint16_t *code)
{
    reader->in_payload = false;
    reader->head_size = 0;
    switch (reader->head[0] & 0x0F) {
    case WEBSOCKET_PING:
        return WEBSOCKET_PINGED;
    case WEBSOCKET_PONG:
        return WEBSOCKET_PONGED;
    case WEBSOCKET_CLOSE:
        return closed(reader, code);
    default:
        return WEBSOCKET_MORE;
    }
}

static void take_payload(struct websocket_reader *reader, struct slice *bytes)
{
    size_t size = reader->left < bytes->size ? (size_t)reader->left : bytes->size;
    const uint8_t *mask = reader->head + HEAD_SIZE + length_size(reader->head[1]);
    if (is_control(reader->head[0] & 0x0F))
        for (size_t i = 0; i < size; i++, reader->control_size++)
            reader->control[reader->control_size] = bytes->data[i] ^
                                                    mask[reader->control_size % MASK_SIZE];
    reader->left -= size;
    *bytes = slice_skip(*bytes, size);
}

/* One byte of the head. What is wrong; 0: nothing. */
static uint16_t take_head(struct websocket_reader *reader, struct slice *bytes)
{
    reader->head[reader->head_size++] = bytes->data[0];
    *bytes = slice_skip(*bytes, 1);
    uint16_t wrong = reader->head_size == HEAD_SIZE ? check_start(reader) : 0;
    if (wrong || reader->head_size < HEAD_SIZE ||
        reader->head_size < HEAD_SIZE + length_size(reader->head[1]) + MASK_SIZE)
        return wrong;
    return begin_payload(reader);
}

enum websocket_event websocket_read(struct websocket_reader *reader, struct slice *bytes,
                                    uint16_t *code)
{
    for (;;) {
        if (reader->in_payload && !reader->left) {
            enum websocket_event event = end_frame(reader, code);
            if (event != WEBSOCKET_MORE)
                return event;
        }
        if (!bytes->size)
            return WEBSOCKET_MORE;
        if (reader->in_payload) {
            take_payload(reader, bytes);
            continue;
        }
        *code = take_head(reader, bytes);
        if (*code)
            return WEBSOCKET_BROKEN;
    }
}

void websocket_frame(enum websocket_opcode opcode, struct slice payload, struct buffer *out)
{
    buffer_append_byte(out, (uint8_t)(FINAL | opcode));
    if (payload.size < 126) {
        buffer_append_byte(out, (uint8_t)payload.size);
    } else if (payload.size <= UINT16_MAX) {
        buffer_append_byte(out, 126);
        buffer_append_u16be(out, (uint16_t)payload.size);
    } else {
        buffer_append_byte(out, 127);
        buffer_append_u32be(out, (uint32_t)((uint64_t)payload.size >> 32));
        buffer_append_u32be(out, (uint32_t)payload.size);
    }
    buffer_append(out, payload);
}

void websocket_close_frame(uint16_t code, const char *reason, struct buffer *out)
{
    struct buffer payload = buffer_up_to(WEBSOCKET_CONTROL_SIZE);
    if (code != WEBSOCKET_NO_CODE) {
        buffer_append_u16be(&payload, code);
        buffer_append(&payload, slice_take(slice_text(reason), WEBSOCKET_CONTROL_SIZE - 2));
    }
    websocket_frame(WEBSOCKET_CLOSE, buffer_slice(&payload), out);
    buffer_release(&payload);
}
