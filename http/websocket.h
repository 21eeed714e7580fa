/* SPDX-License-Identifier: MIT */
#pragma once
/* WebSockets (RFC 6455) as a server that tells and does not ask: what comes in is read by the rules
 * of frames, pings are answered, and messages of the client are passed over. Pure functions of the
 * bytes; the socket and its thread stand above them (http/channel.h).
 *
 * Limits: a message of 64 KiB in 1,024 fragments, 50 pings in a second, 30 s for the client to take
 * what is sent. */

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

/* Close codes (RFC 6455 7.4.1). */
enum websocket_code {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_NO_CODE = 1005, /* never sent */
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
    WEBSOCKET_INTERNAL_ERROR = 1011,
    WEBSOCKET_TRY_AGAIN = 1013, /* of the registry, not of the RFC itself */
};

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0x0,
    WEBSOCKET_TEXT = 0x1,
    WEBSOCKET_BINARY = 0x2,
    WEBSOCKET_CLOSE = 0x8,
    WEBSOCKET_PING = 0x9,
    WEBSOCKET_PONG = 0xA,
};

/* --- the handshake. The value of Sec-WebSocket-Accept for a Sec-WebSocket-Key; false for one that
 * is no 16 bytes in base64. */
enum { WEBSOCKET_ACCEPT_SIZE = 29 };
bool websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_SIZE]);
/* Is `token` one of the list of a header field ("keep-alive, Upgrade")? Without regard to case. */
bool websocket_has_token(const char *field, const char *token);

/* --- frames. */
enum {
    WEBSOCKET_CONTROL_SIZE = 125,
    WEBSOCKET_MESSAGE_SIZE = 64 << 10,
    WEBSOCKET_FRAGMENTS = 1024
};

/* What the client sends, of any cut. By value; zeroed at first. */
struct websocket_reader {
    uint8_t head[14]; /* of the frame at hand */
    size_t head_size;
    bool in_payload;
    uint64_t left; /* of its payload */
    uint8_t control[WEBSOCKET_CONTROL_SIZE];
    size_t control_size;
    bool in_message; /* a fragmented one has begun */
    uint64_t message_size;
    unsigned fragments;
};

enum websocket_event {
    WEBSOCKET_MORE,   /* all was read */
    WEBSOCKET_PINGED, /* reader.control is to go back */
    WEBSOCKET_PONGED,
    WEBSOCKET_CLOSED, /* the client closes: code as it gave it */
    WEBSOCKET_BROKEN, /* code tells what to close with */
};
/* Reads from the front of *bytes up to the next event. */
enum websocket_event websocket_read(struct websocket_reader *reader, struct slice *bytes,
                                    uint16_t *code);

/* Appends a frame of the server's (unmasked, whole). */
void websocket_frame(enum websocket_opcode opcode, struct slice payload, struct buffer *out);
void websocket_close_frame(uint16_t code, const char *reason, struct buffer *out);
