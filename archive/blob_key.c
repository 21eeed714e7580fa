/* SPDX-License-Identifier: MIT */
#include "archive/blob_key.h"

#include <string.h>

#include "base/bytes.h"

/* Bytes that no UID begins with: what begins with another one is a place alone, as it was written
 * before there were versions. */
enum { KEY_VERSION = 2, KEY_VERSION_REPLACES = 3, KEY_VERSION_AMENDS = 4, PLACE_OFFSET = 9 };

void blob_key_encode(struct key *key, const struct identity *identity,
                     const struct blob_facts *facts)
{
    struct key place;
    uint8_t time[8];
    put_u64be(time, (uint64_t)facts->stored_at_us);
    key_place(&place, 0, identity->study, identity->series, identity->instance);
    key_start(key, facts->amends     ? KEY_VERSION_AMENDS
                   : facts->replaces ? KEY_VERSION_REPLACES
                                     : KEY_VERSION);
    key_add(key, slice_of(time, sizeof(time)));
    key_add(key, slice_skip(key_slice(&place), 1));
}

bool blob_key_decode(struct slice key, struct identity *identity, struct blob_facts *facts)
{
    memset(identity, 0, sizeof(*identity));
    *facts = (struct blob_facts){ .stored_at_us = 0 };
    if (!key.size)
        return false;
    facts->amends = key.data[0] == KEY_VERSION_AMENDS;
    facts->replaces = facts->amends || key.data[0] == KEY_VERSION_REPLACES;
    if ((key.data[0] == KEY_VERSION || facts->replaces) && key.size >= PLACE_OFFSET) {
        uint64_t time = get_u64be(key.data + 1);
        facts->stored_at_us = time < INT64_MAX ? (int64_t)time : 0;
        key = slice_skip(key, PLACE_OFFSET);
    } else if (key.data[0] < '0') {
        return false;
    }
    return key_split_place(key, identity) && identity->instance[0];
}
