/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/statistics.h"
#include "base/clock.h"
#include "base/memory.h"
#include "server/operations.h"
#include "storage/storage.h"

enum { SEGMENTS_MAX = 100000 }; /* that are added up one by one */

static void add_counts(cJSON *result, const struct statistics *statistics)
{
    const struct archive_counts *counts = &statistics->counts;
    cJSON_AddNumberToObject(result, "patients", (double)counts->patients);
    cJSON_AddNumberToObject(result, "studies", (double)counts->studies);
    cJSON_AddNumberToObject(result, "series", (double)counts->series);
    cJSON_AddNumberToObject(result, "instances", (double)counts->instances);
    cJSON_AddNumberToObject(result, "bytes", (double)counts->bytes);
    cJSON_AddNumberToObject(result, "versions", (double)statistics->versions);
    cJSON_AddNumberToObject(result, "versionBytes", (double)statistics->version_bytes);
}

static void add_list(cJSON *result, const char *name, const struct statistics_list *list,
                     bool with_series)
{
    cJSON *array = cJSON_AddArrayToObject(result, name);
    for (size_t i = 0; i < list->count; i++) {
        const struct statistics_entry *entry = &list->entries[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", entry->name);
        if (with_series)
            cJSON_AddNumberToObject(item, "series", (double)entry->series);
        cJSON_AddNumberToObject(item, "instances", (double)entry->instances);
        cJSON_AddNumberToObject(item, "bytes", (double)entry->bytes);
        cJSON_AddItemToArray(array, item);
    }
}

static void add_segments(cJSON *result, struct storage *storage)
{
    struct storage_figures figures;
    struct storage_segment_figures segment = { 0 };
    uint64_t live = 0, dead = 0, held = 0, single = 0;
    bool found = true;
    storage_figures(storage, &figures);
    for (int i = 0; found && i < SEGMENTS_MAX; i++) {
        storage_segment_figures(storage, segment.number, &segment, &found);
        if (!found)
            break;
        live += segment.bytes -
                (segment.dead_bytes < segment.bytes ? segment.dead_bytes : segment.bytes);
        dead += segment.dead_bytes;
        held += segment.held_bytes;
        single += segment.single;
    }
    cJSON *item = cJSON_AddObjectToObject(result, "segments");
    cJSON_AddNumberToObject(item, "files", (double)figures.segments);
    cJSON_AddNumberToObject(item, "ofOneObject", (double)single);
    cJSON_AddNumberToObject(item, "liveBytes", (double)live);
    cJSON_AddNumberToObject(item, "deadBytes", (double)dead);
    cJSON_AddNumberToObject(item, "heldBytes", (double)held);
    cJSON_AddNumberToObject(result, "freeDiskBytes", (double)figures.free_disk_bytes);
    cJSON_AddBoolToObject(result, "diskFailed", figures.failed);
}

static void add_index(cJSON *result, struct storage *storage)
{
    cJSON *array = cJSON_AddArrayToObject(result, "index");
    for (int table = 0; table < TABLE_COUNT; table++) {
        struct storage_table_figures figures;
        cJSON *item = cJSON_CreateObject();
        storage_table_figures(storage, (enum table)table, &figures);
        cJSON_AddStringToObject(item, "table", table_name((enum table)table));
        cJSON_AddNumberToObject(item, "keys", (double)figures.keys);
        cJSON_AddNumberToObject(item, "diskBytes", (double)figures.disk_bytes);
        cJSON_AddNumberToObject(item, "memoryBytes", (double)figures.memory_bytes);
        cJSON_AddItemToArray(array, item);
    }
}

static void add_time(cJSON *result, const char *name, int64_t unix_ms)
{
    char text[CLOCK_TEXT_SIZE];
    if (!unix_ms)
        return;
    clock_format_utc(unix_ms, text);
    cJSON_AddStringToObject(result, name, text);
}

static void add_feed(cJSON *result, const struct statistics *statistics)
{
    cJSON *feed = cJSON_AddObjectToObject(result, "feed");
    cJSON_AddNumberToObject(feed, "first", (double)statistics->feed_first);
    cJSON_AddNumberToObject(feed, "last", (double)statistics->feed_last);
    cJSON *followers = cJSON_AddArrayToObject(feed, "followers");
    for (size_t i = 0; i < statistics->follower_count; i++) {
        uint64_t position = statistics->followers[i].position;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", statistics->followers[i].name);
        cJSON_AddNumberToObject(item, "position", (double)position);
        cJSON_AddNumberToObject(item, "behind", (double)statistics->followers[i].behind);
        cJSON_AddItemToArray(followers, item);
    }
}

bool operation_stats(const struct operation_place *place, const struct operation_options *options,
                     struct job *job, cJSON *result, struct error *err)
{
    struct statistics *statistics = mem_alloc(sizeof(*statistics));
    bool ok = archive_statistics(place->archive, options->quick, job, statistics, err);
    if (!ok)
        goto out;
    add_counts(result, statistics);
    add_time(result, "oldestStored", statistics->oldest_ms);
    add_time(result, "newestStored", statistics->newest_ms);
    add_list(result, "modalities", &statistics->modalities, true);
    if (!options->quick) {
        add_list(result, "sopClasses", &statistics->sop_classes, false);
        add_list(result, "transferSyntaxes", &statistics->transfer_syntaxes, false);
    }
    add_segments(result, place->storage);
    add_index(result, place->storage);
    add_feed(result, statistics);
out:
    free(statistics);
    return ok;
}

static const char *text_of(const cJSON *item, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, name);
    return cJSON_IsString(value) ? value->valuestring : "";
}

