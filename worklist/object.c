/* SPDX-License-Identifier: MIT */
/* An object in memory, and the bytes of its record. */
#include <stdio.h>

#include "base/fields.h"
#include "dicom/encode.h"
#include "worklist/core.h"

enum { LINK_HEADER = 2 /* index, size */ };

struct object object_init(void)
{
    struct object object = { .own = buffer_up_to(OBJECT_OWN_LIMIT),
                             .links = buffer_up_to(OBJECT_LINKS_LIMIT),
                             .dataset = buffer_up_to(OBJECT_DATASET_LIMIT) };
    return object;
}

void object_release(struct object *object)
{
    buffer_release(&object->own);
    buffer_release(&object->links);
    buffer_release(&object->dataset);
}

void object_clear(struct object *object)
{
    struct buffer own = object->own, links = object->links, dataset = object->dataset;
    memset(object, 0, sizeof(*object));
    object->own = own;
    object->links = links;
    object->dataset = dataset;
    buffer_clear(&object->own);
    buffer_clear(&object->links);
    buffer_clear(&object->dataset);
}

void object_copy(struct object *to, const struct object *from)
{
    struct buffer own = to->own, links = to->links, dataset = to->dataset;
    *to = *from;
    to->own = own;
    to->links = links;
    to->dataset = dataset;
    buffer_clear(&to->own);
    buffer_clear(&to->links);
    buffer_clear(&to->dataset);
    buffer_append(&to->own, buffer_slice(&from->own));
    buffer_append(&to->links, buffer_slice(&from->links));
    buffer_append(&to->dataset, buffer_slice(&from->dataset));
}

bool object_set_dataset(struct object *object, const struct dataset *dataset, struct error *err)
{
    /* Built apart: the data set may borrow from the object. */
    struct buffer bytes = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct encoder encoder = { &bytes, true };
    struct walk walk = dataset_walk(dataset);
    struct element element;
    bool has_charset = false;
    size_t depth = 0;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (event == WALK_ELEMENT && (element.tag & 0xFFFF) == 0)
            continue;
        if (depth == 0 && !has_charset && (event == WALK_ELEMENT || event == WALK_SEQUENCE) &&
            element.tag >= TAG_SPECIFIC_CHARACTER_SET) {
            encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
            has_charset = true;
        }
        if (event == WALK_SEQUENCE)
            depth++;
        else if (event == WALK_SEQUENCE_END)
            depth--;
        if (event != WALK_ELEMENT)
            encode_structure(&encoder, event, element.tag);
        else if (element.tag != TAG_SPECIFIC_CHARACTER_SET)
            encode_element(&encoder, dataset, &element);
    }
    bool ok = buffer_check(&bytes, "data set", err) &&
              (!walk.broken || error_set(err, ERROR_INVALID, "the data set cannot be read"));
    if (ok) {
        buffer_release(&object->dataset);
        object->dataset = bytes;
        bytes = buffer_up_to(0);
    }
    buffer_release(&bytes);
    return ok;
}

bool object_dataset(const struct object *object, struct dataset **out, struct error *err)
{
    return dataset_open(buffer_slice(&object->dataset),
                        transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0, out,
                        err);
}

/* Links. */

static bool link_next(struct slice *links, char *index, struct slice *value)
{
    if (links->size < LINK_HEADER)
        return false;
    *index = (char)links->data[0];
    size_t size = links->data[1];
    if (links->size - LINK_HEADER < size)
        return false;
    *value = slice_take(slice_skip(*links, LINK_HEADER), size);
    *links = slice_skip(*links, LINK_HEADER + size);
    return true;
}

bool object_linked(const struct object *object, char index, size_t number, struct slice *value)
{
    struct slice links = buffer_slice(&object->links);
    struct slice present_value;
    char present;
    while (link_next(&links, &present, &present_value)) {
        if (present == index && number-- == 0) {
            *value = present_value;
            return true;
        }
    }
    return false;
}

bool object_is_linked(const struct object *object, char index, struct slice value)
{
    struct slice links = buffer_slice(&object->links);
    struct slice present_value;
    char present;
    while (link_next(&links, &present, &present_value)) {
        if (present == index && slice_equal(present_value, value))
            return true;
    }
    return false;
}

bool object_link(struct object *object, char index, struct slice value, struct error *err)
{
    if (!value.size || object_is_linked(object, index, value))
        return true;
    if (value.size > OBJECT_LINK_LIMIT || memchr(value.data, 0, value.size))
        return error_set(err, ERROR_LIMIT, "a number exceeds %d bytes or holds a NUL",
                         OBJECT_LINK_LIMIT);
    if (object->links.size + LINK_HEADER + value.size > OBJECT_LINKS_LIMIT)
        return error_set(err, ERROR_LIMIT, "an object has too many links");
    buffer_append_byte(&object->links, (uint8_t)index);
    buffer_append_byte(&object->links, (uint8_t)value.size);
    buffer_append(&object->links, value);
    return true;
}

void object_unlink(struct object *object, char index)
{
    struct buffer kept = buffer_up_to(OBJECT_LINKS_LIMIT);
    struct slice links = buffer_slice(&object->links);
    struct slice value;
    char present;
    while (link_next(&links, &present, &value)) {
        if (present == index)
            continue;
        buffer_append_byte(&kept, (uint8_t)present);
        buffer_append_byte(&kept, (uint8_t)value.size);
        buffer_append(&kept, value);
    }
    buffer_release(&object->links);
    object->links = kept;
}

/* The record. */

void object_record_key(enum object_kind kind, const char *key, struct buffer *out)
{
    buffer_clear(out);
    buffer_append_byte(out, WORKLIST_BYTE);
    buffer_append_byte(out, (uint8_t)kind);
    buffer_append_text(out, key);
}

void object_record_encode(const struct object *object, struct buffer *out)
{
    buffer_append_byte(out, OBJECT_VERSION);
    buffer_append_byte(out, (uint8_t)object->shelf);
    buffer_append_byte(out, object->state);
    buffer_append_u64le(out, object->revision);
    buffer_append_u64le(out, (uint64_t)object->created_ms);
    buffer_append_u64le(out, (uint64_t)object->changed_ms);
    fields_put_bytes(out, buffer_slice(&object->own));
    fields_put_bytes(out, buffer_slice(&object->links));
    fields_put_bytes(out, buffer_slice(&object->dataset));
}

static bool take_bytes(struct fields *fields, struct buffer *out)
{
    buffer_clear(out);
    return buffer_append(out, fields_bytes(fields));
}

bool object_record_decode(struct slice record, enum object_kind kind, const char *key,
                          struct object *object, struct error *err)
{
    struct fields fields = { record, false };
    object->kind = kind;
    snprintf(object->key, sizeof(object->key), "%s", key);
    uint8_t version = fields_u8(&fields);
    uint8_t shelf = fields_u8(&fields);
    object->shelf = (enum object_shelf)shelf;
    object->state = fields_u8(&fields);
    object->revision = fields_u64(&fields);
    object->created_ms = (int64_t)fields_u64(&fields);
    object->changed_ms = (int64_t)fields_u64(&fields);
    bool fits = take_bytes(&fields, &object->own) && take_bytes(&fields, &object->links) &&
                take_bytes(&fields, &object->dataset);
    if (!fits || fields.broken || version != OBJECT_VERSION ||
        (shelf != OBJECT_LIVE && shelf != OBJECT_DONE))
        return error_set(err, ERROR_CORRUPT, "a record of the worklist (kind %c) cannot be read",
                         (char)kind);
    return true;
}
