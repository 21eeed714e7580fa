/* SPDX-License-Identifier: MIT */
#include "dicom/model_writer.h"

#include <stdlib.h>

#include "base/memory.h"
#include "dicom/cursor.h"
#include "dicom/model_alike.h"

enum { DEFAULT_INLINE_LIMIT = 1024, MAX_NAMES = 64 << 10 };

static void object_begin(struct model_writer *writer)
{
    writer->objects[writer->depth] = (struct model_object){
        .first_member = writer->member_count,
        .begin = writer->out->size,
        .first_creator = writer->creator_count,
        .ascending = true,
    };
}

static int compare_members(const void *a, const void *b)
{
    const struct model_member *first = a, *second = b;
    if (first->tag != second->tag)
        return first->tag < second->tag ? -1 : 1;
    return first->begin < second->begin ? -1 : first->begin > second->begin;
}

static size_t member_end_of(const struct model_writer *writer, size_t index)
{
    return index + 1 < writer->member_count
               ? writer->members[index + 1].begin - writer->format->separator_size
               : writer->out->size;
}

/* Ascending, and of several with one tag only the first. */
static void object_sort(struct model_writer *writer, const struct model_object *object)
{
    struct buffer *out = writer->out;
    size_t count = writer->member_count - object->first_member;
    struct slice before = slice_of(mem_copy(out->data + object->begin, out->size - object->begin),
                                   out->size - object->begin);
    struct {
        struct model_member member; /* first, for compare_members */
        size_t size;
    } *sorted = mem_alloc_array(count, sizeof(*sorted));
    for (size_t i = 0; i < count; i++) {
        sorted[i].member = writer->members[object->first_member + i];
        sorted[i].size = member_end_of(writer, object->first_member + i) - sorted[i].member.begin;
    }
    qsort(sorted, count, sizeof(*sorted), compare_members);
    out->size = object->begin;
    for (size_t i = 0; i < count; i++) {
        if (i && sorted[i].member.tag == sorted[i - 1].member.tag)
            continue;
        if (i)
            writer->format->separator(out);
        json_put(out, before.data + (sorted[i].member.begin - object->begin), sorted[i].size);
    }
    free(sorted);
    free((void *)(uintptr_t)before.data);
}

static void object_end(struct model_writer *writer)
{
    const struct model_object *object = &writer->objects[writer->depth];
    if (!object->ascending && !writer->out->overflowed)
        object_sort(writer, object);
    writer->member_count = object->first_member;
    if (!writer->creators)
        return;
    writer->creator_count = object->first_creator;
    writer->names.size = writer->creator_count ? writer->creators[writer->creator_count].text : 0;
}

void model_note_member(struct model_writer *writer, uint32_t tag, size_t begin)
{
    struct model_object *object = &writer->objects[writer->depth];
    if (writer->member_count != object->first_member)
        object->ascending &= tag > writer->members[writer->member_count - 1].tag;
    if (writer->member_count == writer->member_capacity) {
        writer->member_capacity = writer->member_capacity ? writer->member_capacity * 2 : 128;
        writer->members = mem_resize_array(writer->members, writer->member_capacity,
                                           sizeof(*writer->members));
    }
    writer->members[writer->member_count++] = (struct model_member){ tag, begin };
}

void model_add_member(struct model_writer *writer, uint32_t tag)
{
    if (writer->member_count != writer->objects[writer->depth].first_member)
        writer->format->separator(writer->out);
    model_note_member(writer, tag, writer->out->size);
}

static void member_begin(struct model_writer *writer, uint32_t tag, uint16_t vr)
{
    model_add_member(writer, tag);
    writer->format->member_begin(writer, tag, vr);
}

/* Group lengths, commands and File Meta are no part of the models (PS3.18 F.2.1). */
static bool is_left_out(uint32_t tag)
{
    return (tag & 0xFFFF) == 0 || tag >> 16 == 0x0000 || tag >> 16 == 0x0002;
}

static bool is_pixel_data(uint32_t tag)
{
    return tag == TAG_PIXEL_DATA || tag == TAG_FLOAT_PIXEL_DATA ||
           tag == TAG_DOUBLE_FLOAT_PIXEL_DATA;
}

/* Too large for the document, not here at all, or fragments, which are no value. */
static bool is_bulk(const struct element *element, enum model_kind kind, size_t inline_limit)
{
    if (element->elided || element->undefined_length)
        return true;
    return kind == MODEL_BINARY && element->value.size &&
           (element->value.size > inline_limit || is_pixel_data(element->tag));
}

