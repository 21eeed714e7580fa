/* SPDX-License-Identifier: MIT */
#include "worklist/edit.h"

#include <stdlib.h>

#include "base/memory.h"
#include "worklist/objects.h"

struct edit edit_init(void)
{
    struct edit edit = { .bytes = buffer_up_to(OBJECT_DATASET_LIMIT) };
    return edit;
}

void edit_release(struct edit *edit)
{
    buffer_release(&edit->bytes);
    free(edit->entries);
    edit->entries = NULL;
    edit->count = edit->capacity = 0;
}

/* What was encoded since `offset` is the attribute. */
static void add(struct edit *edit, uint32_t tag, size_t offset)
{
    if (edit->count == edit->capacity) {
        edit->capacity = edit->capacity ? 2 * edit->capacity : 64;
        edit->entries = mem_resize_array(edit->entries, edit->capacity, sizeof(*edit->entries));
    }
    edit->entries[edit->count] = (struct edit_entry){ tag, edit->count, offset,
                                                      edit->bytes.size - offset };
    edit->count++;
}

void edit_copy(struct edit *edit, const struct dataset *dataset, uint32_t tag)
{
    struct encoder encoder = { &edit->bytes, true };
    size_t offset = edit->bytes.size;
    if (dataset && encode_copy(&encoder, dataset, tag))
        add(edit, tag, offset);
}

void edit_copy_all(struct edit *edit, const struct dataset *dataset)
{
    struct element element;
    size_t depth = 0;
    if (!dataset)
        return;
    struct walk walk = dataset_walk(dataset);
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        bool is_top = depth == 0 && (event == WALK_ELEMENT || event == WALK_SEQUENCE);
        if (is_top && (element.tag & 0xFFFF) && element.tag != TAG_SPECIFIC_CHARACTER_SET)
            edit_copy(edit, dataset, element.tag);
        if (event == WALK_SEQUENCE)
            depth++;
        else if (event == WALK_SEQUENCE_END)
            depth--;
    }
}

void edit_text(struct edit *edit, uint32_t tag, const char *text)
{
    struct encoder encoder = { &edit->bytes, true };
    size_t offset = edit->bytes.size;
    encode_text(&encoder, tag, dictionary_vr(tag), text);
    add(edit, tag, offset);
}

void edit_remove(struct edit *edit, uint32_t tag)
{
    add(edit, tag, edit->bytes.size);
}

static int compare(const void *a, const void *b)
{
    const struct edit_entry *left = a, *right = b;
    if (left->tag != right->tag)
        return left->tag < right->tag ? -1 : 1;
    return left->order < right->order ? -1 : left->order > right->order;
}

static void write_entries(struct edit *edit, struct buffer *out)
{
    if (edit->count > 1)
        qsort(edit->entries, edit->count, sizeof(*edit->entries), compare);
    for (size_t i = 0; i < edit->count; i++) {
        const struct edit_entry *entry = &edit->entries[i];
        if (i + 1 < edit->count && entry[1].tag == entry->tag)
            continue;
        if (entry->size)
            buffer_append(out, slice_of(edit->bytes.data + entry->offset, entry->size));
    }
}

void edit_item(struct edit *edit, uint32_t tag, struct edit *item)
{
    struct encoder encoder = { &edit->bytes, true };
    size_t offset = edit->bytes.size;
    encode_sequence_begin(&encoder, tag);
    encode_item_begin(&encoder);
    write_entries(item, &edit->bytes);
    encode_item_end(&encoder);
    encode_sequence_end(&encoder);
    edit->bytes.overflowed |= item->bytes.overflowed;
    add(edit, tag, offset);
}

bool edit_write(struct edit *edit, struct buffer *out, struct error *err)
{
    struct encoder encoder = { out, true };
    buffer_clear(out);
    encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    edit_remove(edit, TAG_SPECIFIC_CHARACTER_SET);
    write_entries(edit, out);
    return buffer_check(&edit->bytes, "data set", err) && buffer_check(out, "data set", err);
}
