/* SPDX-License-Identifier: MIT */
#pragma once
/* How the server is: GET /health (JSON, 503 when it cannot store), GET /metrics (Prometheus text),
 * and a page at / that says where everything is. */

#include "archive/archive.h"
#include "http/server.h"
#include "server/settings.h"

struct cast;
struct storage;
struct verifier;
struct webhooks;

struct health {
    struct storage *storage;
    struct archive *archive;
    struct verifier *verifier;
    struct cast *cast;
    struct webhooks *webhooks; /* or NULL */
    const struct settings *settings;
};

/* Borrows `health` as context. */
struct route_table health_routes(struct health *health);
