/* SPDX-License-Identifier: MIT */
#include "http/forwarded.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "http/target.h"

enum { MAX_ELEMENTS = 32 /* from the right: more proxies than anybody has in a row */ };

struct proxies {
    struct network *networks;
    size_t count;
    bool rfc_7239;
};

struct proxies *proxies_new(const char *const *networks, bool rfc_7239)
{
    struct proxies *proxies = mem_alloc(sizeof(*proxies));
    size_t count = 0;
    while (networks && networks[count])
        count++;
    proxies->networks = mem_alloc_array(count ? count : 1, sizeof(proxies->networks[0]));
    proxies->rfc_7239 = rfc_7239;
    for (size_t i = 0; i < count; i++)
        proxies->count += network_parse(networks[i], &proxies->networks[proxies->count]);
    return proxies;
}

void proxies_free(struct proxies *proxies)
{
    if (!proxies)
        return;
    free(proxies->networks);
    free(proxies);
}

bool proxies_trust(const struct proxies *proxies, const struct address *address)
{
    for (size_t i = 0; i < proxies->count; i++)
        if (network_holds(&proxies->networks[i], address))
            return true;
    return false;
}

/* --- lists --- */

/* The members of a list field, of all its lines (RFC 9110 5.3), the last one first: that is what
 * the proxy next to us said, and what stands to the left of it may be anything. */
struct list {
    struct buffer text;
    char *members[MAX_ELEMENTS];
    size_t count;
};

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t size = strlen(text);
    while (size && strchr(" \t", text[size - 1]))
        text[--size] = '\0';
    return text;
}

/* The next part of `*at` up to the separator, which may not stand in quotes; NULL behind the last.
 */
static char *next_part(char **at, char separator)
{
    char *start = *at;
    bool quoted = false;
    if (!start)
        return NULL;
    for (char *c = start;; c++) {
        if (*c == '\\' && quoted && c[1])
            c++;
        else if (*c == '"')
            quoted = !quoted;
        else if (!*c || (*c == separator && !quoted)) {
            *at = *c ? c + 1 : NULL;
            *c = '\0';
            return trim(start);
        }
    }
}

static bool is_escaped(const char *text, const char *at)
{
    size_t backslashes = 0;
    while (at - backslashes > text && at[-1 - (ptrdiff_t)backslashes] == '\\')
        backslashes++;
    return backslashes % 2;
}

/* Quotes are paired from the right, too: one that a client has left open would else swallow what
 * its proxy says of it. */
static void split(struct list *list, char *text, bool with_quotes)
{
    bool quoted = false;
    for (char *c = text + strlen(text); c > text && list->count < MAX_ELEMENTS;) {
        c--;
        if (*c == '"' && with_quotes) {
            bool escaped = is_escaped(text, c);
            if (escaped && !quoted)
                return; /* no quoted string ends like this */
            quoted ^= !escaped;
        } else if (*c == ',' && !quoted) {
            *c = '\0';
            list->members[list->count++] = trim(c + 1);
        }
    }
    if (!quoted && list->count < MAX_ELEMENTS)
        list->members[list->count++] = trim(text);
}

/* As long as a head can be (http/front.c). */
static void list_init(struct list *list, const struct request *request, const char *name,
                      bool with_quotes)
{
    memset(list, 0, sizeof(*list));
    list->text = buffer_up_to(SIZE_MAX);
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) != 0)
            continue;
        if (list->text.size)
            buffer_append_byte(&list->text, ',');
        buffer_append_text(&list->text, request->headers[i].value);
    }
    if (list->text.size)
        split(list, (char *)(uintptr_t)buffer_text(&list->text), with_quotes);
}

static void list_release(struct list *list)
{
    buffer_release(&list->text);
}

/* --- values --- */

/* "192.0.2.4", "192.0.2.4:4711", "[2001:db8::1]", "[2001:db8::1]:4711", "2001:db8::1". */
static bool parse_node(const char *text, struct address *address)
{
    char copy[ADDRESS_TEXT_SIZE + 16];
    size_t size = strlen(text);
    if (size >= sizeof(copy))
        return false;
    memcpy(copy, text, size + 1);
    char *start = copy;
    char *bracket = strchr(copy, ']');
    char *colon = strchr(copy, ':');
    if (*start == '[' && bracket) {
        *bracket = '\0';
        start++;
    } else if (colon && !strchr(colon + 1, ':')) {
        *colon = '\0';
    }
    return address_parse(start, address);
}

