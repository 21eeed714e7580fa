/* SPDX-License-Identifier: MIT */
#include "http/websocket.h"

#include <string.h>

#include "tests/test.h"

/* A masked frame of the client's. */
static void frame(uint8_t first, const char *content, size_t size, struct buffer *out)
{
    static const uint8_t mask[4] = { 1, 2, 3, 4 };
    buffer_append_byte(out, first);
    if (size < 126) {
        buffer_append_byte(out, (uint8_t)(0x80 | size));
    } else {
        buffer_append_byte(out, 0x80 | 126);
        buffer_append_u16be(out, (uint16_t)size);
    }
    buffer_append(out, slice_of(mask, 4));
    for (size_t i = 0; i < size; i++)
        buffer_append_byte(out, (uint8_t)content[i] ^ mask[i % 4]);
}

/* The first event of these bytes, given in pieces of `cut`. */
static enum websocket_event first_event(struct slice bytes, size_t cut,
                                        struct websocket_reader *reader, uint16_t *code)
{
    memset(reader, 0, sizeof(*reader));
    while (bytes.size) {
        struct slice piece = slice_take(bytes, cut);
        bytes = slice_skip(bytes, piece.size);
        while (piece.size) {
            enum websocket_event event = websocket_read(reader, &piece, code);
            if (event != WEBSOCKET_MORE)
                return event;
        }
    }
    return WEBSOCKET_MORE;
}

