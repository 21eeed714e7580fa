/* SPDX-License-Identifier: MIT */
#include "dicom/video_probe.h"

#include <stdio.h>

#include "base/bytes.h"
#include "tests/test.h"

static size_t begin(struct buffer *file, const char *type)
{
    size_t at = file->size;
    buffer_append_u32be(file, 0);
    buffer_append_text(file, type);
    return at;
}

static void end(struct buffer *file, size_t at)
{
    put_u32be(file->data + at, (uint32_t)(file->size - at));
}

static void zeros(struct buffer *file, size_t count)
{
    while (count--)
        buffer_append_byte(file, 0);
}

static void put_handler(struct buffer *file, const char *handler)
{
    size_t box = begin(file, "hdlr");
    zeros(file, 8);
    buffer_append_text(file, handler);
    zeros(file, 12);
    end(file, box);
}

/* One entry of 1920 x 1080, with its configuration. */
static void put_description(struct buffer *file, const char *coding, const char *name,
                            struct slice configuration)
{
    size_t box = begin(file, "stsd");
    zeros(file, 4);
    buffer_append_u32be(file, 1);
    size_t entry = begin(file, coding);
    zeros(file, 24);
    buffer_append_u16be(file, 1920);
    buffer_append_u16be(file, 1080);
    zeros(file, 50);
    size_t colour = begin(file, "colr");
    zeros(file, 7);
    end(file, colour);
    size_t inner = begin(file, name);
    buffer_append(file, configuration);
    end(file, inner);
    end(file, entry);
    end(file, box);
}

static void put_sizes(struct buffer *file, uint32_t frames)
{
    size_t box = begin(file, "stsz");
    zeros(file, 8);
    buffer_append_u32be(file, frames);
    end(file, box);
}

static void put_track(struct buffer *file, const char *handler, const char *coding,
                      const char *name, struct slice configuration, uint32_t frames)
{
    size_t trak = begin(file, "trak");
    size_t mdia = begin(file, "mdia");
    put_handler(file, handler);
    size_t minf = begin(file, "minf");
    size_t stbl = begin(file, "stbl");
    put_description(file, coding, name, configuration);
    put_sizes(file, frames);
    end(file, stbl);
    end(file, minf);
    end(file, mdia);
    end(file, trak);
}

/* With a track of sound first; `long_data`: the media data has a size of 64 bits. */
static struct buffer mp4_of(const char *coding, const char *name, struct slice configuration,
                            bool tables_last, bool long_data)
{
    struct buffer file = buffer_up_to(1 << 20);
    buffer_append_u32be(&file, 16);
    buffer_append_text(&file, "ftypisom");
    buffer_append_u32be(&file, 0);
    for (int part = 0; part < 2; part++) {
        if (part == tables_last) {
            size_t moov = begin(&file, "moov");
            put_track(&file, "soun", "mp4a", "esds", slice_text("????"), 7777);
            put_track(&file, "vide", coding, name, configuration, 250);
            put_track(&file, "vide", "vp09", "vpcC", configuration, 3);
            end(&file, moov);
            continue;
        }
        size_t data = begin(&file, "mdat");
        if (long_data) {
            put_u32be(file.data + data, 1);
            zeros(&file, 8);
        }
        buffer_append_text(&file, "moovtrakstsd of no meaning in the data");
        if (long_data)
            put_u64be(file.data + data + 8, file.size - data);
        else
            end(&file, data);
    }
    return file;
}

static bool read_file(void *context, uint64_t offset, struct space space, struct error *err)
{
    const struct buffer *file = context;
    if (offset > file->size || space.size > file->size - offset)
        return error_set(err, ERROR_IO, "read outside of the file");
    memcpy(space.data, file->data + offset, space.size);
    return true;
}

/* "columns x rows, frames, transfer syntax", or the error's name. */
static const char *told(struct buffer *file, const char *asked)
{
    static char text[128];
    const struct value_source source = { read_file, file };
    struct image_probe probe;
    struct error err;
    CHECK_OK(image_probe("video/mp4", asked, buffer_slice(file), file->size, &probe, &err), err);
    if (!video_probe(asked, &source, file->size, &probe, &err))
        return error_name(err.code);
    snprintf(text, sizeof(text), "%u x %u, %u, %s", probe.columns, probe.rows, probe.frames,
             probe.syntax->uid);
    return text;
}

#define AVC_41  slice_of("\1\x64\0\x29\xFF", 5)
#define AVC_42  slice_of("\1\x64\0\x2A\xFF", 5)
#define AVC_51  slice_of("\1\x64\0\x33\xFF", 5)
#define HEVC    slice_of("\1\1\0\0\0\0", 6)
#define HEVC_10 slice_of("\1\2\0\0\0\0", 6)
#define HEVC_RE slice_of("\1\4\0\0\0\0", 6)

static const char *told_of(const char *coding, const char *name, struct slice configuration,
                           const char *asked)
{
    struct buffer file = mp4_of(coding, name, configuration, true, false);
    const char *text = told(&file, asked);
    buffer_release(&file);
    return text;
}

TEST(STOW_13_an_mp4_tells_its_size_and_frames_wherever_its_tables_stand)
{
    for (int last = 0; last < 2; last++)
        for (int is_long = 0; is_long < 2; is_long++) {
            struct buffer file = mp4_of("avc1", "avcC", AVC_41, last, is_long);
            CHECK_TEXT(told(&file, ""), "1920 x 1080, 250, 1.2.840.10008.1.2.4.102");
            buffer_release(&file);
        }
}

TEST(STOW_13_the_coding_of_a_video_has_a_transfer_syntax_or_one_is_named)
{
    CHECK_TEXT(told_of("avc3", "avcC", AVC_42, ""), "1920 x 1080, 250, 1.2.840.10008.1.2.4.104");
    CHECK_TEXT(told_of("hvc1", "hvcC", HEVC, ""), "1920 x 1080, 250, 1.2.840.10008.1.2.4.107");
    CHECK_TEXT(told_of("hev1", "hvcC", HEVC_10, ""), "1920 x 1080, 250, 1.2.840.10008.1.2.4.108");
    CHECK_TEXT(told_of("avc1", "avcC", AVC_51, ""), error_name(ERROR_UNSUPPORTED));
    CHECK_TEXT(told_of("hvc1", "hvcC", HEVC_RE, ""), error_name(ERROR_UNSUPPORTED));
    CHECK_TEXT(told_of("av01", "av1C", AVC_41, ""), error_name(ERROR_UNSUPPORTED));
    CHECK_TEXT(told_of("avc1", "avcC", AVC_51, "1.2.840.10008.1.2.4.106"),
               "1920 x 1080, 250, 1.2.840.10008.1.2.4.106");
}

TEST(STOW_13_an_mp4_that_is_cut_short_tells_what_it_has_or_nothing)
{
    struct buffer file = mp4_of("avc1", "avcC", AVC_41, true, false);
    size_t whole = file.size;
    for (file.size = 16; file.size < whole; file.size++) {
        const char *text = told(&file, "");
        bool nothing = !strcmp(text, "0 x 0, 0, 1.2.840.10008.1.2.4.102");
        CHECK(nothing || !strncmp(text, "1920 x 1080, ", 13));
    }
    buffer_release(&file);
}
