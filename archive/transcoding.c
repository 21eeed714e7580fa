/* SPDX-License-Identifier: MIT */
#include "archive/transcoding.h"

#include "archive/core.h"
#include "archive/instance.h"

enum {
    MAX_FRAME = 1 << 30, /* bytes: no decoder makes more */
    DECODER_SHARE = 5,   /* memory, of a decoded frame: itself, a word a sample */
};
/* A temporary file takes its share in steps, so that small writes do not ask each time. */
#define SPOOL_STEP ((uint64_t)16 << 20)

struct decode_budget *archive_decoding(struct archive *archive)
{
    return archive->decoding;
}

struct decode_budget *archive_spooling(struct archive *archive)
{
    return archive->spooling;
}

static uint64_t attribute(const struct dataset *header, uint32_t tag, uint64_t least)
{
    int64_t value;
    bool has = dataset_integer(header, tag, &value) && value > (int64_t)least &&
               value <= UINT16_MAX;
    return has ? (uint64_t)value : least;
}

static uint64_t frame_size(const struct dataset *header)
{
    uint64_t size = attribute(header, TAG_ROWS, 0) * attribute(header, TAG_COLUMNS, 0) *
                    attribute(header, TAG_SAMPLES_PER_PIXEL, 1) *
                    ((attribute(header, TAG_BITS_ALLOCATED, 0) + 7) / 8);
    return size < MAX_FRAME ? size : MAX_FRAME;
}

bool transcoding_take(struct instance *instance, const struct transfer_syntax *to,
                      uint64_t copy_limit, uint64_t *taken, struct error *err)
{
    const struct dataset *header;
    struct slice frames;
    struct file_range stored;
    uint64_t copy;
    *taken = 0;
    if (!instance_header(instance, &header, err) || !instance_frames(instance, &frames, err) ||
        !instance_dataset(instance, &stored, err))
        return false;
    uint64_t frame = frame_size(header);
    if (__builtin_mul_overflow(frame, (uint64_t)frame_table_count(frames), &copy) ||
        copy < stored.size)
        copy = stored.size;
    if (copy > copy_limit)
        copy = copy_limit;
    bool recoded = frame_table_is_encapsulated(frames) || to->encapsulated;
    uint64_t wanted = copy + frame * (recoded ? 1 + DECODER_SHARE : 1);
    return decode_budget_take(archive_decoding(instance_archive(instance)), wanted,
                              TRANSCODING_WAIT_MS, taken, err);
}

void transcoding_give_back(struct instance *instance, uint64_t taken)
{
    decode_budget_give_back(archive_decoding(instance_archive(instance)), taken);
}

struct spool_share instance_spool(struct instance *instance)
{
    return (struct spool_share){ archive_spooling(instance_archive(instance)), 0 };
}

bool spool_share_grow(struct spool_share *share, uint64_t size, struct error *err)
{
    uint64_t taken;
    while (share->taken < size) {
        if (!decode_budget_take(share->budget, SPOOL_STEP, 0, &taken, err))
            return error_set(err, ERROR_NO_SPACE, "temporary files take too much already");
        share->taken += taken;
    }
    return true;
}

void spool_share_release(struct spool_share *share)
{
    if (share->budget)
        decode_budget_give_back(share->budget, share->taken);
    share->taken = 0;
}
