/* SPDX-License-Identifier: MIT */
#pragma once
/* Operations over HTTP: POST /operations begins one, /operations/{id} tells how far it is, DELETE
 * cancels it. Those that work on the data directory alone; backups, which write elsewhere, are for
 * the command line. The last ones are remembered until the server stops. */

#include "http/server.h"
#include "server/operation.h"

struct http_operations;

/* `place` is borrowed. */
struct http_operations *http_operations_new(const struct operation_place *place);
/* Cancels what runs, and waits for it. NULL does nothing. */
void http_operations_free(struct http_operations *service);
struct route_table http_operations_routes(struct http_operations *service);
