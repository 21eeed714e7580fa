/* SPDX-License-Identifier: MIT */
#include "dicom/model_alike.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"

/* What is larger is not kept: it is one instance, or few of its kind are in a series. */
enum { MAX_BYTES = 256 << 10, MAX_TEXT = 1 << 20, MAX_MEMBERS = 4096 };

struct model_alike *model_alike_new(void)
{
    struct model_alike *alike = mem_alloc(sizeof(*alike));
    alike->bytes = buffer_up_to(MAX_BYTES);
    alike->text = buffer_up_to(MAX_TEXT);
    return alike;
}

void model_alike_free(struct model_alike *alike)
{
    if (!alike)
        return;
    buffer_release(&alike->bytes);
    buffer_release(&alike->text);
    free(alike->before.list);
    free(alike->now.list);
    free(alike);
}

void model_alike_begin(struct model_writer *writer, const struct dataset *dataset)
{
    struct model_alike *alike = writer->alike;
    if (alike->syntax != dataset->syntax || alike->charset != dataset->charset ||
        alike->signed_pixels != dataset->signed_pixels ||
        alike->inline_limit != writer->inline_limit)
        alike->before.count = 0;
    alike->next = 0;
    alike->now.count = 0;
    alike->beyond_ascii = false;
    alike->position = dataset->base;
    alike->member_count = writer->member_count;
    alike->has_bulk = false;
}

static void add(struct alike_members *members, const struct alike_member *member)
{
    if (members->count == MAX_MEMBERS)
        return;
    if (members->count == members->capacity) {
        members->capacity = members->capacity ? members->capacity * 2 : 128;
        members->list = mem_resize_array(members->list, members->capacity, sizeof(*members->list));
    }
    members->list[members->count++] = *member;
}

/* The attribute that was just written, if it is one for the next data set. */
static void note(struct model_writer *writer, const struct walk *walk)
{
    struct model_alike *alike = writer->alike;
    if (writer->member_count == alike->member_count)
        return; /* it was left out */
    const struct model_object *object = &writer->objects[0];
    const struct model_member *written = &writer->members[alike->member_count];
    while (alike->next < alike->before.count && alike->before.list[alike->next].tag <= written->tag)
        alike->next++;
    if (alike->has_bulk || walk->elision)
        return;
    const struct alike_member member = {
        .tag = written->tag,
        .beyond_ascii = writer->beyond_ascii,
        .begin = (size_t)(alike->position - walk->dataset->base),
        .end = (size_t)(walk->position - walk->dataset->base),
        .text = written->begin - object->begin,
        .text_end = writer->out->size - object->begin,
    };
    add(&alike->now, &member);
}

static size_t count_same(struct slice a, struct slice b)
{
    size_t size = a.size < b.size ? a.size : b.size, at = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t differ = get_u64le(a.data + at) ^ get_u64le(b.data + at);
        if (differ)
            return at + (size_t)__builtin_ctzll(differ) / 8;
    }
    while (at < size && a.data[at] == b.data[at])
        at++;
    return at;
}

/* How many members of the data set before, from the next on, stand one behind the other in its
 * bytes and in its text, and have the bytes that come here. */
static size_t count_alike(const struct model_writer *writer, struct slice here)
{
    const struct model_alike *alike = writer->alike;
    size_t left = alike->before.count - alike->next, count = 0;
    if (!left)
        return 0;
    const struct alike_member *first = alike->before.list + alike->next;
    size_t same = count_same(here, slice_skip(buffer_slice(&alike->bytes), first->begin));
    while (count < left && first[count].end - first->begin <= same &&
           (!count ||
            (first[count].begin == first[count - 1].end &&
             first[count].text == first[count - 1].text_end + writer->format->separator_size)))
        count++;
    return count;
}

static void copy(struct model_writer *writer, struct walk *walk, size_t count)
{
    struct model_alike *alike = writer->alike;
    const struct alike_member *first = alike->before.list + alike->next, *last = first + count - 1;
    size_t begin = (size_t)(walk->position - walk->dataset->base);
    model_add_member(writer, first->tag);
    size_t out = writer->out->size, text = out - writer->objects[0].begin;
    for (const struct alike_member *member = first; member <= last; member++) {
        struct alike_member moved = *member;
        moved.begin += begin - first->begin;
        moved.end += begin - first->begin;
        moved.text += text - first->text;
        moved.text_end += text - first->text;
        add(&alike->now, &moved);
        alike->beyond_ascii |= member->beyond_ascii;
        if (member != first)
            model_note_member(writer, member->tag, out + member->text - first->text);
    }
    json_put(writer->out, alike->text.data + first->text, last->text_end - first->text);
    alike->next += count;
    walk->position += last->end - first->begin;
}

void model_alike_step(struct model_writer *writer, struct walk *walk)
{
    struct model_alike *alike = writer->alike;
    if (walk->position != alike->position)
        note(writer, walk);
    alike->beyond_ascii |= writer->beyond_ascii;
    /* Of the next attribute alone. */
    writer->beyond_ascii = false;
    if (!walk->elision) {
        const struct cursor cursor = { walk->dataset, walk->position, 0, false, 0 };
        size_t count = count_alike(writer, cursor_bytes(&cursor));
        if (count)
            copy(writer, walk, count);
    }
    alike->position = walk->position;
    alike->member_count = writer->member_count;
    alike->has_bulk = false;
}

void model_alike_end(struct model_writer *writer, const struct dataset *dataset)
{
    struct model_alike *alike = writer->alike;
    const struct model_object *object = &writer->objects[0];
    const struct cursor begin = { dataset, dataset->base, 0, false, 0 };
    struct alike_members before = alike->before;
    alike->before = alike->now;
    alike->now = before;
    writer->beyond_ascii |= alike->beyond_ascii;
    alike->syntax = dataset->syntax;
    alike->charset = dataset->charset;
    alike->signed_pixels = dataset->signed_pixels;
    alike->inline_limit = writer->inline_limit;
    buffer_clear(&alike->bytes);
    buffer_clear(&alike->text);
    /* Through members that are out of order, or of which the last broke off, nobody looks again. */
    if (!object->ascending || writer->out->overflowed ||
        !buffer_append(&alike->bytes, cursor_bytes(&begin)) ||
        !buffer_append(&alike->text, slice_of(writer->out->data + object->begin,
                                              writer->out->size - object->begin)))
        alike->before.count = 0;
}
