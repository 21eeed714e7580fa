/* SPDX-License-Identifier: MIT */
#pragma once
/* What a reverse proxy says of the client behind it: X-Forwarded-For, -Proto, -Host and -Prefix, or
 * Forwarded (RFC 7239). Only those that are trusted are believed, and only the one way of saying it
 * that the settings name: a proxy hands on what it does not know, and that is the client's word. */

#include "http/address.h"
#include "http/exchange.h"

struct proxies;

/* NULL-terminated networks ("10.0.0.0/8"), NULL: nobody. What is none is never matched. */
struct proxies *proxies_new(const char *const *networks, bool rfc_7239);
void proxies_free(struct proxies *proxies);
bool proxies_trust(const struct proxies *proxies, const struct address *address);

/* Fills the request's origin: who the client is, and how it called us. `peer`: at the other end of
 * the connection. `secure`: the connection is TLS. */
void proxies_resolve(const struct proxies *proxies, const struct address *peer, bool secure,
                     struct request *request);
