/* SPDX-License-Identifier: MIT */
#pragma once
/* Sockets of the HTTP service, apart from the library that serves them. */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct listener {
    int fd;
    uint16_t port;
    bool is_ipv6;
    char url[80]; /* "http://127.0.0.1:8080", https when secure, for clients that do not say how
                     they call us */
};

/* A listening socket on a numeric address, IPv4 or IPv6; "::" takes both. */
bool listener_open(const char *address, uint16_t port, bool secure, struct listener *listener,
                   struct error *err);

/* Ends our direction, reads and forgets what the client still sends for at most `ms`. */
void linger_and_shut(int fd, int64_t ms);
