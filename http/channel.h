/* SPDX-License-Identifier: MIT */
#pragma once
/* A WebSocket that is open: the socket, and what has come over it. One thread. */

#include "http/websocket.h"

struct channel;

/* `session`: of TLS, over the descriptor (base/tls.h), or NULL; both stay the caller's. `early` is
 * what has come behind the request. */
struct channel *channel_new(int fd, void *session, struct slice early);
void channel_free(struct channel *channel);

/* Sends one text message. False: the client is gone, or takes nothing. */
bool channel_send(struct channel *channel, struct slice text, struct error *err);
/* Takes what has come, answers pings, and waits for it at most so long. False: it is over, and was
 * closed as the rules have it. */
bool channel_poll(struct channel *channel, int64_t timeout_ms, struct error *err);
/* Tells the client why it is over, and gives it a moment to hear. */
void channel_close(struct channel *channel, uint16_t code, const char *reason);
