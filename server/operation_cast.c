/* SPDX-License-Identifier: MIT */
#include "cast/cast.h"

#include <inttypes.h>

#include "server/operations.h"

bool operation_cast_status(const struct operation_place *place,
                           const struct operation_options *options, struct job *job, cJSON *result,
                           struct error *err)
{
    (void)options;
    (void)job;
    return cast_status(place->cast, result, err);
}

static const char *text_of(const cJSON *result, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(result, name);
    return cJSON_IsString(value) ? value->valuestring : "";
}

void operation_cast_status_print(const cJSON *result, FILE *out)
{
    double pause_ms = operation_number(result, "pauseMilliseconds");
    fprintf(out, "%s %s", text_of(result, "state"), text_of(result, "url"));
    if (pause_ms > 0)
        fprintf(out, ", for another %s after %s", operation_duration(pause_ms),
                operation_count_of(result, "failures", "failure"));
    fprintf(out, "\nposition %.0f of %.0f, %s behind\n", operation_number(result, "position"),
            operation_number(result, "latest"), operation_count_of(result, "lag", "change"));
    fprintf(out, "%s waiting, the oldest change for %s; %.0f in flight of %.0f at once\n",
            operation_count_of(result, "waiting", "study"),
            operation_duration(operation_number(result, "oldestSeconds") * 1000),
            operation_number(result, "inFlight"), operation_number(result, "workers"));
    fprintf(out, "parked: %.0f\n", operation_number(result, "parked"));
    if (*text_of(result, "lastSuccess"))
        fprintf(out, "last success %s\n", text_of(result, "lastSuccess"));
    if (*text_of(result, "lastFailure"))
        fprintf(out, "last failure %s: %s\n", text_of(result, "lastFailure"),
                text_of(result, "lastFailureReason"));
}

bool operation_cast_parked(const struct operation_place *place,
                           const struct operation_options *options, struct job *job, cJSON *result,
                           struct error *err)
{
    (void)options;
    (void)job;
    return cast_parked(place->cast, result, err);
}

void operation_cast_parked_print(const cJSON *result, FILE *out)
{
    const cJSON *parked;
    cJSON_ArrayForEach(parked, cJSON_GetObjectItemCaseSensitive(result, "parked"))
    {
        fprintf(out, "%s %s status=%.0f attempts=%.0f %s\n", text_of(parked, "study"),
                text_of(parked, "at"), operation_number(parked, "status"),
                operation_number(parked, "attempts"), text_of(parked, "reason"));
    }
    fprintf(out, "parked: %.0f\n", operation_number(result, "parkedTotal"));
}

uint64_t operation_cast_parked_findings(const cJSON *result)
{
    return (uint64_t)operation_number(result, "parkedTotal");
}

bool operation_cast_replay(const struct operation_place *place,
                           const struct operation_options *options, struct job *job, cJSON *result,
                           struct error *err)
{
    (void)job;
    return cast_replay(place->cast, *options->study ? options->study : NULL, result, err);
}

void operation_cast_replay_print(const cJSON *result, FILE *out)
{
    double count = operation_number(result, "studies");
    fprintf(out, "%.0f %s tried again\n", count, count == 1 ? "study is" : "studies are");
}

bool operation_cast_reset(const struct operation_place *place,
                          const struct operation_options *options, struct job *job, cJSON *result,
                          struct error *err)
{
    (void)job;
    return cast_reset(place->cast, options->position, result, err);
}

void operation_cast_reset_print(const cJSON *result, FILE *out)
{
    fprintf(out, "casts what came after change %.0f\n", operation_number(result, "position"));
}

bool operation_cast_reconcile(const struct operation_place *place,
                              const struct operation_options *options, struct job *job,
                              cJSON *result, struct error *err)
{
    return cast_reconcile(place->cast, options->dry_run, job, result, err);
}

/* What is left to do. */
uint64_t operation_cast_reconcile_findings(const cJSON *result)
{
    return (uint64_t)(operation_number(result, "findingsTotal") -
                      operation_number(result, "repairedTotal"));
}

void operation_cast_reconcile_print(const cJSON *result, FILE *out)
{
    const cJSON *finding;
    const cJSON *findings = cJSON_GetObjectItemCaseSensitive(result, "findings");
    double total = operation_number(result, "findingsTotal");
    cJSON_ArrayForEach(finding, findings)
    {
        const cJSON *repaired = cJSON_GetObjectItemCaseSensitive(finding, "repaired");
        fprintf(out, "%s: study=%s%s%s%s\n", text_of(finding, "kind"), text_of(finding, "study"),
                cJSON_IsTrue(repaired) ? " repaired" : "", *text_of(finding, "reason") ? " " : "",
                text_of(finding, "reason"));
    }
    if (total > cJSON_GetArraySize(findings))
        fprintf(out, "... and %.0f more\n", total - cJSON_GetArraySize(findings));
    fprintf(out, "%.0f studies here, %.0f of them there, compared in %s",
            operation_number(result, "studies"), operation_number(result, "held"),
            operation_duration(operation_number(result, "milliseconds")));
    if (operation_number(result, "waiting") > 0)
        fprintf(out, "; %.0f still wait to be cast and were left to that",
                operation_number(result, "waiting"));
    fprintf(out, "\n%s, %.0f repaired\n", operation_count_of(result, "findingsTotal", "finding"),
            operation_number(result, "repairedTotal"));
}
