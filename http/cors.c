/* SPDX-License-Identifier: MIT */
#include "http/cors.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"

struct cors {
    char **origins;
    size_t count;
};

struct cors *cors_new(const char *const *origins, size_t count)
{
    struct cors *cors = mem_alloc(sizeof(*cors));
    cors->origins = mem_alloc_array(count ? count : 1, sizeof(cors->origins[0]));
    for (; cors->count < count; cors->count++)
        cors->origins[cors->count] = mem_copy_text(origins[cors->count]);
    return cors;
}

void cors_free(struct cors *cors)
{
    if (!cors)
        return;
    for (size_t i = 0; i < cors->count; i++)
        free(cors->origins[i]);
    free(cors->origins);
    free(cors);
}

/* The Origin of the request when it is allowed, else NULL. */
static const char *allowed_origin(const struct cors *cors, const struct request *request)
{
    const char *origin = request_header(request, "Origin");
    for (size_t i = 0; origin && i < cors->count; i++)
        if (!strcmp(cors->origins[i], "*") || !strcasecmp(cors->origins[i], origin))
            return origin;
    return NULL;
}

bool cors_allows(const struct cors *cors, const struct request *request)
{
    return allowed_origin(cors, request) != NULL;
}

void cors_preflight(const struct cors *cors, const struct request *request, const char *allow,
                    struct response *response)
{
    if (!allowed_origin(cors, request) || !request_header(request, "Access-Control-Request-Method"))
        return;
    response_header(response, "Access-Control-Allow-Methods", allow);
    response_header(response, "Access-Control-Allow-Headers",
                    "Authorization, Accept, Content-Type, Range, If-Range, If-None-Match, "
                    "If-Match, X-Requested-With");
    response_header(response, "Access-Control-Max-Age", "86400");
}

void cors_finish(const struct cors *cors, const struct request *request, struct response *response)
{
    if (!cors->count)
        return;
    /* Caches must not give one origin's answer to another. */
    response_header(response, "Vary", "Origin");
    const char *origin = allowed_origin(cors, request);
    if (!origin)
        return;
    response_header(response, "Access-Control-Allow-Origin", origin);
    response_header(response, "Access-Control-Expose-Headers",
                    "Content-Location, Location, Warning, ETag, Content-Range, X-Total-Count, "
                    "X-Request-Id");
}
