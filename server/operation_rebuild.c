/* SPDX-License-Identifier: MIT */
#include "archive/rebuild.h"

#include "server/operations.h"

bool operation_rebuild(const struct operation_place *place, const struct operation_options *options,
                       struct job *job, cJSON *result, struct error *err)
{
    const struct rebuild_options rebuild = { .ae_title = place->ae_title,
                                             .dry_run = options->dry_run };
    struct rebuild_report report = { 0 };
    if (!archive_rebuild(place->data_directory, &rebuild, job, &report, err))
        return false;
    cJSON_AddBoolToObject(result, "dryRun", options->dry_run);
    cJSON_AddNumberToObject(result, "records", (double)report.records);
    cJSON_AddNumberToObject(result, "instances", (double)report.instances);
    cJSON_AddNumberToObject(result, "versions", (double)report.versions);
    cJSON_AddNumberToObject(result, "deleted", (double)report.deleted);
    cJSON_AddNumberToObject(result, "corrupt", (double)report.corrupt);
    cJSON_AddNumberToObject(result, "refused", (double)report.refused);
    cJSON_AddNumberToObject(result, "worklistKeys", (double)report.others);
    if (!options->dry_run)
        cJSON_AddBoolToObject(result, "worklistLost", report.others_lost);
    cJSON_AddNumberToObject(result, "bytes", (double)report.bytes);
    cJSON_AddNumberToObject(result, "milliseconds", (double)report.milliseconds);
    return true;
}

uint64_t operation_rebuild_findings(const cJSON *result)
{
    return (uint64_t)operation_number(result, "corrupt");
}

void operation_rebuild_print(const cJSON *result, FILE *out)
{
    bool is_dry = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(result, "dryRun"));
    fprintf(out, "%s of %s, from %s, %s read in %s\n",
            is_dry ? "would make an index" : "made an index",
            operation_count_of(result, "instances", "instance"),
            operation_count_of(result, "records", "record"),
            operation_size(operation_number(result, "bytes")),
            operation_duration(operation_number(result, "milliseconds")));
    if (operation_number(result, "versions") > 0)
        fprintf(out, "%.0f records are older versions of them\n",
                operation_number(result, "versions"));
    if (operation_number(result, "deleted") > 0)
        fprintf(out, "records of instances that were deleted since, left out: %.0f\n",
                operation_number(result, "deleted"));
    if (operation_number(result, "corrupt") > 0)
        fprintf(out, "records that do not fit their checksum, left out and kept: %.0f\n",
                operation_number(result, "corrupt"));
    if (operation_number(result, "refused") > 0)
        fprintf(out,
                "records that are no instance or a second one of it, left out and kept: %.0f\n",
                operation_number(result, "refused"));
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(result, "worklistLost")))
        fprintf(out,
                "the old index %s: worklist (orders, performed steps, work items) and what was "
                "told of patients\nare in no image, and so are gone; put the folder index of "
                "a restored backup in its place and rebuild again,\nor have them sent again\n",
                operation_number(result, "worklistKeys") > 0 ? "could be read in part"
                                                             : "is gone or cannot be read");
}
