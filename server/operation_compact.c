/* SPDX-License-Identifier: MIT */
#include "archive/compact.h"

#include "server/operations.h"

bool operation_compact(const struct operation_place *place, const struct operation_options *options,
                       struct job *job, cJSON *result, struct error *err)
{
    const struct compact_options compact = { .dead_share = options->dead_share,
                                             .dry_run = options->dry_run };
    struct compact_report report = { 0 };
    if (!archive_compact(place->archive, &compact, job, &report, err))
        return false;
    cJSON_AddBoolToObject(result, "dryRun", options->dry_run);
    cJSON_AddNumberToObject(result, "segments", (double)report.segments);
    cJSON_AddNumberToObject(result, "moved", (double)report.moved);
    cJSON_AddNumberToObject(result, "movedBytes", (double)report.moved_bytes);
    cJSON_AddNumberToObject(result, "removed", (double)report.removed);
    cJSON_AddNumberToObject(result, "kept", (double)report.kept);
    cJSON_AddNumberToObject(result, "freedBytes", (double)report.freed_bytes);
    cJSON_AddNumberToObject(result, "milliseconds", (double)report.milliseconds);
    return true;
}

void operation_compact_print(const cJSON *result, FILE *out)
{
    bool is_dry = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(result, "dryRun"));
    fprintf(out, "%s %s: %s with %s %s, %s %s\n", operation_count_of(result, "segments", "segment"),
            is_dry ? "would be taken up" : "taken up",
            operation_count_of(result, "moved", "record"),
            operation_size(operation_number(result, "movedBytes")), is_dry ? "would move" : "moved",
            operation_size(operation_number(result, "freedBytes")),
            is_dry ? "would be given back" : "given back");
    if (operation_number(result, "removed") > 0)
        fprintf(out, "records to which nothing referred, gone: %.0f\n",
                operation_number(result, "removed"));
    if (operation_number(result, "kept") > 0)
        fprintf(out,
                "broken records, which stay with their segments: %.0f; see hounsfield verify\n",
                operation_number(result, "kept"));
}
