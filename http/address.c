/* SPDX-License-Identifier: MIT */
#include "http/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static void map(struct address *address, const struct in_addr *ipv4)
{
    memcpy(address->bytes, mapped_prefix, sizeof(mapped_prefix));
    memcpy(address->bytes + sizeof(mapped_prefix), ipv4, sizeof(*ipv4));
}

static bool is_mapped(const struct address *address)
{
    return memcmp(address->bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

struct address address_of(const struct sockaddr *socket_address)
{
    struct address address = { { 0 } };
    if (socket_address->sa_family == AF_INET)
        map(&address, &((const struct sockaddr_in *)socket_address)->sin_addr);
    else if (socket_address->sa_family == AF_INET6)
        memcpy(address.bytes, &((const struct sockaddr_in6 *)socket_address)->sin6_addr,
               sizeof(address.bytes));
    return address;
}

bool address_parse(const char *text, struct address *address)
{
    struct in_addr ipv4;
    if (inet_pton(AF_INET, text, &ipv4) != 1)
        return inet_pton(AF_INET6, text, address->bytes) == 1;
    map(address, &ipv4);
    return true;
}

void address_format(const struct address *address, char text[ADDRESS_TEXT_SIZE])
{
    if (is_mapped(address))
        inet_ntop(AF_INET, address->bytes + sizeof(mapped_prefix), text, ADDRESS_TEXT_SIZE);
    else
        inet_ntop(AF_INET6, address->bytes, text, ADDRESS_TEXT_SIZE);
}

bool address_equal(const struct address *a, const struct address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool network_parse(const char *text, struct network *network)
{
    char address[ADDRESS_TEXT_SIZE];
    size_t size = strcspn(text, "/");
    if (size >= sizeof(address))
        return false;
    memcpy(address, text, size);
    address[size] = '\0';
    if (!address_parse(address, &network->address))
        return false;
    bool ipv4 = !strchr(address, ':');
    network->bits = 128;
    if (!text[size])
        return true;
    const char *bits = text + size + 1;
    size_t digits = strspn(bits, "0123456789");
    if (!digits || digits > 3 || bits[digits])
        return false;
    unsigned count = (unsigned)strtoul(bits, NULL, 10);
    if (count > (ipv4 ? 32 : 128))
        return false;
    network->bits = ipv4 ? 96 + count : count;
    return true;
}

bool network_holds(const struct network *network, const struct address *address)
{
    unsigned whole = network->bits / 8;
    unsigned rest = network->bits % 8;
    if (memcmp(network->address.bytes, address->bytes, whole) != 0)
        return false;
    unsigned mask = 0xff00u >> rest & 0xff;
    return !rest || ((network->address.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}
