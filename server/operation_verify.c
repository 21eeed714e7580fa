/* SPDX-License-Identifier: MIT */
#include "archive/verify.h"

#include <inttypes.h>

#include "server/operations.h"
#include "server/verification.h"
#include "server/verifier.h"

enum { FINDINGS_MAX = 1000 }; /* that are listed; all are counted */

static void list_finding(void *context, const struct verify_finding *finding)
{
    cJSON *list = context;
    const struct identity *identity = &finding->identity;
    if (cJSON_GetArraySize(list) >= FINDINGS_MAX)
        return;
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "kind", verify_kind_name(finding->kind));
    if (identity->study[0])
        cJSON_AddStringToObject(item, "study", identity->study);
    if (identity->series[0])
        cJSON_AddStringToObject(item, "series", identity->series);
    if (identity->instance[0])
        cJSON_AddStringToObject(item, "instance", identity->instance);
    if (finding->segment) {
        cJSON_AddNumberToObject(item, "segment", finding->segment);
        cJSON_AddNumberToObject(item, "offset", (double)finding->offset);
    }
    cJSON_AddStringToObject(item, "message", finding->message);
    cJSON_AddItemToArray(list, item);
}

static void add_report(cJSON *result, const struct verify_report *report)
{
    uint64_t total = 0;
    cJSON *kinds = cJSON_AddObjectToObject(result, "kinds");
    for (int kind = 0; kind < VERIFY_KIND_COUNT; kind++) {
        total += report->findings[kind];
        cJSON_AddNumberToObject(kinds, verify_kind_name((enum verify_kind)kind),
                                (double)report->findings[kind]);
    }
    cJSON_AddNumberToObject(result, "findingsTotal", (double)total);
    cJSON_AddNumberToObject(result, "damage", (double)verify_damage(report));
    cJSON_AddNumberToObject(result, "leftovers", (double)report->leftovers);
    cJSON_AddNumberToObject(result, "unreadableBlocks", (double)report->unreadable);
    cJSON_AddNumberToObject(result, "records", (double)report->records);
    cJSON_AddNumberToObject(result, "instances", (double)report->instances);
    cJSON_AddNumberToObject(result, "studies", (double)report->studies);
    cJSON_AddNumberToObject(result, "bytes", (double)report->bytes);
    cJSON_AddNumberToObject(result, "milliseconds", (double)report->milliseconds);
}

bool operation_verify(const struct operation_place *place, const struct operation_options *options,
                      struct job *job, cJSON *result, struct error *err)
{
    cJSON *list = cJSON_AddArrayToObject(result, "findings");
    const struct verify_options verify = { .quick = options->quick,
                                           .finding = list_finding,
                                           .context = list };
    struct verify_report report;
    uint64_t worklist_objects;
    cJSON_AddBoolToObject(result, "quick", options->quick);
    if (!verification_run(place->storage, place->archive, &verify, job, &report, &worklist_objects,
                          err))
        return false;
    add_report(result, &report);
    cJSON_AddNumberToObject(result, "worklistObjects", (double)worklist_objects);
    /* What a quick one did not look at it cannot call whole. */
    if (!options->quick)
        verifier_record(place->archive, place->verifier, &report);
    return true;
}

uint64_t operation_verify_findings(const cJSON *result)
{
    return (uint64_t)operation_number(result, "findingsTotal");
}

static void print_place(const cJSON *finding, const char *name, FILE *out)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(finding, name);
    if (cJSON_IsString(value))
        fprintf(out, " %s=%s", name, value->valuestring);
    else if (cJSON_IsNumber(value))
        fprintf(out, " %s=%.0f", name, value->valuedouble);
}

void operation_verify_print(const cJSON *result, FILE *out)
{
    static const char *const places[] = { "study", "series", "instance", "segment", "offset" };
    const cJSON *findings = cJSON_GetObjectItemCaseSensitive(result, "findings");
    const cJSON *kinds = cJSON_GetObjectItemCaseSensitive(result, "kinds");
    const cJSON *item;
    uint64_t total = operation_verify_findings(result);
    cJSON_ArrayForEach(item, findings)
    {
        const cJSON *kind = cJSON_GetObjectItemCaseSensitive(item, "kind");
        const cJSON *message = cJSON_GetObjectItemCaseSensitive(item, "message");
        fprintf(out, "%s:", cJSON_IsString(kind) ? kind->valuestring : "");
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
            print_place(item, places[i], out);
        fprintf(out, " %s\n", cJSON_IsString(message) ? message->valuestring : "");
    }
    if (total > (uint64_t)cJSON_GetArraySize(findings))
        fprintf(out, "... and %" PRIu64 " more\n", total - (uint64_t)cJSON_GetArraySize(findings));
    fprintf(out, "%.0f instances in %.0f studies, %.0f records of the segments",
            operation_number(result, "instances"), operation_number(result, "studies"),
            operation_number(result, "records"));
    if (operation_number(result, "worklistObjects") > 0)
        fprintf(out, ", %s of the worklist",
                operation_count_of(result, "worklistObjects", "object"));
    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(result, "quick")))
        fprintf(out, ", %s read", operation_size(operation_number(result, "bytes")));
    fprintf(out, " in %s\n", operation_duration(operation_number(result, "milliseconds")));
    if (operation_number(result, "leftovers") > 0)
        fprintf(out, "records left over from a crash, which do no harm: %.0f\n",
                operation_number(result, "leftovers"));
    if (operation_number(result, "unreadableBlocks") > 0)
        fprintf(out, "blocks of the segments that cannot be read: %.0f\n",
                operation_number(result, "unreadableBlocks"));
    if (!total) {
        fprintf(out, "nothing found\n");
        return;
    }
    fprintf(out, "%" PRIu64 " finding%s:", total, total == 1 ? "" : "s");
    cJSON_ArrayForEach(item, kinds)
    {
        if (item->valuedouble > 0)
            fprintf(out, " %s %.0f", item->string, item->valuedouble);
    }
    fprintf(out, "\n");
}