/* "00540016.0.00540300" */
void json_write_bulk_path(const struct walk *walk, uint32_t tag, struct buffer *path)
{
    for (size_t i = 0; walk && i < walk->depth; i++) {
        json_put_tag(walk->open[i].tag, path);
        buffer_append_format(path, ".%zu.", walk->open[i].item);
    }
    json_put_tag(tag, path);
}

static void put_bulk_data(struct model_writer *writer, const struct walk *walk, uint32_t tag)
{
    struct buffer *path = &writer->text;
    buffer_clear(path);
    buffer_append_text(path, writer->options->bulk_data_prefix);
    json_write_bulk_path(walk, tag, path);
    writer->format->bulk_data(writer, buffer_text(path));
}

/* Private Creator elements: (gggg,0010) to (gggg,00FF) of odd groups (PS3.5 7.8.1). */
static bool is_creator(uint32_t tag)
{
    return tag_is_private(tag) && (tag & 0xFFFF) >= 0x10 && (tag & 0xFFFF) <= 0xFF;
}

static void note_creator(struct model_writer *writer, const struct element *element)
{
    bool beyond_ascii, more;
    /* One place behind the last is always there, for where the next text begins. */
    if (writer->creator_count + 1 == MODEL_MAX_CREATORS || element->elided)
        return;
    struct slice text = model_text(element, MODEL_TEXT, &writer->text, &beyond_ascii);
    text = model_next_value(element->vr, MODEL_TEXT, &text, &more);
    writer->creators[writer->creator_count].tag = element->tag;
    writer->creators[writer->creator_count++].text = writer->names.size;
    buffer_append(&writer->names, text);
    writer->creators[writer->creator_count].text = writer->names.size;
}

struct slice model_creator_of(const struct model_writer *writer, uint32_t tag)
{
    uint32_t block = (tag & 0xFFFF0000) | (tag >> 8 & 0xFF);
    if (!tag_is_private(tag) || !is_creator(block))
        return slice_of(NULL, 0);
    for (size_t i = writer->creator_count; i-- > writer->objects[writer->depth].first_creator;)
        if (writer->creators[i].tag == block)
            return slice_of(writer->names.data + writer->creators[i].text,
                            writer->creators[i + 1].text - writer->creators[i].text);
    return slice_of(NULL, 0);
}

/* Numbers whose bytes are no whole number of units are kept as bytes. */
static bool is_uneven(const struct element *element, enum model_kind kind)
{
    return (kind == MODEL_NUMBER && element->size % vr_unit_size(element->vr)) ||
           (kind == MODEL_TAG && element->size % 4);
}

bool json_is_bulk_data(const struct element *element)
{
    enum model_kind kind = model_kind_of(element->vr);
    if (is_uneven(element, kind))
        kind = MODEL_BINARY;
    return !is_left_out(element->tag) && is_bulk(element, kind, DEFAULT_INLINE_LIMIT);
}

static void write_element(struct model_writer *writer, const struct walk *walk,
                          const struct element *element)
{
    enum model_kind kind = model_kind_of(element->vr);
    uint16_t vr = element->vr;
    if (is_uneven(element, kind)) {
        vr = VR_UN;
        kind = MODEL_BINARY;
    }
    bool bulk = is_bulk(element, kind, writer->inline_limit);
    if (bulk && writer->alike)
        writer->alike->has_bulk = true;
    if (is_left_out(element->tag) || (bulk && !writer->options->bulk_data_prefix))
        return;
    if (writer->creators && is_creator(element->tag))
        note_creator(writer, element);
    member_begin(writer, element->tag, vr);
    if (bulk)
        put_bulk_data(writer, walk, element->tag);
    else if (element->tag == TAG_SPECIFIC_CHARACTER_SET && element->value.size)
        writer->format->utf8(writer->out);
    else if (kind != MODEL_BINARY)
        writer->format->values(writer, element, kind);
    else if (element->value.size)
        writer->format->binary(writer->out, element);
    writer->format->member_end(writer->out);
}

static void sequence_begin(struct model_writer *writer, uint32_t tag)
{
    member_begin(writer, tag, VR_SQ);
    writer->objects[writer->depth].in_sequence = true;
    writer->objects[writer->depth].item_count = 0;
}

