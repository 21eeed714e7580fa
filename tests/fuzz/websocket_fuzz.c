/* SPDX-License-Identifier: MIT */
/* What a client of a WebSocket sends: any bytes, of any cut. What is read must be the same however
 * it is cut, and nothing of a control frame beyond its limit. */
#include <stdlib.h>
#include <string.h>

#include "http/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENTS = 64 };

struct seen {
    size_t count;
    enum websocket_event events[EVENTS];
    uint16_t codes[EVENTS];
    size_t controls[EVENTS];
};

static void read_all(struct slice bytes, size_t cut, struct seen *seen)
{
    struct websocket_reader reader = { .head_size = 0 };
    memset(seen, 0, sizeof(*seen));
    while (bytes.size && seen->count < EVENTS) {
        struct slice piece = slice_take(bytes, cut);
        bytes = slice_skip(bytes, piece.size);
        while (piece.size && seen->count < EVENTS) {
            uint16_t code = 0;
            enum websocket_event event = websocket_read(&reader, &piece, &code);
            if (reader.control_size > WEBSOCKET_CONTROL_SIZE ||
                reader.message_size > WEBSOCKET_MESSAGE_SIZE)
                abort();
            if (event == WEBSOCKET_MORE)
                continue;
            seen->events[seen->count] = event;
            seen->codes[seen->count] = code;
            seen->controls[seen->count++] = reader.control_size;
            if (event == WEBSOCKET_BROKEN && !code)
                abort();
            if (event == WEBSOCKET_BROKEN || event == WEBSOCKET_CLOSED)
                return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, cut;
    char accept[WEBSOCKET_ACCEPT_SIZE];
    read_all(slice_of(data, size), size ? size : 1, &whole);
    read_all(slice_of(data, size), 1, &cut);
    size_t count = whole.count;
    if (count != cut.count ||
        memcmp(whole.events, cut.events, count * sizeof(whole.events[0])) != 0 ||
        memcmp(whole.codes, cut.codes, count * sizeof(whole.codes[0])) != 0 ||
        memcmp(whole.controls, cut.controls, count * sizeof(whole.controls[0])) != 0)
        abort();
    char *text = malloc(size + 1);
    if (!text)
        abort();
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    if (websocket_accept(text, accept) && strlen(accept) != WEBSOCKET_ACCEPT_SIZE - 1)
        abort();
    websocket_has_token(text, "upgrade");
    free(text);
    return 0;
}
