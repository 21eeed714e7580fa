/* SPDX-License-Identifier: MIT */
#include "dicom/part10.h"

#include "dicom/element_header.h"
#include "dicom/encode.h"

enum {
    PREFIX_END = PART10_PREAMBLE_SIZE + 4,
    META_GROUP = 0x0002,
    TAG_META_GROUP_LENGTH = 0x00020000,
    TAG_META_VERSION = 0x00020001,
    TAG_MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002,
    TAG_MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003,
    TAG_TRANSFER_SYNTAX_UID = 0x00020010,
    TAG_IMPLEMENTATION_CLASS_UID = 0x00020012,
    TAG_IMPLEMENTATION_VERSION_NAME = 0x00020013,
    TAG_SOURCE_APPLICATION_ENTITY_TITLE = 0x00020016,
};

void file_meta_write(const struct file_meta *meta, struct buffer *out)
{
    static const uint8_t preamble[PART10_PREAMBLE_SIZE];
    static const uint8_t version[2] = { 0, 1 };
    struct buffer group = buffer_up_to(1 << 10); /* five UIDs and two names */
    struct encoder encoder = { &group, .explicit_vr = true };
    encode_bytes(&encoder, TAG_META_VERSION, VR_OB, slice_of(version, sizeof(version)));
    encode_text(&encoder, TAG_MEDIA_STORAGE_SOP_CLASS_UID, VR_UI, meta->sop_class);
    encode_text(&encoder, TAG_MEDIA_STORAGE_SOP_INSTANCE_UID, VR_UI, meta->sop_instance);
    encode_text(&encoder, TAG_TRANSFER_SYNTAX_UID, VR_UI, meta->transfer_syntax);
    encode_text(&encoder, TAG_IMPLEMENTATION_CLASS_UID, VR_UI, UID_IMPLEMENTATION_CLASS);
    encode_text(&encoder, TAG_IMPLEMENTATION_VERSION_NAME, VR_SH, IMPLEMENTATION_VERSION_NAME);
    if (meta->source_ae[0])
        encode_text(&encoder, TAG_SOURCE_APPLICATION_ENTITY_TITLE, VR_AE, meta->source_ae);

    buffer_append(out, slice_of(preamble, sizeof(preamble)));
    buffer_append_text(out, "DICM");
    encoder.out = out;
    encode_u32(&encoder, TAG_META_GROUP_LENGTH, (uint32_t)group.size);
    buffer_append(out, buffer_slice(&group));
    buffer_release(&group);
}

/* An empty one is as if it were absent. */
static bool take_uid(struct slice value, char uid[UID_SIZE], uint32_t tag, struct error *err)
{
    if (value.size && !uid_copy(value, uid))
        return error_set_tag(err, ERROR_INVALID, tag, "(%04X,%04X) of the file is no UID",
                             tag >> 16, tag & 0xFFFF);
    return true;
}

static void take_title(struct slice value, char title[17])
{
    while (value.size && (value.data[0] == ' '))
        value = slice_skip(value, 1);
    while (value.size && (value.data[value.size - 1] == ' ' || value.data[value.size - 1] == 0))
        value.size--;
    value = slice_take(value, 16);
    memcpy(title, value.data, value.size);
    title[value.size] = '\0';
}

static bool take_element(struct file_meta *meta, uint32_t tag, struct slice value,
                         struct error *err)
{
    switch (tag) {
    case TAG_MEDIA_STORAGE_SOP_CLASS_UID:
        return take_uid(value, meta->sop_class, tag, err);
    case TAG_MEDIA_STORAGE_SOP_INSTANCE_UID:
        return take_uid(value, meta->sop_instance, tag, err);
    case TAG_TRANSFER_SYNTAX_UID:
        return take_uid(value, meta->transfer_syntax, tag, err);
    case TAG_SOURCE_APPLICATION_ENTITY_TITLE:
        if (value.size)
            take_title(value, meta->source_ae);
        return true;
    default:
        return true;
    }
}

static bool needs_more(size_t size, struct error *err)
{
    if (size >= PART10_META_LIMIT)
        return error_set(err, ERROR_LIMIT, "file meta information exceeds %d bytes",
                         PART10_META_LIMIT);
    return true;
}

static bool finish(struct file_meta *meta, size_t size, bool *complete, struct error *err)
{
    if (!meta->transfer_syntax[0])
        return error_set_tag(err, ERROR_INVALID, TAG_TRANSFER_SYNTAX_UID,
                             "file has no transfer syntax (0002,0010)");
    meta->size = size;
    *complete = true;
    return true;
}

/* The group ends where its length says or, when there is none or it is wrong, where another group
 * begins. */
bool file_meta_read(struct slice bytes, struct file_meta *meta, bool *complete, struct error *err)
{
    *meta = (struct file_meta){ .size = 0 };
    *complete = false;
    if (bytes.size < PREFIX_END)
        return true;
    if (memcmp(bytes.data + PART10_PREAMBLE_SIZE, "DICM", 4) != 0)
        return error_set(err, ERROR_INVALID, "no DICOM file: no DICM behind the preamble");
    size_t position = PREFIX_END;
    size_t stated_end = 0;
    while (position != stated_end) {
        struct slice rest = slice_skip(bytes, position);
        struct element_header header;
        if (rest.size >= 2 && get_u16le(rest.data) != META_GROUP)
            break;
        enum element_header_state state = element_header_read(rest.data, rest.size, true, false,
                                                              &header);
        if (state == ELEMENT_HEADER_BAD_VR)
            return error_set_tag(err, ERROR_INVALID, header.tag,
                                 "file meta information is not in explicit VR");
        if (state == ELEMENT_HEADER_SHORT)
            return needs_more(bytes.size, err);
        if (header.length > PART10_META_LIMIT)
            return error_set_tag(err, ERROR_LIMIT, header.tag,
                                 "element of the file meta information is too long");
        if (header.length > rest.size - header.size)
            return needs_more(bytes.size, err);
        struct slice value = slice_of(rest.data + header.size, header.length);
        position += header.size + header.length;
        if (header.tag == TAG_META_GROUP_LENGTH && value.size == 4)
            stated_end = position + get_u32le(value.data);
        else if (!take_element(meta, header.tag, value, err))
            return false;
    }
    return finish(meta, position, complete, err);
}
