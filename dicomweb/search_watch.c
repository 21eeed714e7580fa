/* SPDX-License-Identifier: MIT */
#include "dicomweb/search_watch.h"

#include "base/clock.h"

/* One that has ended its own direction may still read: it has so long. */
enum { HALF_CLOSED_MS = 1000 };

struct search_watch search_watch_begin(const struct request *request, int64_t timeout_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    return (struct search_watch){ request, timeout_ms, now_ms, now_ms };
}

void search_watch_matched(struct search_watch *watch)
{
    watch->matched_ms = clock_monotonic_ms();
}

bool search_watch_look(void *context, struct error *err)
{
    const struct search_watch *watch = context;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - watch->matched_ms > watch->timeout_ms)
        return error_set(err, ERROR_LIMIT,
                         "the search takes too long: narrow it by keys that are indexed");
    return now_ms - watch->begun_ms < HALF_CLOSED_MS || request_client_is_there(watch->request) ||
           error_set(err, ERROR_STOPPED, "nobody waits for it");
}
