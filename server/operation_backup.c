/* SPDX-License-Identifier: MIT */
#include "storage/backup.h"

#include "base/clock.h"
#include "server/operations.h"

static void add_report(cJSON *result, const struct backup_report *report)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format_utc(report->taken_at_ms, text);
    cJSON_AddStringToObject(result, "takenAt", text);
    cJSON_AddNumberToObject(result, "segments", (double)report->segments);
    cJSON_AddNumberToObject(result, "blobBytes", (double)report->blob_bytes);
    cJSON_AddNumberToObject(result, "indexBytes", (double)report->index_bytes);
    cJSON_AddNumberToObject(result, "copiedBytes", (double)report->copied_bytes);
    cJSON_AddNumberToObject(result, "removedBytes", (double)report->removed_bytes);
    cJSON_AddNumberToObject(result, "latestSequence", (double)report->latest_sequence);
}

static void add_options(cJSON *result, const struct operation_options *options)
{
    cJSON_AddStringToObject(result, "directory", options->directory);
    cJSON_AddBoolToObject(result, "dryRun", options->dry_run);
}

bool operation_backup(const struct operation_place *place, const struct operation_options *options,
                      struct job *job, cJSON *result, struct error *err)
{
    const struct backup_options backup = { .directory = options->directory,
                                           .dry_run = options->dry_run,
                                           .verify = options->check };
    struct backup_report report = { 0 };
    if (!storage_backup(place->storage, &backup, job, &report, err))
        return false;
    add_options(result, options);
    cJSON_AddBoolToObject(result, "checked", options->check && !options->dry_run);
    add_report(result, &report);
    cJSON_AddNumberToObject(result, "pausedMilliseconds", (double)report.paused_us / 1000);
    return true;
}

bool operation_restore(const struct operation_place *place, const struct operation_options *options,
                       struct job *job, cJSON *result, struct error *err)
{
    struct backup_report report = { 0 };
    if (!storage_restore(options->directory, place->data_directory, options->dry_run, job, &report,
                         err))
        return false;
    add_options(result, options);
    add_report(result, &report);
    return true;
}

static bool is_dry(const cJSON *result)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(result, "dryRun"));
}

static const char *text_of(const cJSON *result, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(result, name);
    return cJSON_IsString(value) ? value->valuestring : "";
}

void operation_backup_print(const cJSON *result, FILE *out)
{
    if (is_dry(result)) {
        fprintf(out, "would copy %s to %s\n",
                operation_size(operation_number(result, "copiedBytes")),
                text_of(result, "directory"));
        return;
    }
    fprintf(out,
            "%s holds the archive as of %s: %s with %s, index %s\n"
            "%s copied now, %s given back\n",
            text_of(result, "directory"), text_of(result, "takenAt"),
            operation_count_of(result, "segments", "segment"),
            operation_size(operation_number(result, "blobBytes")),
            operation_size(operation_number(result, "indexBytes")),
            operation_size(operation_number(result, "copiedBytes")),
            operation_size(operation_number(result, "removedBytes")));
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(result, "checked")))
        fprintf(out, "all of it was read again and is whole\n");
}

void operation_restore_print(const cJSON *result, FILE *out)
{
    fprintf(out, "%s the archive as of %s: %s with %s, index %s\n",
            is_dry(result) ? "would restore" : "restored", text_of(result, "takenAt"),
            operation_count_of(result, "segments", "segment"),
            operation_size(operation_number(result, "blobBytes")),
            operation_size(operation_number(result, "indexBytes")));
}
