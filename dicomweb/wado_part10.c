/* SPDX-License-Identifier: MIT */
#include "dicomweb/wado_part10.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/spool.h"
#include "archive/transcoding.h"
#include "base/memory.h"
#include "dicom/transcode.h"
#include "dicomweb/wado_values.h"

enum { MEMORY_LIMIT = 32 << 20 };

struct part10_copy {
    struct decode_budget *budget;
    uint64_t memory; /* of the budget */
    struct buffer bytes;
    struct archive *archive;
    struct spool *spool; /* once it is larger than MEMORY_LIMIT */
    struct file_range range;
    struct spool_share share;
    uint64_t size;
};

const uint8_t part10_zero_preamble[PART10_PREAMBLE_SIZE];

bool part10_behind_preamble(struct instance *instance, struct file_range *file, struct error *err)
{
    if (!instance_file(instance, file, err))
        return false;
    if (file->size < PART10_PREAMBLE_SIZE)
        return error_set(err, ERROR_CORRUPT, "a stored file is shorter than its preamble");
    file->offset += PART10_PREAMBLE_SIZE;
    file->size -= PART10_PREAMBLE_SIZE;
    return true;
}

static bool write_file(struct part10_copy *copy, struct slice bytes, struct error *err)
{
    return spool_share_grow(&copy->share, copy->size, err) && spool_append(copy->spool, bytes, err);
}

static bool append(void *context, struct slice bytes, struct error *err)
{
    struct part10_copy *copy = context;
    copy->size += bytes.size;
    if (!copy->spool) {
        if (copy->bytes.size + bytes.size <= MEMORY_LIMIT) {
            buffer_append(&copy->bytes, bytes);
            return true;
        }
        copy->spool = spool_new(copy->archive);
        if (!write_file(copy, buffer_slice(&copy->bytes), err))
            return false;
        buffer_release(&copy->bytes);
    }
    return write_file(copy, bytes, err);
}

static bool read_stored(void *context, uint64_t offset, struct space space, struct error *err)
{
    return instance_read(context, offset, space, err);
}

static bool write_meta(struct instance *instance, const struct transfer_syntax *to,
                       struct part10_copy *copy, struct error *err)
{
    struct file_meta meta = { 0 };
    struct buffer bytes = buffer_up_to(PART10_META_LIMIT);
    const struct identity *identity = instance_identity(instance);
    memcpy(meta.sop_class, identity->sop_class, sizeof(meta.sop_class));
    memcpy(meta.sop_instance, identity->instance, sizeof(meta.sop_instance));
    snprintf(meta.transfer_syntax, sizeof(meta.transfer_syntax), "%s", to->uid);
    file_meta_write(&meta, &bytes);
    bool ok = append(copy, buffer_slice(&bytes), err);
    buffer_release(&bytes);
    return ok;
}

/* All but what the finished copy takes. */
static void give_memory_back(struct part10_copy *copy)
{
    uint64_t kept = copy->bytes.size < copy->memory ? copy->bytes.size : copy->memory;
    decode_budget_give_back(copy->budget, copy->memory - kept);
    copy->memory = kept;
}

static bool transcode(struct instance *instance, const struct transfer_syntax *to,
                      struct part10_copy *copy, struct error *err)
{
    const struct dataset *header;
    struct slice frames;
    struct file_range stored;
    if (!instance_header(instance, &header, err) || !instance_frames(instance, &frames, err) ||
        !instance_dataset(instance, &stored, err))
        return false;
    if (!transcoding_take(instance, to, MEMORY_LIMIT, &copy->memory, err))
        return false;
    const struct transcode_source source = { read_stored, instance, stored.size };
    const struct transcode_sink sink = { append, copy };
    bool ok = transcode_dataset(header, frames, to, &source, &sink, err) ||
              value_is_undecodable(err);
    give_memory_back(copy);
    return ok;
}

bool part10_copy_open(struct instance *instance, const struct transfer_syntax *to,
                      struct archive *archive, struct part10_copy **out, struct error *err)
{
    struct part10_copy *copy = mem_alloc(sizeof(*copy));
    copy->archive = archive;
    copy->budget = archive_decoding(archive);
    copy->share.budget = archive_spooling(archive);
    copy->bytes = buffer_up_to(MEMORY_LIMIT);
    if (write_meta(instance, to, copy, err) && transcode(instance, to, copy, err)) {
        if (!copy->spool || spool_range(copy->spool, &copy->range, err)) {
            *out = copy;
            return true;
        }
    }
    part10_copy_close(copy);
    return false;
}

struct piece part10_copy_piece(const struct part10_copy *copy)
{
    struct piece piece = { .kind = PIECE_BYTES, .bytes = buffer_slice(&copy->bytes) };
    if (copy->spool) {
        piece.kind = PIECE_FILE;
        piece.file = copy->range;
    }
    return piece;
}

uint64_t part10_copy_size(const struct part10_copy *copy)
{
    return copy->size;
}

void part10_copy_close(struct part10_copy *copy)
{
    if (!copy)
        return;
    spool_free(copy->spool);
    spool_share_release(&copy->share);
    buffer_release(&copy->bytes);
    decode_budget_give_back(copy->budget, copy->memory);
    free(copy);
}
