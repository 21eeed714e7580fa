/* SPDX-License-Identifier: MIT */
#include "dicom/video_probe.h"

#include <string.h>

#include "base/bytes.h"

enum {
    BOXES_MAX = 10000, /* that are looked at */
    HEADER_SIZE = 16,  /* of a box, with a long size */
    ENTRY_SIZE = 1024, /* of a description of samples, as far as it is read */
    VISUAL_SIZE = 86,  /* of a visual sample entry, before the boxes in it (12.1.3) */
};

/* Four characters as the number that boxes have them as. */
#define BOX(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

/* One track, and the first that is a video. */
struct track {
    bool is_video;
    uint32_t rows;
    uint32_t columns;
    uint32_t frames;
    const char *syntax; /* NULL: of none */
};

struct box {
    uint32_t type;
    uint64_t content; /* where it begins */
    uint64_t end;
};

static bool read_at(const struct value_source *source, uint64_t size, uint64_t at,
                    struct space space, struct error *err)
{
    return (at <= size && space.size <= size - at) ? source->read(source->context, at, space, err)
                                                   : error_set(err, ERROR_INVALID, "cut short");
}

/* *found false where no whole box begins any more. */
static bool read_box(const struct value_source *source, uint64_t size, uint64_t at, struct box *box,
                     bool *found, struct error *err)
{
    uint8_t head[HEADER_SIZE] = { 0 };
    *found = at < size && size - at >= 8;
    if (!*found)
        return true;
    size_t known = size - at < HEADER_SIZE ? (size_t)(size - at) : HEADER_SIZE;
    if (!read_at(source, size, at, (struct space){ head, known }, err))
        return false;
    uint64_t length = get_u32be(head);
    uint64_t header = length == 1 ? 16 : 8;
    if (length == 1)
        length = get_u64be(head + 8);
    else if (length == 0)
        length = size - at;
    *found = length >= header && length <= size - at;
    *box = (struct box){ get_u32be(head + 4), at + header, at + length };
    return true;
}

/* Advanced Video Coding: profile and level in its configuration (ISO 14496-15 5.3.3.1). */
static const char *avc_syntax(struct slice configuration)
{
    if (configuration.size < 4)
        return "1.2.840.10008.1.2.4.102";
    uint8_t level = configuration.data[3];
    return level <= 41 ? "1.2.840.10008.1.2.4.102" : level == 42 ? "1.2.840.10008.1.2.4.104" : NULL;
}

/* High Efficiency Video Coding (ISO 14496-15 8.3.3.1). */
static const char *hevc_syntax(struct slice configuration)
{
    unsigned profile = configuration.size < 2 ? 1 : configuration.data[1] & 31u;
    return profile == 1   ? "1.2.840.10008.1.2.4.107"
           : profile == 2 ? "1.2.840.10008.1.2.4.108"
                          : NULL;
}

/* The content of a box of that type among those in a description. */
static struct slice find_in(struct slice boxes, uint32_t type)
{
    while (boxes.size >= 8) {
        uint32_t length = get_u32be(boxes.data);
        if (length < 8 || length > boxes.size)
            break;
        if (get_u32be(boxes.data + 4) == type)
            return slice_of(boxes.data + 8, length - 8);
        boxes = slice_skip(boxes, length);
    }
    return slice_of(NULL, 0);
}

/* The first entry of a sample description (8.5.2). */
static void note_entry(struct slice entry, struct track *track)
{
    if (entry.size < VISUAL_SIZE)
        return;
    struct slice boxes = slice_skip(entry, VISUAL_SIZE);
    track->columns = get_u16be(entry.data + 32);
    track->rows = get_u16be(entry.data + 34);
    switch (get_u32be(entry.data + 4)) {
    case BOX('a', 'v', 'c', '1'):
    case BOX('a', 'v', 'c', '3'):
        track->syntax = avc_syntax(find_in(boxes, BOX('a', 'v', 'c', 'C')));
        break;
    case BOX('h', 'v', 'c', '1'):
    case BOX('h', 'e', 'v', '1'):
        track->syntax = hevc_syntax(find_in(boxes, BOX('h', 'v', 'c', 'C')));
        break;
    default:
        track->syntax = NULL;
        break;
    }
}

static bool note_box(const struct value_source *source, const struct box *box, struct track *track,
                     struct error *err)
{
    uint8_t bytes[ENTRY_SIZE];
    uint64_t content = box->end - box->content;
    size_t size = content < sizeof(bytes) ? (size_t)content : sizeof(bytes);
    if (!read_at(source, box->end, box->content, (struct space){ bytes, size }, err))
        return false;
    if (size < 12)
        return true;
    if (box->type == BOX('h', 'd', 'l', 'r'))
        track->is_video = get_u32be(bytes + 8) == BOX('v', 'i', 'd', 'e');
    else if (box->type == BOX('s', 't', 's', 'd'))
        note_entry(slice_of(bytes + 8, size - 8), track);
    else /* stsz, stz2 */
        track->frames = get_u32be(bytes + 8);
    return true;
}

static bool is_container(uint32_t type)
{
    return type == BOX('m', 'o', 'o', 'v') || type == BOX('t', 'r', 'a', 'k') ||
           type == BOX('m', 'd', 'i', 'a') || type == BOX('m', 'i', 'n', 'f') ||
           type == BOX('s', 't', 'b', 'l');
}

static bool is_told_of(uint32_t type)
{
    return type == BOX('h', 'd', 'l', 'r') || type == BOX('s', 't', 's', 'd') ||
           type == BOX('s', 't', 's', 'z') || type == BOX('s', 't', 'z', '2');
}

static bool is_whole(const struct track *track)
{
    return track->is_video && track->rows && track->columns;
}

/* A box in a box follows its header, so all that matter are met in one way from the first byte on.
 * A file that is broken from some place on has told nothing behind it. */
static bool find_video(const struct value_source *source, uint64_t size, struct track *video,
                       struct error *err)
{
    struct track track = { 0 };
    struct box box;
    uint64_t at = 0;
    bool found = true;
    for (int i = 0; i < BOXES_MAX; i++) {
        if (!read_box(source, size, at, &box, &found, err))
            return false;
        bool ends = !found || box.type == BOX('t', 'r', 'a', 'k');
        if (ends && is_whole(&track))
            break;
        if (!found)
            break;
        if (ends)
            track = (struct track){ 0 };
        if (is_told_of(box.type) && !note_box(source, &box, &track, err))
            return false;
        at = is_container(box.type) ? box.content : box.end;
    }
    if (is_whole(&track))
        *video = track;
    return true;
}

bool video_probe(const char *asked, const struct value_source *source, uint64_t size,
                 struct image_probe *probe, struct error *err)
{
    struct track video = { 0 };
    if (!find_video(source, size, &video, err))
        return false;
    if (!video.is_video)
        return true;
    probe->has_size = true;
    probe->rows = video.rows;
    probe->columns = video.columns;
    probe->frames = video.frames;
    if (*asked)
        return true;
    if (!video.syntax)
        return error_set(err, ERROR_UNSUPPORTED,
                         "no transfer syntax is for the coding of the video; one can be named");
    probe->syntax = transfer_syntax_find(slice_text(video.syntax));
    return true;
}
