/* SPDX-License-Identifier: MIT */
#include "dicomweb/feed_window.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/memory.h"

enum {
    DEFAULT_LIMIT = 10,
    MAX_LIMIT = 1000,
    MAX_WAIT_S = 300,
    MAX_LOOKED_AT = 1000000, /* of one call */
    CLOCK_SLACK_MS = 60000,  /* by how much times may stand out of order: clocks are set */
};

static const char *const action_names[] = {
    [CHANGE_CREATE] = "create", [CHANGE_UPDATE] = "update", [CHANGE_DELETE] = "delete"
};
enum { ACTIONS = sizeof(action_names) / sizeof(action_names[0]) };

const char *feed_action_name(enum change_action action)
{
    return action_names[action];
}

/* --- parameters --- */

static bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 18 || text[digits])
        return false;
    *number = strtoull(text, NULL, 10);
    return *number >= least && *number <= most;
}

static bool parse_metadata(const char *text, enum feed_metadata *metadata)
{
    static const struct {
        const char *text;
        enum feed_metadata metadata;
    } known[] = { { "true", FEED_METADATA_EVENT },
                  { "event", FEED_METADATA_EVENT },
                  { "now", FEED_METADATA_NOW },
                  { "false", FEED_METADATA_NONE } };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcasecmp(known[i].text, text) == 0) {
            *metadata = known[i].metadata;
            return true;
        }
    return false;
}

/* "create" or "create,delete". */
static bool parse_actions(const char *text, unsigned *actions)
{
    *actions = 0;
    for (;;) {
        size_t size = strcspn(text, ",");
        size_t i = 0;
        while (i < ACTIONS &&
               (strlen(action_names[i]) != size || strncasecmp(action_names[i], text, size) != 0))
            i++;
        if (i == ACTIONS)
            return false;
        *actions |= 1u << i;
        if (!text[size])
            return true;
        text += size + 1;
    }
}

static const char *take(const char *name, const char *value, struct feed_window *window)
{
    uint64_t seconds;
    if (strcasecmp(name, "offset") == 0) {
        window->has_offset = true;
        return parse_number(value, 0, INT64_MAX, &window->offset) ? NULL : "a number from 0";
    }
    if (strcasecmp(name, "limit") == 0)
        return parse_number(value, 1, MAX_LIMIT, &window->limit) ? NULL : "a number from 1 to 1000";
    if (strcasecmp(name, "includeMetadata") == 0)
        return parse_metadata(value, &window->metadata) ? NULL : "true, false, event or now";
    if (strcasecmp(name, "startTime") == 0)
        return clock_parse(value, &window->start_ms) ? NULL : "a time with its zone (RFC 3339)";
    if (strcasecmp(name, "endTime") == 0)
        return clock_parse(value, &window->end_ms) ? NULL : "a time with its zone (RFC 3339)";
    if (strcasecmp(name, "action") == 0)
        return parse_actions(value, &window->actions) ? NULL : "create, update, delete";
    if (strcasecmp(name, "study") == 0 || strcasecmp(name, "StudyInstanceUID") == 0) {
        if (!uid_is_valid(value))
            return "a UID";
        memcpy(window->study, value, strlen(value) + 1);
        return NULL;
    }
    if (strcasecmp(name, "wait") == 0) {
        if (!parse_number(value, 0, MAX_WAIT_S, &seconds))
            return "seconds, 0 to 300";
        window->wait_ms = (int64_t)seconds * 1000;
    }
    return NULL;
}

bool feed_window_parse(const struct request *request, struct feed_window *window, struct error *err)
{
    size_t count;
    const struct query_pair *pairs = request_query(request, &count);
    memset(window, 0, sizeof(*window));
    window->limit = DEFAULT_LIMIT;
    window->start_ms = INT64_MIN;
    window->end_ms = INT64_MAX;
    window->actions = (1u << ACTIONS) - 1;
    window->metadata = FEED_METADATA_EVENT;
    for (size_t i = 0; i < count; i++) {
        const char *takes = take(pairs[i].name, pairs[i].value, window);
        if (takes)
            return error_set(err, ERROR_INVALID, "%s takes %s", pairs[i].name, takes);
    }
    if (window->start_ms >= window->end_ms)
        return error_set(err, ERROR_INVALID, "endTime is not behind startTime");
    return true;
}

/* --- changes --- */

/* The first change behind `after`. */
static bool look_at(struct archive *archive, uint64_t after, struct change *change, bool *found,
                    struct error *err)
{
    struct changes *changes;
    if (!changes_open(archive, after, &changes, err))
        return false;
    bool ok = changes_next(changes, change, found, err);
    changes_close(changes);
    return ok;
}

/* Moves *after forward to where changes of `from_ms` begin: by halves, as times go up with the
 * sequence, but for a clock that was set. */
static bool seek(struct archive *archive, int64_t from_ms, uint64_t latest, uint64_t *after,
                 struct error *err)
{
    uint64_t low = *after; /* what stands up to here is too early */
    uint64_t high = latest;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct change change;
        bool found;
        if (!look_at(archive, middle, &change, &found, err))
            return false;
        if (found && change.at_ms < from_ms)
            low = change.sequence;
        else
            high = middle;
    }
    *after = low;
    return true;
}

static bool fits(const struct feed_window *window, const struct change *change)
{
    return change->at_ms >= window->start_ms && change->at_ms < window->end_ms &&
           window->actions & 1u << change->action &&
           (!*window->study || strcmp(window->study, change->identity.study) == 0);
}

static bool is_behind(const struct feed_window *window, const struct change *change)
{
    return window->end_ms <= INT64_MAX - CLOCK_SLACK_MS &&
           change->at_ms >= window->end_ms + CLOCK_SLACK_MS;
}

static bool gather(const struct feed_window *window, struct changes *changes, uint64_t latest,
                   struct feed_page *page, struct error *err)
{
    struct change change;
    bool found;
    for (unsigned i = 0; page->count < window->limit && i < MAX_LOOKED_AT; i++) {
        if (!changes_next(changes, &change, &found, err))
            return false;
        /* All of them were there when the cursor was opened. */
        if (!found && page->seen < latest)
            page->seen = latest;
        page->over = found && is_behind(window, &change);
        if (!found || page->over)
            return true;
        page->seen = change.sequence;
        if (!fits(window, &change))
            continue;
        page->changes = mem_resize_array(page->changes, page->count + 1, sizeof(change));
        page->changes[page->count++] = change;
    }
    return true;
}

bool feed_window_read(struct archive *archive, const struct feed_window *window,
                      struct feed_page *page, struct error *err)
{
    struct changes *changes;
    uint64_t latest = changes_latest(archive);
    memset(page, 0, sizeof(*page));
    page->seen = window->offset;
    if (window->start_ms > INT64_MIN + CLOCK_SLACK_MS &&
        !seek(archive, window->start_ms - CLOCK_SLACK_MS, latest, &page->seen, err))
        return false;
    if (!changes_open(archive, page->seen, &changes, err))
        return false;
    bool ok = gather(window, changes, latest, page, err);
    changes_close(changes);
    if (!ok)
        feed_page_release(page);
    return ok;
}

void feed_page_release(struct feed_page *page)
{
    free(page->changes);
    page->changes = NULL;
    page->count = 0;
}
