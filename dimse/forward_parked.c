/* SPDX-License-Identifier: MIT */
#include "dimse/forward_parked.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PREFIX "parked."

enum { VALUE_SIZE = 3 * UID_SIZE };

static void make_key(uint64_t sequence, char key[PARKED_KEY_SIZE])
{
    snprintf(key, PARKED_KEY_SIZE, PREFIX "%020" PRIu64, sequence);
}

bool forward_parked_put(struct archive *archive, const char *follower, const struct change *change,
                        struct error *err)
{
    char key[PARKED_KEY_SIZE];
    struct buffer value = buffer_up_to(VALUE_SIZE);
    make_key(change->sequence, key);
    buffer_append_format(&value, "%s\n%s\n%s", change->identity.study, change->identity.series,
                         change->identity.instance);
    bool ok = buffer_check(&value, "parked instance", err) &&
              follower_put(archive, follower, key, buffer_slice(&value), err);
    buffer_release(&value);
    return ok;
}

bool forward_parked_remove(struct archive *archive, const char *follower,
                           const struct change *change, struct error *err)
{
    char key[PARKED_KEY_SIZE];
    make_key(change->sequence, key);
    return follower_put(archive, follower, key, slice_of(NULL, 0), err);
}

static bool parse(struct buffer *value, struct change *change, struct error *err)
{
    struct identity *identity = &change->identity;
    if (sscanf(buffer_text(value), "%64[0-9.]\n%64[0-9.]\n%64[0-9.]", identity->study,
               identity->series, identity->instance) == 3)
        return true;
    return error_set(err, ERROR_CORRUPT, "a parked instance cannot be read");
}

bool forward_parked_next(struct archive *archive, const char *follower, uint64_t after,
                         struct change *change, bool *found, struct error *err)
{
    char key[PARKED_KEY_SIZE];
    struct buffer next = buffer_up_to(PARKED_KEY_SIZE);
    struct buffer value = buffer_up_to(VALUE_SIZE);
    bool there = false;
    make_key(after, key);
    memset(change, 0, sizeof(*change));
    bool ok = follower_next_key(archive, follower, key, &next, found, err);
    *found = ok && *found && slice_starts_with(buffer_slice(&next), slice_text(PREFIX));
    if (*found) {
        change->sequence = strtoull(buffer_text(&next) + sizeof(PREFIX) - 1, NULL, 10);
        ok = follower_get(archive, follower, buffer_text(&next), &value, &there, err) &&
             parse(&value, change, err);
    }
    buffer_release(&next);
    buffer_release(&value);
    return ok;
}
