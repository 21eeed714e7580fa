/* SPDX-License-Identifier: MIT */
#include "http/router.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "http/target.h"

struct compiled {
    const struct route *route;
    void *context;
    char *pattern;                             /* with the prefix, as it was given */
    char *text;                                /* what the segments point into */
    const char *segments[TARGET_MAX_SEGMENTS]; /* literal, or "{name}" without the braces */
    bool is_parameter[TARGET_MAX_SEGMENTS];
    size_t segment_count; /* without "{name...}" */
    bool takes_rest;
};

struct router {
    struct compiled *routes;
    size_t count;
};

static void refuse(const char *pattern)
{
    log_error("http: the pattern %s cannot be matched", pattern);
    abort();
}

static void compile(struct compiled *compiled, const struct route_table *table,
                    const struct route *route)
{
    compiled->route = route;
    compiled->context = table->context;
    compiled->pattern = mem_format("%s%s", table->prefix, route->pattern);
    compiled->text = mem_copy_text(compiled->pattern);
    if (compiled->text[0] != '/')
        refuse(compiled->pattern);
    size_t parameters = 0;
    for (char *at = compiled->text + 1; at;) {
        char *slash = strchr(at, '/');
        if (slash)
            *slash = '\0';
        size_t length = strlen(at);
        if (compiled->takes_rest)
            refuse(compiled->pattern);
        if (at[0] == '{' && length > 5 && strcmp(at + length - 4, "...}") == 0) {
            compiled->takes_rest = true;
            at = slash ? slash + 1 : NULL;
            continue;
        }
        size_t index = compiled->segment_count++;
        if (index == TARGET_MAX_SEGMENTS)
            refuse(compiled->pattern);
        if (at[0] == '{' && length > 2 && at[length - 1] == '}') {
            at[length - 1] = '\0';
            compiled->is_parameter[index] = true;
            compiled->segments[index] = at + 1;
            if (++parameters > ROUTE_MAX_PARAMETERS)
                refuse(compiled->pattern);
        } else {
            compiled->segments[index] = at;
        }
        at = slash ? slash + 1 : NULL;
    }
}

struct router *router_new(const struct route_table *tables, size_t table_count)
{
    struct router *router = mem_alloc(sizeof(*router));
    for (size_t i = 0; i < table_count; i++)
        router->count += tables[i].count;
    router->routes = mem_alloc_array(router->count ? router->count : 1, sizeof(router->routes[0]));
    struct compiled *next = router->routes;
    for (size_t i = 0; i < table_count; i++)
        for (size_t j = 0; j < tables[i].count; j++)
            compile(next++, &tables[i], &tables[i].routes[j]);
    return router;
}

void router_free(struct router *router)
{
    if (!router)
        return;
    for (size_t i = 0; i < router->count; i++) {
        free(router->routes[i].pattern);
        free(router->routes[i].text);
    }
    free(router->routes);
    free(router);
}

/* A parameter takes any segment that is not empty. */
static bool fits(const struct compiled *compiled, const char *const *segments, size_t segment_count)
{
    if (compiled->takes_rest ? compiled->segment_count >= segment_count
                             : compiled->segment_count != segment_count)
        return false;
    for (size_t i = 0; i < compiled->segment_count; i++) {
        if (compiled->is_parameter[i] ? segments[i][0] == '\0'
                                      : strcmp(compiled->segments[i], segments[i]) != 0)
            return false;
    }
    return true;
}

static void take(const struct compiled *compiled, const char *const *segments,
                 struct route_match *match)
{
    match->route = compiled->route;
    match->context = compiled->context;
    match->pattern = compiled->pattern;
    for (size_t i = 0; i < compiled->segment_count; i++) {
        if (!compiled->is_parameter[i])
            continue;
        match->names[match->parameter_count] = compiled->segments[i];
        match->values[match->parameter_count++] = segments[i];
    }
}

/* Those with and without "{name...}", in the order in which they were given. */
static bool match_among(const struct router *router, bool rest, const char *method,
                        const char *const *segments, size_t segment_count,
                        struct route_match *match)
{
    const char *served = strcmp(method, "HEAD") == 0 ? "GET" : method;
    bool found = false;
    for (size_t i = 0; i < router->count && !match->route; i++) {
        const struct compiled *compiled = &router->routes[i];
        if (compiled->takes_rest != rest || !fits(compiled, segments, segment_count))
            continue;
        found = true;
        if (strcmp(compiled->route->method, served) == 0)
            take(compiled, segments, match);
    }
    return found;
}

bool router_match(const struct router *router, const char *method, const char *const *segments,
                  size_t segment_count, struct route_match *match)
{
    memset(match, 0, sizeof(*match));
    return match_among(router, false, method, segments, segment_count, match) ||
           (match_among(router, true, method, segments, segment_count, match) && match->route);
}

void router_allow(const struct router *router, const char *const *segments, size_t segment_count,
                  struct buffer *allow)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" };
    for (size_t m = 0; m < sizeof(methods) / sizeof(methods[0]); m++) {
        struct route_match match;
        router_match(router, methods[m], segments, segment_count, &match);
        if (match.route)
            buffer_append_format(allow, "%s, ", methods[m]);
    }
    buffer_append_text(allow, "OPTIONS");
}
