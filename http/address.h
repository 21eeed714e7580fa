/* SPDX-License-Identifier: MIT */
#pragma once
/* Addresses of clients and networks of them, IPv4 as mapped into IPv6. By value. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
    uint8_t bytes[16];
};

struct network {
    struct address address;
    unsigned bits; /* of 128 */
};

enum { ADDRESS_TEXT_SIZE = 46 };

/* What is neither IPv4 nor IPv6 is all zeros. */
struct address address_of(const struct sockaddr *socket_address);
bool address_parse(const char *text, struct address *address);
void address_format(const struct address *address, char text[ADDRESS_TEXT_SIZE]);
bool address_equal(const struct address *a, const struct address *b);

/* "10.0.0.7", "10.0.0.0/8", "2001:db8::/32". */
bool network_parse(const char *text, struct network *network);
bool network_holds(const struct network *network, const struct address *address);
