/* SPDX-License-Identifier: MIT */
#include "dimse/peers.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "dimse/resolver.h"

const struct peer *peers_find(const struct dimse_options *options, const char *ae_title)
{
    for (size_t i = 0; i < options->peer_count; i++)
        if (strcmp(options->peers[i].ae_title, ae_title) == 0)
            return &options->peers[i];
    return NULL;
}

/* Every address as IPv6. */
static struct in6_addr widen(const struct sockaddr *address)
{
    struct in6_addr wide = { 0 };
    if (address->sa_family == AF_INET6)
        return ((const struct sockaddr_in6 *)address)->sin6_addr;
    wide.s6_addr[10] = 0xFF;
    wide.s6_addr[11] = 0xFF;
    memcpy(&wide.s6_addr[12], &((const struct sockaddr_in *)address)->sin_addr, 4);
    return wide;
}

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    struct in6_addr x = widen(a);
    struct in6_addr y = widen(b);
    return memcmp(&x, &y, sizeof(x)) == 0;
}

bool peers_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    return same_address((const struct sockaddr *)a, (const struct sockaddr *)b);
}

static bool parse_address(const char *text, struct sockaddr_storage *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof(*address));
    address->ss_family = AF_INET;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        return true;
    address->ss_family = AF_INET6;
    return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
}

static bool is_loopback(const char *text)
{
    struct sockaddr_storage address;
    if (!parse_address(text, &address))
        return false;
    struct in6_addr wide = widen((const struct sockaddr *)&address);
    return IN6_IS_ADDR_LOOPBACK(&wide) || (IN6_IS_ADDR_V4MAPPED(&wide) && wide.s6_addr[12] == 127);
}

static bool is_listed(const struct dimse_options *options, const char *calling_ae)
{
    for (const char *const *title = options->calling_ae_titles; title && *title; title++)
        if (strcmp(*title, calling_ae) == 0)
            return true;
    return false;
}

/* May titles that nobody knows call? */
static bool is_open(const struct dimse_options *options)
{
    return !options->calling_ae_titles && (options->trust_network || is_loopback(options->address));
}

bool peers_admit_nobody(const struct dimse_options *options)
{
    return !options->peer_count && !options->calling_ae_titles && !is_open(options);
}

enum admission peers_admit(const struct dimse_options *options, const char *calling_ae,
                           const struct sockaddr_storage *address)
{
    const struct peer *peer = peers_find(options, calling_ae);
    struct sockaddr_storage host;
    if (!peer && !is_listed(options, calling_ae) && !is_open(options))
        return ADMISSION_UNKNOWN_TITLE;
    if (!peer || !peer->host)
        return ADMITTED;
    if (!parse_address(peer->host, &host))
        return ADMISSION_TO_RESOLVE;
    return peers_same_host(&host, address) ? ADMITTED : ADMISSION_WRONG_ADDRESS;
}

bool peers_resolve(const char *host, const struct sockaddr_storage *address, int64_t deadline_ms)
{
    struct addrinfo *addresses = NULL;
    bool found = false;
    if (!resolver_find(host, 0, deadline_ms, &addresses, NULL))
        return false;
    for (const struct addrinfo *next = addresses; next && !found; next = next->ai_next)
        found = (next->ai_family == AF_INET || next->ai_family == AF_INET6) &&
                same_address(next->ai_addr, (const struct sockaddr *)address);
    freeaddrinfo(addresses);
    return found;
}

const struct user *peers_find_user(const struct dimse_options *options, const char *name)
{
    for (size_t i = 0; i < options->user_count; i++)
        if (strcmp(options->users[i].name, name) == 0)
            return &options->users[i];
    return NULL;
}

bool peers_may(uint8_t rights, enum service service)
{
    static const struct {
        enum service service;
        enum right right;
    } needed[] = {
        { SERVICE_STORAGE, RIGHT_STORE },     { SERVICE_FIND, RIGHT_FIND },
        { SERVICE_MOVE, RIGHT_MOVE },         { SERVICE_GET, RIGHT_GET },
        { SERVICE_COMMITMENT, RIGHT_COMMIT },
    };
    if (service >= SERVICE_AVAILABILITY)
        return rights & RIGHT_WORKLIST;
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (needed[i].service == service)
            return rights & needed[i].right;
    return true;
}
