/* SPDX-License-Identifier: MIT */
#include "archive/pages.h"

enum { PAGE_KEYS = 1000 };

void pages_open(struct pages *pages, struct storage *storage, enum table table, struct slice lower,
                struct slice upper)
{
    memset(pages, 0, sizeof(*pages));
    pages->storage = storage;
    pages->table = table;
    pages->lower = buffer_up_to(SIZE_MAX / 2);
    pages->upper = buffer_up_to(SIZE_MAX / 2);
    buffer_append(&pages->lower, lower);
    buffer_append(&pages->upper, upper);
}

void pages_open_kind(struct pages *pages, struct storage *storage, enum table table, char kind)
{
    const uint8_t lower[] = { (uint8_t)kind };
    const uint8_t upper[] = { (uint8_t)(kind + 1) };
    pages_open(pages, storage, table, slice_of(lower, 1), slice_of(upper, 1));
}

static bool open_page(struct pages *pages, struct error *err)
{
    pages->taken = 0;
    return storage_cursor_open(pages->storage, pages->table, buffer_slice(&pages->lower),
                               buffer_slice(&pages->upper), &pages->cursor, err);
}

bool pages_hold(struct pages *pages, struct error *err)
{
    pages->whole = true;
    return open_page(pages, err);
}

bool pages_next(struct pages *pages, struct slice *key, struct slice *value, bool *found,
                struct error *err)
{
    if (!pages->cursor && !open_page(pages, err))
        return false;
    if (!storage_cursor_next(pages->cursor, key, value, found, err))
        return false;
    if (!*found || pages->whole || ++pages->taken <= PAGE_KEYS)
        return true;
    /* This key is the first of the next page. */
    buffer_clear(&pages->lower);
    buffer_append(&pages->lower, *key);
    storage_cursor_close(pages->cursor);
    pages->cursor = NULL;
    return pages_next(pages, key, value, found, err);
}

void pages_close(struct pages *pages)
{
    storage_cursor_close(pages->cursor);
    buffer_release(&pages->lower);
    buffer_release(&pages->upper);
}
