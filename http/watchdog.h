/* SPDX-License-Identifier: MIT */
#pragma once
/* Cuts connections whose client is too slow: headers that do not come by a deadline, bodies and
 * answers that move slower than a minimum rate (RFC 9110 15.5.9 as a policy). The HTTP library's
 * own time-out is of inactivity only, and a client that drips a byte now and then outlives it. A
 * cut is a shutdown(2): whoever serves the connection sees its end. Thread-safe. */

#include <stdbool.h>
#include <stdint.h>

struct watchdog;
struct watched;

struct watchdog_options {
    int64_t header_ms; /* from the connection, or the end of the idle time, to complete headers */
    int64_t idle_ms;   /* between requests; also the span over which the rate is measured */
    uint64_t minimum_rate; /* bytes a second */
};

enum watch {
    WATCH_HEADERS, /* waiting for a request: on the connection's start */
    WATCH_IDLE,    /* a request was answered, another may follow */
    WATCH_BODY,    /* the client sends */
    WATCH_WORK,    /* we work: nothing is asked of the client */
    WATCH_ANSWER,  /* the client receives */
};

struct watchdog *watchdog_open(const struct watchdog_options *options);
void watchdog_close(struct watchdog *watchdog);

/* Between add and remove the descriptor must stay open. */
struct watched *watchdog_add(struct watchdog *watchdog, int fd);
void watchdog_remove(struct watchdog *watchdog, struct watched *watched);
/* Tells what the connection waits for from now on. Cheap: no lock. */
void watch_set(struct watched *watched, enum watch watch);
/* We work on what the client sent, while more may come: the span of WATCH_BODY begins anew. */
void watch_busy(struct watched *watched, bool busy);
/* A request line has come: its headers must follow by the header deadline. */
void watch_request_line(struct watched *watched);
void watchdog_cut_all(struct watchdog *watchdog);
