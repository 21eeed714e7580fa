/* SPDX-License-Identifier: MIT */
#pragma once
/* Who is known by its AE title, from where it may call and what it may do. Pure functions of the
 * options but for peers_resolve, which asks the resolver. Thread-safe. */

#include <sys/socket.h>

#include "dimse/negotiate.h"
#include "dimse/server.h"

/* NULL when the title is not in the table. */
const struct peer *peers_find(const struct dimse_options *options, const char *ae_title);

/* May this title call from this address? A title is known when it is in the table or in the list of
 * calling AE titles. Unknown ones may call as long as there is no such list and the options are
 * open: bound to the loopback, or told to trust the network. Who has a host in the table calls from
 * there only. */
enum admission {
    ADMITTED,
    ADMISSION_UNKNOWN_TITLE,
    ADMISSION_WRONG_ADDRESS,
    ADMISSION_TO_RESOLVE, /* the host is a name: peers_resolve tells */
};
enum admission peers_admit(const struct dimse_options *options, const char *calling_ae,
                           const struct sockaddr_storage *address);
/* True when nobody can call: no title is known, and the options are not open. */
bool peers_admit_nobody(const struct dimse_options *options);
/* Is this address one of the name's? No, when the resolver has not said so until then. */
bool peers_resolve(const char *host, const struct sockaddr_storage *address, int64_t deadline_ms);

/* The same host, an IPv4 address and its IPv6 spelling (::ffff:192.0.2.7) being one. */
bool peers_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b);

/* NULL when there is no such user. */
const struct user *peers_find_user(const struct dimse_options *options, const char *name);

/* May somebody with these rights ask for this service? Verification is everybody's. */
bool peers_may(uint8_t rights, enum service service);
