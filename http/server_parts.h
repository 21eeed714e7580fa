/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside server*.c, the door to libmicrohttpd: a connection, and a request with its answer on it.
 * server.c has the server's life and its connections, server_request.c a request from its line to
 * its end, server_answer.c how an answer goes out, server_upgrade.c WebSockets. An exchange is of
 * one thread at a time. */

#include <microhttpd.h>
#include <stdatomic.h>

#include "base/file_reader.h"
#include "http/admission.h"
#include "http/exchange.h"
#include "http/gate.h"
#include "http/watchdog.h"

struct http_server {
    struct front *front;
    struct front *secure_front; /* NULL: no HTTPS */
    struct admission *admission;
    struct gate *gate;
    struct watchdog *watchdog;
    uint64_t body_limit;
    uint16_t port;
    uint16_t secure_port;
    bool access_log;
    unsigned idle_timeout_s;
    atomic_bool stopping;
    atomic_uint in_work;  /* requests between their headers and their end */
    atomic_uint channels; /* WebSockets that are answered or open */
};

/* What belongs to a connection, over all its requests. */
struct link {
    struct watched *watched;
    struct exchange *exchange; /* of the present request */
    struct address peer;
    int fd;
    void *session;     /* of TLS; NULL: there is none */
    bool above_limits; /* it is there to be told so */
    bool upgraded;     /* to a WebSocket, which ends the request */
};

/* A request and its answer, from the request line to the end. */
struct exchange {
    struct request request;
    struct response response;
    struct http_server *server;
    struct link *link;
    struct watched *watched;
    int fd;
    char *raw_target;
    bool sound_head;
    bool is_http_1_1;
    bool begun;               /* the headers were looked at */
    bool has_body;            /* the client announced one */
    bool chunked;             /* and not how long it is */
    bool routed;              /* the route's own functions were called: so must be its close */
    bool body_refused;        /* the route wants no more of it */
    bool must_close;          /* what follows on this connection cannot be trusted */
    uint64_t body_bytes;      /* received */
    uint64_t discarded_bytes; /* of these, what nobody wanted */
    uint64_t sent_bytes;      /* handed out for sending */
    struct piece piece;       /* of a streamed answer: what is left of the present one */
    struct file_reader reader;
    bool stream_begun; /* a piece was made */
    bool stream_failed;
    struct error stream_error; /* why, when the source said so */
    bool stream_ended;
    bool is_channel; /* it counts as one of the server's channels, and is none yet */
    int64_t started_us;
};

/* --- server_request.c: what the library calls, with the server as context --- */

/* The request line has come: the exchange begins. */
void *exchange_new(void *context, const char *uri, struct MHD_Connection *connection);
/* Called for the headers, each piece of the body, and its end. */
enum MHD_Result exchange_handle(void *context, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *data_size, void **request_context_slot);
void exchange_completed(void *context, struct MHD_Connection *connection,
                        void **request_context_slot, enum MHD_RequestTerminationCode code);
/* Logs and frees it; `complete`: all of the answer was sent. NULL does nothing. */
void exchange_end(struct exchange *exchange, bool complete);

/* --- server_answer.c --- */

/* Another answer takes the place of what there was. */
void exchange_fail(struct exchange *exchange, int status, const char *message);
/* Hands the response over for sending. */
enum MHD_Result exchange_answer(struct exchange *exchange, struct MHD_Connection *connection);
/* Sends the answer and ends the connection, while a body is still coming. */
enum MHD_Result exchange_answer_and_cut(struct exchange *exchange);
/* The connection ends with a reset, so that even a client that takes the end of the connection for
 * the end of the body (HTTP/1.0) sees a failure. */
void exchange_reset_on_close(struct exchange *exchange);

/* --- server_upgrade.c --- */

/* 101, and then the connection's thread serves the channel. */
enum MHD_Result exchange_upgrade(struct exchange *exchange, struct MHD_Connection *connection);
