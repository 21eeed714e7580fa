/* SPDX-License-Identifier: MIT */
#include "dimse/excerpt.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "dicom/extract.h"
#include "dimse/status.h"

enum { TABLE_SIZE = 256 << 20 };
#define EXCERPT_SIZE ((uint64_t)4 << 30)

static bool read_source(void *context, uint64_t offset, struct space space, struct error *err)
{
    return instance_read(context, offset, space, err);
}

static bool write_excerpt(void *context, struct slice bytes, struct error *err)
{
    struct excerpt *excerpt = context;
    excerpt->size += bytes.size;
    if (excerpt->size > EXCERPT_SIZE)
        return error_set(err, ERROR_LIMIT, "the frames are more than can be held");
    if (!spool_share_grow(&excerpt->share, excerpt->size, err))
        return false;
    return spool_append(excerpt->spool, bytes, err) && scan_write(excerpt->scan, bytes, err);
}

/* Now, in UTC, as a DT. */
static void write_moment(char moment[27])
{
    time_t now = (time_t)(clock_unix_ms() / 1000);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(moment, 27, "%Y%m%d%H%M%S+0000", &parts);
}

static bool write_frames(struct excerpt *excerpt, struct instance *instance,
                         const struct dataset *header, struct slice table,
                         const struct frame_selection *list, struct error *err)
{
    struct file_range stored;
    char moment[27];
    excerpt->syntax = extract_syntax(dataset_syntax(header));
    if (!excerpt->syntax)
        return error_set(err, ERROR_UNSUPPORTED, "no frames are taken out of transfer syntax %s",
                         instance_syntax_uid(instance));
    if (!instance_dataset(instance, &stored, err))
        return false;
    excerpt->share = instance_spool(instance);
    excerpt->scan = scan_new(excerpt->syntax, &scan_default_limits);
    write_moment(moment);
    uint64_t taken;
    if (!transcoding_take(instance, excerpt->syntax, 0, &taken, err))
        return false;
    struct extraction extraction = { list, excerpt->instance, moment };
    struct transcode_source source = { read_source, instance, stored.size };
    struct transcode_sink sink = { write_excerpt, excerpt };
    bool ok = extract_frames(header, table, &extraction, &source, &sink, err) &&
              scan_finish(excerpt->scan, err);
    transcoding_give_back(instance, taken);
    if (!ok)
        return false;
    return spool_range(excerpt->spool, &excerpt->range, err);
}

static bool open_header(struct excerpt *excerpt, struct error *err)
{
    size_t count;
    const struct elision *elisions = scan_elisions(excerpt->scan, &count);
    if (!dataset_open(scan_header(excerpt->scan), excerpt->syntax, elisions, count,
                      &excerpt->header, err))
        return false;
    frame_table_build(excerpt->header, scan_pixel_data(excerpt->scan), slice_of(NULL, 0),
                      slice_of(NULL, 0), &excerpt->frames);
    return buffer_check(&excerpt->frames, "table of frames", err);
}

/* What cannot be taken apart, whatever it is, is of no wrong request. */
static bool as_corrupt(struct error *err)
{
    if (err->code == ERROR_INVALID || err->code == ERROR_NOT_FOUND || err->code == ERROR_MISMATCH)
        err->code = ERROR_CORRUPT;
    return false;
}

static bool make(struct excerpt *excerpt, struct instance *instance,
                 const struct dataset *identifier, struct error *err)
{
    struct frame_selection list = frame_selection_init();
    const struct dataset *header;
    struct slice table;
    bool ok = instance_header(instance, &header, err) && instance_frames(instance, &table, err);
    uint32_t frames = ok ? frame_table_count(table) : 0;
    if (ok && !frames)
        ok = error_set(err, ERROR_UNSUPPORTED, "an object without frames");
    ok = ok && frame_selection_select(&list, identifier, header, frames, err);
    if (ok && !write_frames(excerpt, instance, header, table, &list, err))
        ok = as_corrupt(err);
    if (ok && !open_header(excerpt, err))
        ok = as_corrupt(err);
    frame_selection_release(&list);
    return ok;
}

bool excerpt_make(struct archive *archive, const struct selection *selection,
                  const struct dataset *identifier, struct excerpt **out, struct error *err)
{
    struct retrieve *retrieve = NULL;
    struct instance *instance = NULL;
    *out = NULL;
    bool ok = retrieve_open(archive, selection, &retrieve, err) &&
              retrieve_next(retrieve, &instance, err);
    if (ok && instance) {
        struct excerpt *excerpt = mem_alloc(sizeof(*excerpt));
        excerpt->frames = buffer_up_to(TABLE_SIZE);
        excerpt->spool = spool_new(archive);
        uid_make(excerpt->instance);
        ok = make(excerpt, instance, identifier, err);
        if (ok)
            *out = excerpt;
        else
            excerpt_close(excerpt);
    }
    retrieve_close(retrieve);
    return ok;
}

void excerpt_close(struct excerpt *excerpt)
{
    if (!excerpt)
        return;
    dataset_close(excerpt->header);
    scan_free(excerpt->scan);
    buffer_release(&excerpt->frames);
    spool_free(excerpt->spool);
    spool_share_release(&excerpt->share);
    free(excerpt);
}

uint16_t excerpt_status(const struct error *err)
{
    switch (err->code) {
    case ERROR_NOT_FOUND:
        return STATUS_NO_SUCH_FRAMES;
    case ERROR_UNSUPPORTED:
        return STATUS_NO_FRAMES_OF_CLASS;
    case ERROR_MISMATCH:
        return STATUS_NO_FRAME_TIMES;
    case ERROR_INVALID:
        return STATUS_INVALID_FRAMES;
    case ERROR_CORRUPT:
        return STATUS_CANNOT_EXTRACT;
    default:
        return STATUS_OUT_OF_RESOURCES;
    }
}

bool excerpt_read(struct excerpt *excerpt, uint64_t offset, struct space space, struct error *err)
{
    return spool_read(excerpt->spool, offset, space, err);
}
