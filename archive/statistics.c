/* SPDX-License-Identifier: MIT */
#include "archive/statistics.h"

#include <stdio.h>
#include <stdlib.h>

#include "archive/changes.h"
#include "archive/core.h"
#include "archive/keys.h"
#include "archive/pages.h"
#include "archive/records.h"
#include "base/bytes.h"

static struct statistics_entry *entry_of(struct statistics_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->entries[i].name, name))
            return &list->entries[i];
    if (list->count >= STATISTICS_NAMES)
        name = "other";
    if (list->count > STATISTICS_NAMES)
        return &list->entries[STATISTICS_NAMES];
    struct statistics_entry *entry = &list->entries[list->count++];
    snprintf(entry->name, sizeof(entry->name), "%s", *name ? name : "none");
    return entry;
}

static void count(struct statistics_list *list, const char *name, uint64_t series,
                  uint64_t instances, uint64_t bytes)
{
    struct statistics_entry *entry = entry_of(list, *name ? name : "none");
    entry->series += series;
    entry->instances += instances;
    entry->bytes += bytes;
}

static int by_bytes(const void *a, const void *b)
{
    const struct statistics_entry *left = a, *right = b;
    return left->bytes < right->bytes ? 1 : left->bytes > right->bytes ? -1 : 0;
}

static void sort(struct statistics_list *list)
{
    qsort(list->entries, list->count, sizeof(list->entries[0]), by_bytes);
}

/* Records that cannot be read are left out: archive_verify tells of them. */
static bool count_series(struct archive *archive, struct job *job, struct statistics *statistics,
                         struct error *err)
{
    struct series_record record;
    struct pages pages;
    struct slice key, value;
    uint64_t done = 0;
    bool found = true;
    bool ok = true;
    series_record_init(&record);
    pages_open_kind(&pages, archive->storage, TABLE_RECORD, RECORD_SERIES);
    while (ok && (ok = pages_next(&pages, &key, &value, &found, err)) && found) {
        if (series_record_decode(value, &record, NULL))
            count(&statistics->modalities, record.modality, 1, record.instances, record.bytes);
        ok = job_step(job, "counting series", "series", ++done, statistics->counts.series, 0, err);
    }
    pages_close(&pages);
    series_record_release(&record);
    sort(&statistics->modalities);
    return ok;
}

static bool count_instances(struct archive *archive, struct job *job, struct statistics *statistics,
                            struct error *err)
{
    struct instance_record record;
    struct pages pages;
    struct slice key, value;
    uint64_t done = 0;
    bool found = true;
    bool ok = true;
    instance_record_init(&record);
    pages_open_kind(&pages, archive->storage, TABLE_RECORD, RECORD_INSTANCE);
    while (ok && (ok = pages_next(&pages, &key, &value, &found, err)) && found) {
        if (instance_record_decode(value, &record, NULL)) {
            int64_t at_ms = record.stored_at_ms;
            count(&statistics->sop_classes, record.sop_class, 0, 1, record.blob.size);
            count(&statistics->transfer_syntaxes, record.transfer_syntax, 0, 1, record.blob.size);
            if (!statistics->oldest_ms || at_ms < statistics->oldest_ms)
                statistics->oldest_ms = at_ms;
            if (at_ms > statistics->newest_ms)
                statistics->newest_ms = at_ms;
        }
        ok = job_step(job, "counting instances", "instances", ++done, statistics->counts.instances,
                      0, err);
    }
    pages_close(&pages);
    instance_record_release(&record);
    sort(&statistics->sop_classes);
    sort(&statistics->transfer_syntaxes);
    return ok;
}

static bool count_versions(struct archive *archive, struct statistics *statistics,
                           struct error *err)
{
    struct instance_record record;
    struct pages pages;
    struct slice key, value;
    bool found = true;
    bool ok = true;
    instance_record_init(&record);
    pages_open_kind(&pages, archive->storage, TABLE_RECORD, RECORD_OLD_VERSION);
    while (ok && (ok = pages_next(&pages, &key, &value, &found, err)) && found) {
        if (!instance_record_decode(value, &record, NULL))
            continue;
        statistics->versions++;
        statistics->version_bytes += record.blob.size;
    }
    pages_close(&pages);
    instance_record_release(&record);
    return ok;
}

static bool read_feed(struct archive *archive, struct statistics *statistics, struct error *err)
{
    struct changes *changes = NULL;
    struct change change;
    bool found;
    if (!changes_open(archive, 0, &changes, err))
        return false;
    bool ok = changes_next(changes, &change, &found, err);
    if (ok && found) {
        statistics->feed_first = change.sequence;
        ok = changes_last(archive, &change, &found, err);
        if (ok && found)
            statistics->feed_last = change.sequence;
    }
    changes_close(changes);
    return ok;
}

/* A follower's name is printable; keys of other state begin with a control character. */
static bool read_followers(struct archive *archive, struct statistics *statistics,
                           struct error *err)
{
    static const uint8_t lower[] = { ' ' };
    struct pages pages;
    struct slice key, value;
    bool found = true;
    bool ok = true;
    pages_open(&pages, archive->storage, TABLE_POSITION, slice_of(lower, 1), slice_of(NULL, 0));
    while (ok && statistics->follower_count < STATISTICS_FOLLOWERS &&
           (ok = pages_next(&pages, &key, &value, &found, err)) && found) {
        if (value.size != 8 || key.size >= sizeof(statistics->followers[0].name))
            continue;
        size_t index = statistics->follower_count++;
        memcpy(statistics->followers[index].name, key.data, key.size);
        statistics->followers[index].position = get_u64be(value.data);
        statistics->followers[index].behind = changes_behind(archive, get_u64be(value.data));
    }
    pages_close(&pages);
    return ok;
}

bool archive_statistics(struct archive *archive, bool quick, struct job *job,
                        struct statistics *statistics, struct error *err)
{
    memset(statistics, 0, sizeof(*statistics));
    return archive_count(archive, &statistics->counts, err) &&
           count_series(archive, job, statistics, err) &&
           (quick || count_instances(archive, job, statistics, err)) &&
           count_versions(archive, statistics, err) && read_feed(archive, statistics, err) &&
           read_followers(archive, statistics, err);
}
