/* SPDX-License-Identifier: MIT */
#pragma once
/* Orders that are posted to the view: POST /ServiceRequest. Thread-safe. */

#include "cast/order_poll.h"
#include "http/server.h"

struct order_post {
    struct worklist *worklist;
    struct service_request_options mapping; /* strings must outlive it */
};

/* Borrowed; without a worklist there are no routes. */
struct route_table order_post_routes(struct order_post *post, const char *prefix);
