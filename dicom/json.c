/* SPDX-License-Identifier: MIT */
#include "dicom/json.h"

#include <stdlib.h>

#include "base/memory.h"
#include "dicom/cursor.h"
#include "dicom/json_value.h"

enum { DEFAULT_INLINE_LIMIT = 1024 };

/* Where an attribute stands in the output: from its key up to the comma of the next one. */
struct member {
    uint32_t tag;
    size_t begin;
};

/* An object that is being written. Tags that do not ascend are put in order at its end. */
struct object {
    size_t first_member;
    size_t begin; /* of what stands between its braces */
    bool ascending;
    bool in_sequence; /* its last attribute is a sequence that is still open */
    bool has_items;   /* that sequence does */
};

struct writer {
    const struct json_options *options;
    size_t inline_limit;
    struct buffer *json;
    struct buffer text; /* scratch */
    struct member *members;
    size_t member_count;
    size_t member_capacity;
    struct object objects[DATASET_MAX_DEPTH + 1];
    size_t depth;      /* of the innermost object: objects[depth] */
    bool beyond_ascii; /* some text is */
};

static void object_begin(struct writer *writer)
{
    JSON_PUT(writer->json, "{");
    writer->objects[writer->depth] = (struct object){
        .first_member = writer->member_count,
        .begin = writer->json->size,
        .ascending = true,
    };
}

static int compare_members(const void *a, const void *b)
{
    const struct member *first = a, *second = b;
    if (first->tag != second->tag)
        return first->tag < second->tag ? -1 : 1;
    return first->begin < second->begin ? -1 : first->begin > second->begin;
}

static size_t member_end(const struct writer *writer, size_t index)
{
    return index + 1 < writer->member_count ? writer->members[index + 1].begin - 1
                                            : writer->json->size;
}

/* Ascending, and of several with one tag only the first. */
static void object_sort(struct writer *writer, const struct object *object)
{
    struct buffer *json = writer->json;
    size_t count = writer->member_count - object->first_member;
    struct slice before = slice_of(mem_copy(json->data + object->begin, json->size - object->begin),
                                   json->size - object->begin);
    struct {
        struct member member; /* first, for compare_members */
        size_t size;
    } *sorted = mem_alloc_array(count, sizeof(*sorted));
    for (size_t i = 0; i < count; i++) {
        sorted[i].member = writer->members[object->first_member + i];
        sorted[i].size = member_end(writer, object->first_member + i) - sorted[i].member.begin;
    }
    qsort(sorted, count, sizeof(*sorted), compare_members);
    json->size = object->begin;
    for (size_t i = 0; i < count; i++) {
        if (i && sorted[i].member.tag == sorted[i - 1].member.tag)
            continue;
        if (i)
            JSON_PUT(json, ",");
        json_put(json, before.data + (sorted[i].member.begin - object->begin), sorted[i].size);
    }
    free(sorted);
    free((void *)(uintptr_t)before.data);
}

static void object_end(struct writer *writer)
{
    const struct object *object = &writer->objects[writer->depth];
    if (!object->ascending && !writer->json->overflowed)
        object_sort(writer, object);
    writer->member_count = object->first_member;
    JSON_PUT(writer->json, "}");
}

/* `"ggggeeee":{"vr":"XX"` */
static void member_begin(struct writer *writer, uint32_t tag, uint16_t vr)
{
    struct object *object = &writer->objects[writer->depth];
    bool first = writer->member_count == object->first_member;
    if (!first) {
        JSON_PUT(writer->json, ",");
        object->ascending &= tag > writer->members[writer->member_count - 1].tag;
    }
    if (writer->member_count == writer->member_capacity) {
        writer->member_capacity = writer->member_capacity ? writer->member_capacity * 2 : 128;
        writer->members = mem_resize_array(writer->members, writer->member_capacity,
                                           sizeof(*writer->members));
    }
    writer->members[writer->member_count++] = (struct member){ tag, writer->json->size };
    char start[] = "\"ggggeeee\":{\"vr\":\"XX\"";
    json_tag_digits(tag, start + 1);
    start[sizeof(start) - 4] = (char)(vr >> 8);
    start[sizeof(start) - 3] = (char)(vr & 0xFF);
    json_put(writer->json, start, sizeof(start) - 1);
}

static void member_end_brace(struct writer *writer)
{
    JSON_PUT(writer->json, "}");
}

/* Group lengths, commands and File Meta are no part of the model (PS3.18 F.2.1). */
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
static bool is_bulk(const struct writer *writer, const struct element *element, enum json_kind kind)
{
    if (element->elided || element->undefined_length)
        return true;
    return kind == JSON_BINARY && element->value.size &&
           (element->value.size > writer->inline_limit || is_pixel_data(element->tag));
}

