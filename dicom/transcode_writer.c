/* SPDX-License-Identifier: MIT */
#include "dicom/transcode_parts.h"

enum { STAGED = 64 << 10, LONGEST_HEADER = 12, SHORT_FORM_MAX = 0xFFFE };
enum { LUT_DATA = 0x00283006, GRAY_LUT_DATA = 0x00281200 };

struct element_writer element_writer_init(const struct transcode_sink *sink, bool explicit_vr)
{
    return (struct element_writer){ sink, explicit_vr, buffer_up_to(STAGED) };
}

void element_writer_release(struct element_writer *writer)
{
    buffer_release(&writer->staged);
}

bool element_writer_flush(struct element_writer *writer, struct error *err)
{
    struct slice bytes = buffer_slice(&writer->staged);
    bool ok = !bytes.size || writer->sink->write(writer->sink->context, bytes, err);
    buffer_clear(&writer->staged);
    return ok;
}

/* What does not fit is written together with what waits, or on its own when it is large. */
bool element_writer_bytes(struct element_writer *writer, struct slice bytes, struct error *err)
{
    if (bytes.size > STAGED - writer->staged.size && !element_writer_flush(writer, err))
        return false;
    if (bytes.size >= STAGED)
        return writer->sink->write(writer->sink->context, bytes, err);
    return buffer_append(&writer->staged, bytes);
}

/* "US or OW" (PS3.6): a table of more than 64 KiB must have been OW. */
static uint16_t vr_that_fits(uint32_t tag, uint16_t vr, uint32_t length)
{
    if (length <= SHORT_FORM_MAX || vr_has_long_form(vr))
        return vr;
    return tag == LUT_DATA || tag == GRAY_LUT_DATA ? VR_OW : VR_UN;
}

static bool make_room(struct element_writer *writer, struct error *err)
{
    return writer->staged.size + LONGEST_HEADER <= STAGED || element_writer_flush(writer, err);
}

static void append_tag(struct buffer *out, uint32_t tag)
{
    buffer_append_u16le(out, (uint16_t)(tag >> 16));
    buffer_append_u16le(out, (uint16_t)tag);
}

bool element_writer_header(struct element_writer *writer, uint32_t tag, uint16_t vr,
                           uint32_t length, struct error *err)
{
    struct buffer *out = &writer->staged;
    if (!make_room(writer, err))
        return false;
    append_tag(out, tag);
    if (!writer->explicit_vr)
        return buffer_append_u32le(out, length);
    vr = vr_that_fits(tag, vr, length);
    buffer_append_byte(out, (uint8_t)(vr >> 8));
    buffer_append_byte(out, (uint8_t)vr);
    if (!vr_has_long_form(vr))
        return buffer_append_u16le(out, (uint16_t)length);
    buffer_append_u16le(out, 0);
    return buffer_append_u32le(out, length);
}

bool element_writer_item(struct element_writer *writer, uint32_t tag, uint32_t length,
                         struct error *err)
{
    if (!make_room(writer, err))
        return false;
    append_tag(&writer->staged, tag);
    return buffer_append_u32le(&writer->staged, length);
}
