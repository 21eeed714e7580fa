/* SPDX-License-Identifier: MIT */
#include "cast/parked.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define PREFIX "parked/"

enum { KEY_SIZE = UID_SIZE + 16, VALUE_MAX = 64 * 1024 };

static void key_of(const char *study, char key[KEY_SIZE])
{
    snprintf(key, KEY_SIZE, PREFIX "%s", study);
}

bool parked_put(struct archive *archive, const char *study, const struct parked_reason *reason,
                struct error *err)
{
    char key[KEY_SIZE], at[CLOCK_TEXT_SIZE];
    struct buffer value = buffer_up_to(VALUE_MAX);
    cJSON *json = json_object();
    clock_format_utc(clock_unix_ms(), at);
    json_set_text(json, "at", at);
    json_set_integer(json, "status", reason->status);
    json_set_integer(json, "attempts", reason->attempts);
    json_set_text(json, "reason", reason->reason);
    json_print(json, &value);
    cJSON_Delete(json);
    key_of(study, key);
    bool ok = follower_put(archive, CAST_FOLLOWER, key, buffer_slice(&value), err);
    buffer_release(&value);
    return ok;
}

bool parked_remove(struct archive *archive, const char *study, bool *was, struct error *err)
{
    char key[KEY_SIZE];
    struct buffer value = buffer_up_to(VALUE_MAX);
    key_of(study, key);
    bool ok = follower_get(archive, CAST_FOLLOWER, key, &value, was, err) &&
              (!*was || follower_put(archive, CAST_FOLLOWER, key, slice_of(NULL, 0), err));
    buffer_release(&value);
    return ok;
}

bool parked_next(struct archive *archive, char study[UID_SIZE], bool *found, struct error *err)
{
    char after[KEY_SIZE];
    struct buffer key = buffer_up_to(256);
    key_of(study, after);
    bool ok = follower_next_key(archive, CAST_FOLLOWER, after, &key, found, err);
    const char *text = buffer_text(&key);
    size_t prefix = strlen(PREFIX);
    *found = ok && *found && strncmp(text, PREFIX, prefix) == 0 && strlen(text + prefix) < UID_SIZE;
    if (*found)
        snprintf(study, UID_SIZE, "%s", text + prefix);
    buffer_release(&key);
    return ok;
}

bool parked_describe(struct archive *archive, const char *study, cJSON **out, struct error *err)
{
    /* What an earlier version kept may hold more than these. */
    static const char *const kept[] = { "at", "status", "attempts", "reason" };
    char key[KEY_SIZE];
    struct buffer value = buffer_up_to(VALUE_MAX);
    cJSON *json = NULL;
    bool found = false;
    *out = NULL;
    key_of(study, key);
    bool ok = follower_get(archive, CAST_FOLLOWER, key, &value, &found, err) &&
              (!found || json_parse(buffer_slice(&value), &json, err));
    if (ok && found) {
        *out = json_object();
        json_set_text(*out, "study", study);
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            if (json_get(json, kept[i]))
                json_set_take(*out, kept[i], json_copy(json_get(json, kept[i])));
    }
    cJSON_Delete(json);
    buffer_release(&value);
    return ok;
}