static void put_bulk_uri(struct writer *writer, const struct walk *walk, uint32_t tag)
{
    struct buffer *json = writer->json;
    JSON_PUT(json, ",\"BulkDataURI\":\"");
    json_put_escaped(slice_text(writer->options->bulk_data_prefix), json);
    for (size_t i = 0; walk && i < walk->depth; i++) {
        json_put_tag(walk->open[i].tag, json);
        buffer_append_format(json, ".%zu.", walk->open[i].item);
    }
    json_put_tag(tag, json);
    JSON_PUT(json, "\"");
}

/* Numbers whose bytes are no whole number of units are kept as bytes. */
static bool is_uneven(const struct element *element, enum json_kind kind)
{
    return (kind == JSON_NUMBER && element->size % vr_unit_size(element->vr)) ||
           (kind == JSON_TAG && element->size % 4);
}

static void write_element(struct writer *writer, const struct walk *walk,
                          const struct element *element)
{
    enum json_kind kind = json_kind_of(element->vr);
    uint16_t vr = element->vr;
    if (is_uneven(element, kind)) {
        vr = VR_UN;
        kind = JSON_BINARY;
    }
    bool bulk = is_bulk(writer, element, kind);
    if (is_left_out(element->tag) || (bulk && !writer->options->bulk_data_prefix))
        return;
    member_begin(writer, element->tag, vr);
    if (bulk) {
        put_bulk_uri(writer, walk, element->tag);
    } else if (element->tag == TAG_SPECIFIC_CHARACTER_SET && element->value.size) {
        JSON_PUT(writer->json, ",\"Value\":[\"ISO_IR 192\"]");
    } else if (kind != JSON_BINARY) {
        writer->beyond_ascii |= json_put_values(element, kind, &writer->text, writer->json);
    } else if (element->value.size) {
        JSON_PUT(writer->json, ",\"InlineBinary\":\"");
        json_put_base64(element, writer->json);
        JSON_PUT(writer->json, "\"");
    }
    member_end_brace(writer);
}

static void sequence_begin(struct writer *writer, uint32_t tag)
{
    member_begin(writer, tag, VR_SQ);
    writer->objects[writer->depth].in_sequence = true;
    writer->objects[writer->depth].has_items = false;
}

static void sequence_end(struct writer *writer)
{
    writer->objects[writer->depth].in_sequence = false;
    if (writer->objects[writer->depth].has_items)
        JSON_PUT(writer->json, "]");
    member_end_brace(writer);
}

static void item_begin(struct writer *writer)
{
    struct object *outer = &writer->objects[writer->depth];
    if (outer->has_items)
        JSON_PUT(writer->json, ",");
    else
        JSON_PUT(writer->json, ",\"Value\":[");
    outer->has_items = true;
    writer->depth++;
    object_begin(writer);
}

static void item_end(struct writer *writer)
{
    object_end(writer);
    writer->depth--;
}

static void write_event(struct writer *writer, const struct walk *walk, enum walk_event event,
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
static void write_walk(struct writer *writer, struct walk *walk)
{
    size_t skipped = 0; /* depth of the sequence that is left out with all in it */
    struct element element;
    enum walk_event event;
    while (!writer->json->overflowed && (event = walk_next(walk, &element)) != WALK_END) {
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

static void write_tags(struct writer *writer, const struct dataset *dataset)
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

static void write_all(struct writer *writer, const struct dataset *dataset)
{
    struct walk walk = dataset_walk(dataset);
    struct element element;
    write_walk(writer, &walk);
    if (!writer->beyond_ascii || dataset_find(dataset, TAG_SPECIFIC_CHARACTER_SET, &element))
        return;
    /* Nothing was said of text that is not ASCII; it is UTF-8 now. */
    member_begin(writer, TAG_SPECIFIC_CHARACTER_SET, VR_CS);
    JSON_PUT(writer->json, ",\"Value\":[\"ISO_IR 192\"]");
    member_end_brace(writer);
}

void json_write_dataset(const struct dataset *dataset, const struct json_options *options,
                        struct buffer *json)
{
    struct writer *writer = mem_alloc(sizeof(*writer));
    writer->options = options;
    writer->inline_limit = options->inline_binary_limit ? options->inline_binary_limit
                                                        : DEFAULT_INLINE_LIMIT;
    writer->json = json;
    writer->text = buffer_up_to(SIZE_MAX);
    object_begin(writer);
    if (options->tags)
        write_tags(writer, dataset);
    else
        write_all(writer, dataset);
    object_end(writer);
    buffer_release(&writer->text);
    free(writer->members);
    free(writer);
}