/* A UID by the name that people know. */
static const char *readable(const char *name)
{
    const struct sop_class *sop_class = sop_class_find(slice_text(name));
    const struct transfer_syntax *syntax = transfer_syntax_find(slice_text(name));
    return sop_class ? sop_class->name : syntax ? syntax->name : name;
}

static void print_list(const cJSON *result, const char *key, const char *title, FILE *out)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(result, key);
    const cJSON *item;
    if (!cJSON_GetArraySize(list))
        return;
    fprintf(out, "\n%-52s %12s %12s\n", title, "instances", "bytes");
    cJSON_ArrayForEach(item, list)
    {
        fprintf(out, "  %-50.50s %12.0f %12s\n", readable(text_of(item, "name")),
                operation_number(item, "instances"),
                operation_size(operation_number(item, "bytes")));
    }
}

static void print_index(const cJSON *result, FILE *out)
{
    const cJSON *item;
    fprintf(out, "\n%-52s %12s %12s\n", "Index", "keys", "bytes");
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(result, "index"))
    {
        fprintf(out, "  %-50s %12.0f %12s\n", text_of(item, "table"),
                operation_number(item, "keys"),
                operation_size(operation_number(item, "diskBytes") +
                               operation_number(item, "memoryBytes")));
    }
}

static void print_feed(const cJSON *result, FILE *out)
{
    const cJSON *feed = cJSON_GetObjectItemCaseSensitive(result, "feed");
    const cJSON *item;
    fprintf(out, "\nChange feed    %.0f to %.0f\n", operation_number(feed, "first"),
            operation_number(feed, "last"));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(feed, "followers"))
    {
        fprintf(out, "  %-20s at %.0f, %.0f behind\n", text_of(item, "name"),
                operation_number(item, "position"), operation_number(item, "behind"));
    }
}

void operation_stats_print(const cJSON *result, FILE *out)
{
    const cJSON *segments = cJSON_GetObjectItemCaseSensitive(result, "segments");
    fprintf(out,
            "Patients       %.0f\nStudies        %.0f\nSeries         %.0f\n"
            "Instances      %.0f, %s\n",
            operation_number(result, "patients"), operation_number(result, "studies"),
            operation_number(result, "series"), operation_number(result, "instances"),
            operation_size(operation_number(result, "bytes")));
    if (operation_number(result, "versions") > 0)
        fprintf(out, "Old versions   %.0f, %s\n", operation_number(result, "versions"),
                operation_size(operation_number(result, "versionBytes")));
    if (*text_of(result, "oldestStored"))
        fprintf(out, "Stored         %s to %s\n", text_of(result, "oldestStored"),
                text_of(result, "newestStored"));
    fprintf(out, "Segments       %.0f, %s live, %s dead, %s of that still on the disk\n",
            operation_number(segments, "files"),
            operation_size(operation_number(segments, "liveBytes")),
            operation_size(operation_number(segments, "deadBytes")),
            operation_size(operation_number(segments, "heldBytes")));
    fprintf(out, "Free           %s\n", operation_size(operation_number(result, "freeDiskBytes")));
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(result, "diskFailed")))
        fprintf(out, "The disk failed: nothing is written until a restart\n");
    print_list(result, "modalities", "Modality", out);
    print_list(result, "sopClasses", "SOP class", out);
    print_list(result, "transferSyntaxes", "Transfer syntax", out);
    print_index(result, out);
    print_feed(result, out);
}
