/* SPDX-License-Identifier: MIT */
#pragma once
/* Between the files of transcode: values are read from where they stand, the result is written in
 * pieces, pixel data is decoded frame by frame. One thread at a time. */

#include "dicom/deflate.h"
#include "dicom/transcode.h"

/* --- transcode_reader.c: bytes of the data set, also of one that is stored deflated. For a
 * deflated one, offsets must ascend. */
struct value_reader {
    const struct transcode_source *source;
    struct inflater *inflater; /* NULL when the data set is stored as it is */
    uint64_t stored_at;        /* deflated bytes that were read */
    uint64_t position;         /* in the inflated data set, of the first byte of `inflated` */
    struct slice input;
    struct slice inflated;
    uint8_t *piece;
};
struct value_reader value_reader_init(const struct transcode_source *source, bool deflated);
void value_reader_release(struct value_reader *reader);
bool value_reader_read(struct value_reader *reader, uint64_t offset, struct space space,
                       struct error *err);

/* --- transcode_writer.c: the encoding of the result. */
struct element_writer {
    const struct transcode_sink *sink;
    bool explicit_vr;
    struct buffer staged;
};
struct element_writer element_writer_init(const struct transcode_sink *sink, bool explicit_vr);
void element_writer_release(struct element_writer *writer);
/* An element's header. Its VR becomes UN (or OW, where that is the other choice) when the length
 * does not fit in its short form (PS3.5 6.2.2). */
bool element_writer_header(struct element_writer *writer, uint32_t tag, uint16_t vr,
                           uint32_t length, struct error *err);
/* Item or delimiter. */
bool element_writer_item(struct element_writer *writer, uint32_t tag, uint32_t length,
                         struct error *err);
bool element_writer_bytes(struct element_writer *writer, struct slice bytes, struct error *err);
bool element_writer_flush(struct element_writer *writer, struct error *err);

/* --- transcode_frames.c: pixel data frame by frame, encapsulated and decoded, or native. The first
 * frame is read at the opening: what the attributes before the pixel data have to say depends on
 * it. */
struct frame_reader {
    struct slice table;
    struct value_reader *reader;
    const struct transfer_syntax *syntax;
    bool is_native;
    bool is_swapped;       /* native ones in words of the other order */
    struct element pixels; /* native ones */
    struct pixel_format stored;
    struct pixel_format decoded;
    uint32_t count;
    struct buffer fragments;
    struct buffer encoded;
    struct buffer frame; /* the latest one */
};
bool frame_reader_open(const struct dataset *header, struct slice table,
                       struct value_reader *reader, struct frame_reader *frames, struct error *err);
/* The same of native pixel data, which become planar configuration 0 and little endian. Only whole
 * bytes: ERROR_UNSUPPORTED for what no encoder takes. */
bool frame_reader_open_native(const struct dataset *header, const struct element *pixels,
                              bool is_swapped, struct value_reader *reader,
                              struct frame_reader *frames, struct error *err);
void frame_reader_close(struct frame_reader *frames);
/* The frame as native bytes, borrowed until the next call. */
bool frame_reader_read(struct frame_reader *frames, uint32_t number, struct slice *frame,
                       struct error *err);