TEST(HOS_44_a_key_is_answered_as_the_standard_has_it)
{
    char accept[WEBSOCKET_ACCEPT_SIZE];
    CHECK(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", accept)); /* RFC 6455 1.3 */
    CHECK_TEXT(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    CHECK(!websocket_accept(NULL, accept));
    CHECK(!websocket_accept("", accept));
    CHECK(!websocket_accept("dGhlIHNhbXBsZSBub25jZQ", accept));
    CHECK(!websocket_accept("dGhlIHNhbXBsZSBub25jZQ==x", accept));
    CHECK(!websocket_accept("dGhlIHNhbXBsZ\r\nBub25jZQ==", accept));
}

TEST(HOS_44_tokens_are_found_whatever_their_case)
{
    CHECK(websocket_has_token("keep-alive, Upgrade", "upgrade"));
    CHECK(websocket_has_token("UPGRADE", "upgrade"));
    CHECK(!websocket_has_token("upgrades", "upgrade"));
    CHECK(!websocket_has_token("", "upgrade"));
    CHECK(!websocket_has_token(NULL, "upgrade"));
}

TEST(HOS_44_frames_are_read_however_they_are_cut)
{
    struct buffer bytes = buffer_up_to(4096);
    struct websocket_reader reader;
    uint16_t code = 0;
    frame(0x81, "a text that is passed over", 26, &bytes);
    frame(0x01, "and one", 7, &bytes);
    frame(0x00, "", 0, &bytes);
    frame(0x80, "in pieces", 9, &bytes);
    frame(0x8A, "pong", 4, &bytes);
    for (size_t cut = 1; cut < bytes.size; cut++)
        CHECK_INT(first_event(buffer_slice(&bytes), cut, &reader, &code), WEBSOCKET_PONGED);
    buffer_clear(&bytes);
    frame(0x02, "binary", 6, &bytes);
    frame(0x89, "are you there", 13, &bytes);
    for (size_t cut = 1; cut < bytes.size; cut++) {
        CHECK_INT(first_event(buffer_slice(&bytes), cut, &reader, &code), WEBSOCKET_PINGED);
        CHECK(slice_equals_text(slice_of(reader.control, reader.control_size), "are you there"));
        CHECK(reader.in_message);
    }
    buffer_release(&bytes);
}

TEST(HOS_44_a_close_has_its_code_or_none)
{
    struct buffer bytes = buffer_up_to(4096);
    struct websocket_reader reader;
    uint16_t code = 0;
    frame(0x88, "", 0, &bytes);
    CHECK_INT(first_event(buffer_slice(&bytes), 1, &reader, &code), WEBSOCKET_CLOSED);
    CHECK_INT(code, WEBSOCKET_NO_CODE);
    static const struct {
        const char *content;
        size_t size;
        bool is_good;
    } rows[] = {
        { "\x03\xE8", 2, true },  { "\x03\xE9gone", 6, true }, { "\x0B\xB8", 2, true },
        { "\x13\x87", 2, true },  { "\x03", 1, false },        { "\x03\xE7", 2, false },
        { "\x03\xED", 2, false }, { "\x03\xEE", 2, false },    { "\x03\xFF", 2, false },
        { "\x0B\xB7", 2, false }, { "\x13\x88", 2, false },    { "\xFF\xFF", 2, false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buffer_clear(&bytes);
        frame(0x88, rows[i].content, rows[i].size, &bytes);
        CHECK_INT(first_event(buffer_slice(&bytes), 3, &reader, &code),
                  rows[i].is_good ? WEBSOCKET_CLOSED : WEBSOCKET_BROKEN);
        if (!rows[i].is_good)
            CHECK_INT(code, WEBSOCKET_PROTOCOL_ERROR);
    }
    buffer_release(&bytes);
}

TEST(HOS_44_what_breaks_the_rules_is_told_before_any_of_it_is_taken)
{
    static const struct {
        const char *bytes;
        size_t size;
        uint16_t code;
    } rows[] = {
        { "\x81\x01x", 3, 1002 }, /* not masked */
        { "\xC1\x81", 2, 1002 },  /* a reserved bit */
        { "\x83\x80", 2, 1002 },  /* unknown opcodes */
        { "\x8B\x80", 2, 1002 },
        { "\x09\x80", 2, 1002 },                            /* a control frame in pieces */
        { "\x89\xFE", 2, 1002 },                            /* and a long one */
        { "\x80\x80", 2, 1002 },                            /* a continuation of nothing */
        { "\x81\xFF\x80\0\0\0\0\0\0\0\1\2\3\4", 14, 1002 }, /* 2^63 */
        { "\x81\xFF\x40\0\0\0\0\0\0\0\1\2\3\4", 14, 1009 }, /* 2^62 */
        { "\x81\xFF\0\0\0\0\0\1\0\1\1\2\3\4", 14, 1009 },   /* the limit and one */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct websocket_reader reader;
        uint16_t code = 0;
        CHECK_INT(first_event(slice_of(rows[i].bytes, rows[i].size), 1, &reader, &code),
                  WEBSOCKET_BROKEN);
        CHECK_INT(code, rows[i].code);
    }
}

TEST(HOS_44_a_message_has_a_limit_over_all_its_fragments)
{
    struct websocket_reader reader = { .head_size = 0 };
    uint16_t code = 0;
    enum websocket_event event = WEBSOCKET_MORE;
    unsigned frames = 0;
    for (; event == WEBSOCKET_MORE && frames < 2 * WEBSOCKET_FRAGMENTS; frames++) {
        struct buffer bytes = buffer_up_to(64);
        frame(frames ? 0x00 : 0x01, "", 0, &bytes);
        struct slice piece = buffer_slice(&bytes);
        event = websocket_read(&reader, &piece, &code);
        buffer_release(&bytes);
    }
    CHECK_INT(event, WEBSOCKET_BROKEN);
    CHECK_INT(code, WEBSOCKET_TOO_BIG);
    CHECK_INT(frames, WEBSOCKET_FRAGMENTS + 1);
}

TEST(UPR_08_frames_of_the_server_have_the_shortest_length)
{
    static const size_t sizes[] = { 0, 125, 126, 65535, 65536, 100000 };
    static const size_t heads[] = { 2, 2, 4, 4, 10, 10 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct buffer content = buffer_up_to(200000);
        struct buffer out = buffer_up_to(200000);
        for (size_t j = 0; j < sizes[i]; j++)
            buffer_append_byte(&content, 'x');
        websocket_frame(WEBSOCKET_TEXT, buffer_slice(&content), &out);
        CHECK_INT(out.size, heads[i] + sizes[i]);
        CHECK_INT(out.data[0], 0x81);
        CHECK(!(out.data[1] & 0x80));
        buffer_release(&content);
        buffer_release(&out);
    }
}
