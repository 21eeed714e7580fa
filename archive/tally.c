/* SPDX-License-Identifier: MIT */
#include "archive/tally.h"

#include "base/bytes.h"

bool tally_next(struct slice tally, size_t *position, struct slice *name, uint32_t *count)
{
    if (*position >= tally.size)
        return false;
    const uint8_t *entry = tally.data + *position;
    size_t left = tally.size - *position;
    if (left < 5 || left - 5 < entry[0])
        return false;
    *name = slice_of(entry + 1, entry[0]);
    *count = get_u32le(entry + 1 + entry[0]);
    *position += (size_t)entry[0] + 5;
    return true;
}

static bool insert(struct buffer *tally, size_t position, struct slice name, uint32_t count)
{
    size_t size = name.size + 5;
    if (!buffer_reserve(tally, size).data)
        return false;
    uint8_t *entry = tally->data + position;
    memmove(entry + size, entry, tally->size - position);
    tally->size += size;
    entry[0] = (uint8_t)name.size;
    memcpy(entry + 1, name.data, name.size);
    put_u32le(entry + 1 + name.size, count);
    return true;
}

static void take_out(struct buffer *tally, size_t position, size_t size)
{
    memmove(tally->data + position, tally->data + position + size, tally->size - position - size);
    tally->size -= size;
}

bool tally_add(struct buffer *tally, struct slice name, int32_t amount)
{
    size_t position = 0;
    size_t entries = 0;
    if (!name.size || name.size > 64)
        return false;
    for (;;) {
        size_t entry = position;
        struct slice other;
        uint32_t count;
        bool found = tally_next(buffer_slice(tally), &position, &other, &count);
        int order = found ? slice_compare(other, name) : 1;
        if (order < 0) {
            entries++;
            continue;
        }
        if (order > 0) { /* its place, or the end: it is not there */
            while (tally_next(buffer_slice(tally), &position, &other, &count))
                entries++;
            if (amount <= 0 || entries + found >= TALLY_MAX)
                return false;
            return insert(tally, entry, name, (uint32_t)amount);
        }
        int64_t sum = (int64_t)count + amount;
        if (sum <= 0) {
            take_out(tally, entry, name.size + 5);
            return true;
        }
        put_u32le(tally->data + entry + 1 + name.size, (uint32_t)sum);
        return false;
    }
}