static void take_protocol(struct origin *origin, const char *text)
{
    if (strcasecmp(text, "https") == 0 || strcasecmp(text, "http") == 0)
        origin->secure = strlen(text) == 5;
}

static void take_host(struct origin *origin, const char *text)
{
    if (host_is_valid(text) && strlen(text) < sizeof(origin->host))
        snprintf(origin->host, sizeof(origin->host), "%s", text);
}

/* "/pacs": what may stand in URLs as it is, without dot segments, and without the slash at the end.
 */
static void take_prefix(struct origin *origin, const char *text)
{
    size_t size = strspn(text, "/-._~0123456789abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    bool sound = text[0] == '/' && !text[size] && !strstr(text, "//") && !strstr(text, "/.");
    while (size && text[size - 1] == '/')
        size--;
    if (sound && size < sizeof(origin->prefix))
        snprintf(origin->prefix, sizeof(origin->prefix), "%.*s", (int)size, text);
}

/* --- X-Forwarded-* --- */

/* Each proxy appends whom it heard from, so the first from the right whom we do not trust is the
 * client. */
static void take_client(const struct proxies *proxies, const struct list *nodes,
                        struct origin *origin)
{
    struct address address;
    for (size_t i = 0; i < nodes->count && parse_node(nodes->members[i], &address); i++) {
        origin->client = address;
        if (!proxies_trust(proxies, &address))
            return;
    }
}

static const char *last_of(const struct list *list)
{
    return list->count ? list->members[0] : "";
}

static void resolve_x_forwarded(const struct proxies *proxies, struct request *request)
{
    struct origin *origin = &request->origin;
    struct list list;
    list_init(&list, request, "X-Forwarded-For", false);
    take_client(proxies, &list, origin);
    list_release(&list);
    list_init(&list, request, "X-Forwarded-Proto", false);
    take_protocol(origin, last_of(&list));
    list_release(&list);
    list_init(&list, request, "X-Forwarded-Host", false);
    take_host(origin, last_of(&list));
    list_release(&list);
    list_init(&list, request, "X-Forwarded-Prefix", false);
    take_prefix(origin, last_of(&list));
    list_release(&list);
}

/* --- Forwarded (RFC 7239) --- */

/* Undoes a quoted string in its place; what is none stays. */
static char *unquote(char *text)
{
    size_t size = strlen(text);
    if (size < 2 || text[0] != '"' || text[size - 1] != '"')
        return text;
    char *out = text;
    for (const char *in = text + 1; in < text + size - 1; in++) {
        if (*in == '\\' && in + 1 < text + size - 1)
            in++;
        *out++ = *in;
    }
    *out = '\0';
    return text;
}

/* One element: what one proxy says. False when the client that it names is no address. */
static bool take_element(char *element, struct origin *origin)
{
    struct address address;
    bool known = false;
    char *at = element;
    for (char *pair; (pair = next_part(&at, ';'));) {
        char *value = strchr(pair, '=');
        if (!value)
            continue;
        *value++ = '\0';
        value = unquote(value);
        if (strcasecmp(pair, "for") == 0 && parse_node(value, &address)) {
            origin->client = address;
            known = true;
        } else if (strcasecmp(pair, "proto") == 0) {
            take_protocol(origin, value);
        } else if (strcasecmp(pair, "host") == 0) {
            take_host(origin, value);
        }
    }
    return known;
}

/* Each element was added by one proxy, so all that it says is believed when it is trusted, from the
 * right on. */
static void resolve_forwarded(const struct proxies *proxies, struct request *request)
{
    struct list list;
    list_init(&list, request, "Forwarded", true);
    for (size_t i = 0; i < list.count; i++)
        if (!take_element(list.members[i], &request->origin) ||
            !proxies_trust(proxies, &request->origin.client))
            break;
    list_release(&list);
}

void proxies_resolve(const struct proxies *proxies, const struct address *peer, bool secure,
                     struct request *request)
{
    struct origin *origin = &request->origin;
    memset(origin, 0, sizeof(*origin));
    origin->client = *peer;
    origin->secure = secure;
    origin->trusted = proxies_trust(proxies, peer);
    if (!origin->trusted)
        return;
    if (proxies->rfc_7239)
        resolve_forwarded(proxies, request);
    else
        resolve_x_forwarded(proxies, request);
}

bool http_is_network(const char *text)
{
    struct network network;
    return network_parse(text, &network);
}
