/* SPDX-License-Identifier: MIT */
#include "archive/feed_entry.h"

#include "base/fields.h"

void feed_entry_encode(const struct change *change, struct buffer *out)
{
    buffer_append_byte(out, FEED_ENTRY_VERSION);
    buffer_append_byte(out, (uint8_t)change->action);
    buffer_append_u64le(out, (uint64_t)change->at_ms);
    fields_put_text(out, change->identity.study);
    fields_put_text(out, change->identity.series);
    fields_put_text(out, change->identity.instance);
    fields_put_text(out, change->identity.sop_class);
}

bool feed_entry_decode(struct slice bytes, uint64_t sequence, struct change *change,
                       struct error *err)
{
    struct fields fields = { bytes, false };
    uint8_t version = fields_u8(&fields);
    uint8_t action = fields_u8(&fields);
    change->sequence = sequence;
    change->at_ms = (int64_t)fields_u64(&fields);
    fields_text(&fields, change->identity.study, UID_SIZE);
    fields_text(&fields, change->identity.series, UID_SIZE);
    fields_text(&fields, change->identity.instance, UID_SIZE);
    fields_text(&fields, change->identity.sop_class, UID_SIZE);
    if (fields.broken || version != FEED_ENTRY_VERSION || action > CHANGE_DELETE)
        return error_set(err, ERROR_CORRUPT, "entry %llu of the change feed cannot be read",
                         (unsigned long long)sequence);
    change->action = (enum change_action)action;
    return true;
}