static void sequence_end(struct model_writer *writer)
{
    writer->objects[writer->depth].in_sequence = false;
    writer->format->sequence_end(writer->out, writer->objects[writer->depth].item_count);
    writer->format->member_end(writer->out);
}

static void item_begin(struct model_writer *writer)
{
    writer->format->item_begin(writer->out, ++writer->objects[writer->depth].item_count);
    writer->depth++;
    object_begin(writer);
}

static void item_end(struct model_writer *writer)
{
    object_end(writer);
    writer->format->item_end(writer->out);
    writer->depth--;
}

static void write_event(struct model_writer *writer, const struct walk *walk, enum walk_event event,
                        const struct element *element)
{
    switch (event) {
    case WALK_ELEMENT:
        write_element(writer, walk, element);
        break;
    case WALK_SEQUENCE:
        sequence_begin(writer, element->tag);
        break;
    case WALK_SEQUENCE_END:
        sequence_end(writer);
        break;
    case WALK_ITEM:
        item_begin(writer);
        break;
    case WALK_ITEM_END:
        item_end(writer);
        break;
    case WALK_END:
        break;
    }
}

/* Everything that the walk still has. */
static void write_walk(struct model_writer *writer, struct walk *walk)
{
    size_t skipped = 0; /* depth of the sequence that is left out with all in it */
    struct element element;
    enum walk_event event;
    while (!writer->out->overflowed) {
        if (writer->alike && !walk->depth)
            model_alike_step(writer, walk);
        if ((event = walk_next(walk, &element)) == WALK_END)
            break;
        if (skipped) {
            if (walk->depth < skipped)
                skipped = 0;
        } else if (event == WALK_SEQUENCE && is_left_out(element.tag)) {
            skipped = walk->depth;
        } else {
            write_event(writer, walk, event, &element);
        }
    }
    /* Bytes that broke off: what is open is closed. */
    for (;;) {
        if (writer->objects[writer->depth].in_sequence)
            sequence_end(writer);
        if (!writer->depth)
            break;
        item_end(writer);
    }
}

static void write_tags(struct model_writer *writer, const struct dataset *dataset)
{
    for (size_t i = 0; i < writer->options->tag_count; i++) {
        struct element element;
        if (!dataset_find(dataset, writer->options->tags[i], &element))
            continue;
        if (element.vr != VR_SQ || element.elided) {
            write_element(writer, NULL, &element);
        } else if (!is_left_out(element.tag)) {
            struct walk walk = walk_sequence(dataset, &element);
            sequence_begin(writer, element.tag);
            write_walk(writer, &walk);
        }
    }
}

static void write_all(struct model_writer *writer, const struct dataset *dataset)
{
    struct walk walk = dataset_walk(dataset);
    struct element element;
    if (writer->alike)
        model_alike_begin(writer, dataset);
    write_walk(writer, &walk);
    if (writer->alike)
        model_alike_end(writer, dataset);
    if (!writer->beyond_ascii || dataset_find(dataset, TAG_SPECIFIC_CHARACTER_SET, &element))
        return;
    /* Nothing was said of text that is not ASCII; it is UTF-8 now. */
    member_begin(writer, TAG_SPECIFIC_CHARACTER_SET, VR_CS);
    writer->format->utf8(writer->out);
    writer->format->member_end(writer->out);
}

void model_write(const struct model_format *format, const struct dataset *dataset,
                 const struct json_options *options, struct model_alike *alike, struct buffer *out)
{
    struct model_writer *writer = mem_alloc(sizeof(*writer));
    writer->format = format;
    writer->options = options;
    writer->alike = alike;
    writer->inline_limit = options->inline_binary_limit ? options->inline_binary_limit
                                                        : DEFAULT_INLINE_LIMIT;
    writer->out = out;
    writer->text = buffer_up_to(SIZE_MAX);
    writer->names = buffer_up_to(MAX_NAMES);
    if (format->names_creators)
        writer->creators = mem_alloc_array(MODEL_MAX_CREATORS, sizeof(*writer->creators));
    format->begin(out);
    object_begin(writer);
    if (options->tags)
        write_tags(writer, dataset);
    else
        write_all(writer, dataset);
    object_end(writer);
    format->end(out);
    buffer_release(&writer->text);
    buffer_release(&writer->names);
    free(writer->members);
    free(writer->creators);
    free(writer);
}
