/* SPDX-License-Identifier: MIT */
#include "archive/archive.h"

#include <stdlib.h>
#include <time.h>

#include "archive/core.h"
#include "archive/keys.h"
#include "archive/records.h"
#include "archive/registration_records.h"
#include "archive/resume.h"
#include "archive/tag_set.h"
#include "base/clock.h"
#include "base/decode_budget.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"

static const uint64_t default_minimum_free_bytes = (uint64_t)256 << 20;
static const uint64_t spooling_bytes = (uint64_t)16 << 30; /* of all temporary files together */

enum { SPACE_CHECK_MS = 1000, VERSIONS_KEPT = 10 };

/* Below twice the minimum it is time to do something; back from there it takes a little more, so
 * that the log does not flicker. */
enum space_level { SPACE_ENOUGH, SPACE_LOW, SPACE_FULL };

bool archive_open(struct storage *storage, const struct archive_options *options,
                  struct archive **out, struct error *err)
{
    if (is_empty_text(options->ae_title) || strlen(options->ae_title) > 16)
        return error_set(err, ERROR_INVALID, "an AE title has 1 to 16 characters (PS3.5 6.2)");
    struct coercion_rules *coercion;
    if (!coercion_rules_new(options->coercions, options->coercion_count, &coercion, err))
        return false;
    struct archive *archive = mem_alloc(sizeof(*archive));
    archive->coercion = coercion;
    archive->storage = storage;
    archive->ae_title = mem_copy_text(options->ae_title);
    archive->refuse_unknown_sop_classes = options->refuse_unknown_sop_classes;
    archive->minimum_free_bytes = options->minimum_free_bytes ? options->minimum_free_bytes
                                                              : default_minimum_free_bytes;
    archive->on_conflict = options->on_conflict;
    archive->versions_kept = options->versions_kept ? options->versions_kept : VERSIONS_KEPT;
    atomic_init(&archive->replacing, 0);
    atomic_init(&archive->replaced, 0);
    atomic_init(&archive->space_checked_ms, INT64_MIN / 2);
    atomic_init(&archive->free_bytes, UINT64_MAX); /* until the first look */
    atomic_init(&archive->scan_bytes, 0);
    archive->resume = resume_new();
    archive->decoding = decode_budget_new(0);
    archive->spooling = decode_budget_new(spooling_bytes);
    archive->tags = tag_set_new();
    pthread_mutex_init(&archive->settle_lock, NULL);
    pthread_mutex_init(&archive->hold_lock, NULL);
    registration_init(archive);
    if (!tag_set_load(archive, err) || !registration_load(archive, err)) {
        archive_close(archive);
        return false;
    }
    *out = archive;
    return true;
}

void archive_close(struct archive *archive)
{
    if (!archive)
        return;
    pthread_mutex_destroy(&archive->settle_lock);
    registration_release(archive);
    pthread_mutex_destroy(&archive->hold_lock);
    tag_set_free(archive->tags);
    resume_free(archive->resume);
    decode_budget_free(archive->decoding);
    decode_budget_free(archive->spooling);
    coercion_rules_free(archive->coercion);
    free(archive->ae_title);
    free(archive);
}

static enum space_level level_of(uint64_t free_bytes, uint64_t minimum, enum space_level before)
{
    if (free_bytes < minimum)
        return SPACE_FULL;
    uint64_t low = 2 * minimum + (before == SPACE_ENOUGH ? 0 : minimum / 4);
    return free_bytes < low ? SPACE_LOW : SPACE_ENOUGH;
}

static void note_space(struct archive *archive, uint64_t free_bytes)
{
    enum space_level before = (enum space_level)atomic_load(&archive->space_level);
    enum space_level level = level_of(free_bytes, archive->minimum_free_bytes, before);
    unsigned long long free_mib = free_bytes >> 20;
    unsigned long long minimum_mib = archive->minimum_free_bytes >> 20;
    metric_set(METRIC_DISK_LOW, level);
    if (atomic_exchange(&archive->space_level, (int)level) == (int)level)
        return;
    if (level == SPACE_FULL)
        log_error("storage: the disk is full, stores are refused free_mib=%llu minimum_mib=%llu",
                  free_mib, minimum_mib);
    else if (level == SPACE_LOW)
        log_warn("storage: the disk is nearly full free_mib=%llu minimum_mib=%llu", free_mib,
                 minimum_mib);
    else
        log_info("storage: the disk has space again free_mib=%llu", free_mib);
}

bool archive_has_space(struct archive *archive, struct error *err)
{
    int64_t now = clock_monotonic_ms();
    int64_t checked = atomic_load(&archive->space_checked_ms);
    if (now - checked >= SPACE_CHECK_MS &&
        atomic_compare_exchange_strong(&archive->space_checked_ms, &checked, now)) {
        struct storage_figures figures;
        storage_figures(archive->storage, &figures);
        atomic_store(&archive->free_bytes, figures.free_disk_bytes);
        note_space(archive, figures.free_disk_bytes);
    }
    uint64_t free_bytes = atomic_load(&archive->free_bytes);
    if (free_bytes >= archive->minimum_free_bytes)
        return true;
    return error_set(err, ERROR_NO_SPACE, "%llu MiB are free on the disk, %llu MiB must stay free",
                     (unsigned long long)(free_bytes >> 20),
                     (unsigned long long)(archive->minimum_free_bytes >> 20));
}

bool archive_count(struct archive *archive, struct archive_counts *counts, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    bool found;
    memset(counts, 0, sizeof(*counts));
    key_start(&key, RECORD_COUNTS);
    bool ok = storage_get(archive->storage, TABLE_RECORD, key_slice(&key), &bytes, &found, err) &&
              (!found || counts_decode(buffer_slice(&bytes), counts, err));
    buffer_release(&bytes);
    return ok;
}

unsigned archive_writing_begin(struct archive *archive)
{
    unsigned side = atomic_load(&archive->writing_side);
    atomic_fetch_add(&archive->writing[side], 1);
    return side;
}

void archive_writing_end(struct archive *archive, unsigned side)
{
    atomic_fetch_sub(&archive->writing[side], 1);
}

uint64_t archive_replacements(struct archive *archive)
{
    uint64_t ended = atomic_load(&archive->replaced);
    return atomic_load(&archive->replacing) == ended ? ended + 1 : 0;
}

/* New ones go to the other side meanwhile, so that the wait has an end. Who had read the side
 * before it changed, and counted himself after, is waited for by the second turn or has begun after
 * all that was asked about. */
bool archive_writing_settle(struct archive *archive, bool (*cancelled)(void *context),
                            void *context, struct error *err)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    bool ok = true;
    pthread_mutex_lock(&archive->settle_lock);
    for (int i = 0; ok && i < 2; i++) {
        unsigned side = atomic_fetch_xor(&archive->writing_side, 1);
        while (ok && atomic_load(&archive->writing[side])) {
            nanosleep(&pause, NULL);
            ok = !cancelled || !cancelled(context);
        }
    }
    pthread_mutex_unlock(&archive->settle_lock);
    return ok || error_set(err, ERROR_STOPPED, "cancelled while others were writing");
}
