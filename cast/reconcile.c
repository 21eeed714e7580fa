/* SPDX-License-Identifier: MIT */
#include "cast/reconcile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/study.h"
#include "base/clock.h"
#include "base/memory.h"
#include "cast/identifier.h"
#include "cast/merge.h"
#include "cast/search_answer.h"

enum {
    HELD_MAX = 2 * 1000 * 1000, /* ImagingStudies of ours that are looked at */
    PAGES_MAX = 200 * 1000,
    FINDINGS_MAX = 1000, /* that are listed; all are counted */
    PAGE_ATTEMPTS = 5,
    PAGE_PAUSE_MS = 1000,
    PAGE_LONGEST_PAUSE_MS = 30 * 1000,
    FIRST_ROOM = 1024,
};

#define FIRST_PAGE                                                                                 \
    "ImagingStudy?_tag=urn%3Ahounsfield%7Cdicom-cast&_elements=identifier,meta,status,series"      \
    "&_count=200"

enum kind { MISSING, DIFFERING, EXTRA, DUPLICATE, PATIENT_DUPLICATE, REFUSED, KINDS };
static const char *const kind_names[] = { "missing",   "differing",        "extra",
                                          "duplicate", "patientDuplicate", "refused" };

struct held {
    char study[UID_SIZE];
    bool is_there; /* in the archive */
};

struct reconcile {
    struct archive *archive;
    struct follower *follower;
    struct round round;
    struct job *job;
    bool dry_run;
    struct held *held; /* by UID */
    size_t held_count;
    size_t held_room;
    uint64_t studies;
    uint64_t waiting;
    uint64_t kinds[KINDS];
    uint64_t total;
    uint64_t repaired;
    cJSON *findings;
};

/* --- what the server holds --- */

char *reconcile_next_page(const cJSON *bundle, const char *base)
{
    return search_answer_next_page(bundle, "ImagingStudy", base);
}

static void hold(struct reconcile *reconcile, const char *uid)
{
    if (reconcile->held_count == reconcile->held_room) {
        size_t room = reconcile->held_room ? 2 * reconcile->held_room : FIRST_ROOM;
        struct held *longer = mem_alloc_array(room, sizeof *longer);
        if (reconcile->held_count)
            memcpy(longer, reconcile->held, reconcile->held_count * sizeof *longer);
        free(reconcile->held);
        reconcile->held = longer;
        reconcile->held_room = room;
    }
    struct held *held = &reconcile->held[reconcile->held_count++];
    snprintf(held->study, sizeof held->study, "%s", uid);
}

static void take_resource(struct reconcile *reconcile, const cJSON *resource)
{
    static const char prefix[] = "urn:oid:";
    const cJSON *identifier;
    if (!mapping_is_of(resource, reconcile->round.mapping->source) || merge_is_withdrawn(resource))
        return;
    for (identifier = json_first(json_get(resource, "identifier")); identifier;
         identifier = identifier->next) {
        const char *system = json_text(identifier, "system");
        const char *value = json_text(identifier, "value");
        if (system && value && strcmp(system, "urn:dicom:uid") == 0 &&
            strncmp(value, prefix, strlen(prefix)) == 0 &&
            uid_is_safe(slice_text(value + strlen(prefix)))) {
            hold(reconcile, value + strlen(prefix));
            return;
        }
    }
}

/* ERROR_CLOSED when the server stays away. */
static bool get_page(struct reconcile *reconcile, const char *path, cJSON **page, struct error *err)
{
    int64_t pause_ms = PAGE_PAUSE_MS;
    *page = NULL;
    for (unsigned attempt = 0;; attempt++) {
        struct fhir_answer answer = { 0 };
        struct fhir_request request = { .method = "GET", .path = path };
        bool sent = fhir_client_send(reconcile->round.client, &request, &answer, err);
        if (sent && answer.status == 200)
            sent = json_parse(buffer_slice(&answer.body), page, err);
        else if (sent)
            sent = error_set(err, ERROR_CLOSED, "a search for ImagingStudy was answered with %d",
                             answer.status);
        fhir_answer_release(&answer);
        if (sent || err->code == ERROR_STOPPED || attempt + 1 == PAGE_ATTEMPTS)
            return sent;
        if (answer.retry_after_ms > pause_ms)
            pause_ms = answer.retry_after_ms;
        if (pause_ms > PAGE_LONGEST_PAUSE_MS)
            pause_ms = PAGE_LONGEST_PAUSE_MS;
        if (!follower_pause(reconcile->follower, pause_ms, reconcile->job, err))
            return false;
        pause_ms *= 2;
    }
}

static int compare_held(const void *a, const void *b)
{
    return strcmp(((const struct held *)a)->study, ((const struct held *)b)->study);
}

static void sort_held(struct reconcile *reconcile)
{
    size_t kept = 0;
    if (reconcile->held_count)
        qsort(reconcile->held, reconcile->held_count, sizeof *reconcile->held, compare_held);
    for (size_t i = 0; i < reconcile->held_count; i++)
        if (!kept || compare_held(&reconcile->held[kept - 1], &reconcile->held[i]) != 0)
            reconcile->held[kept++] = reconcile->held[i];
    reconcile->held_count = kept;
}

static bool list_held(struct reconcile *reconcile, struct error *err)
{
    char *path = mem_copy_text(FIRST_PAGE);
    bool ok = true;
    for (size_t pages = 0; ok && path; pages++) {
        cJSON *page = NULL;
        ok = job_step(reconcile->job, "reading what the FHIR server holds", "studies",
                      reconcile->held_count, 0, 0, err) &&
             get_page(reconcile, path, &page, err);
        free(path);
        path = NULL;
        const cJSON *entry;
        for (entry = json_first(json_get(page, "entry")); entry; entry = entry->next)
            take_resource(reconcile, json_get(entry, "resource"));
        if (ok && (pages == PAGES_MAX || reconcile->held_count > HELD_MAX))
            ok = error_set(err, ERROR_LIMIT, "the FHIR server holds more ImagingStudies than %d",
                           HELD_MAX);
        if (ok)
            path = reconcile_next_page(page, fhir_client_base(reconcile->round.client));
        cJSON_Delete(page);
    }
    free(path);
    sort_held(reconcile);
    return ok;
}

/* --- one by one --- */

static void found(struct reconcile *reconcile, enum kind kind, const char *study, bool repaired,
                  const char *reason)
{
    reconcile->kinds[kind]++;
    reconcile->total++;
    reconcile->repaired += repaired;
    if (cJSON_GetArraySize(reconcile->findings) >= FINDINGS_MAX)
        return;
    cJSON *finding = cJSON_CreateObject();
    cJSON_AddStringToObject(finding, "kind", kind_names[kind]);
    cJSON_AddStringToObject(finding, "study", study);
    cJSON_AddBoolToObject(finding, "repaired", repaired);
    if (reason)
        cJSON_AddStringToObject(finding, "reason", reason);
    cJSON_AddItemToArray(reconcile->findings, finding);
}

static bool compare_one(struct reconcile *reconcile, const char *study, struct error *err)
{
    enum round_result result;
    struct round_report report;
    bool repairs = !reconcile->dry_run;
    if (!follower_run(reconcile->follower, &reconcile->round, study, &result, &report,
                      reconcile->job, err))
        return false;
    if (result != ROUND_DONE)
        found(reconcile, REFUSED, study, false, report.error.message);
    else if (report.extra)
        found(reconcile, EXTRA, study, repairs, NULL);
    else if (report.missing)
        found(reconcile, MISSING, study, repairs, NULL);
    else if (report.written)
        found(reconcile, report.duplicates ? DUPLICATE : DIFFERING, study, repairs, NULL);
    else if (report.duplicates)
        found(reconcile, DUPLICATE, study, false, "others made them");
    if (report.patient_duplicates)
        found(reconcile, PATIENT_DUPLICATE, study, false, "Patients are never deleted");
    return true;
}

static void mark(struct reconcile *reconcile, const char *study)
{
    struct held key = { "", false };
    snprintf(key.study, sizeof key.study, "%s", study);
    struct held *held = reconcile->held_count
                            ? bsearch(&key, reconcile->held, reconcile->held_count,
                                      sizeof *reconcile->held, compare_held)
                            : NULL;
    if (held)
        held->is_there = true;
}

static bool compare_all(struct reconcile *reconcile, struct error *err)
{
    char study[UID_SIZE] = "", next[UID_SIZE];
    struct archive_counts counts;
    bool more = true;
    bool ok = archive_count(reconcile->archive, &counts, err);
    while (ok && (ok = study_next(reconcile->archive, study, next, &more, err)) && more) {
        memcpy(study, next, sizeof study);
        mark(reconcile, study);
        if (follower_awaits(reconcile->follower, study))
            reconcile->waiting++;
        else
            ok = compare_one(reconcile, study, err);
        reconcile->studies++;
        ok = ok && job_step(reconcile->job, "comparing", "studies", reconcile->studies,
                            counts.studies, 0, err);
    }
    return ok;
}

/* A study that was stored meanwhile is one of the archive, and the round sees it. */
static bool compare_rest(struct reconcile *reconcile, struct error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < reconcile->held_count; i++)
        if (!reconcile->held[i].is_there &&
            !follower_awaits(reconcile->follower, reconcile->held[i].study))
            ok = compare_one(reconcile, reconcile->held[i].study, err) &&
                 job_step(reconcile->job, "removing what is too much", "studies", i + 1,
                          reconcile->held_count, 0, err);
    return ok;
}

static void tell(const struct reconcile *reconcile, int64_t milliseconds, cJSON *result)
{
    cJSON_AddBoolToObject(result, "dryRun", reconcile->dry_run);
    cJSON_AddNumberToObject(result, "studies", (double)reconcile->studies);
    cJSON_AddNumberToObject(result, "held", (double)reconcile->held_count);
    cJSON_AddNumberToObject(result, "waiting", (double)reconcile->waiting);
    cJSON *kinds = cJSON_AddObjectToObject(result, "kinds");
    for (int kind = 0; kind < KINDS; kind++)
        cJSON_AddNumberToObject(kinds, kind_names[kind], (double)reconcile->kinds[kind]);
    cJSON_AddNumberToObject(result, "findingsTotal", (double)reconcile->total);
    cJSON_AddNumberToObject(result, "repairedTotal", (double)reconcile->repaired);
    cJSON_AddNumberToObject(result, "milliseconds", (double)milliseconds);
}

bool reconcile_run(struct archive *archive, struct follower *follower, bool dry_run,
                   struct job *job, cJSON *result, struct error *err)
{
    struct reconcile reconcile = {
        .archive = archive, .follower = follower, .job = job, .dry_run = dry_run
    };
    int64_t began_ms = clock_monotonic_ms();
    if (!follower_round_open(follower, &reconcile.round, err))
        return false;
    reconcile.round.dry = dry_run;
    fhir_client_watch(reconcile.round.client, job->cancelled, job->context);
    reconcile.findings = cJSON_AddArrayToObject(result, "findings");
    bool ok = list_held(&reconcile, err) && compare_all(&reconcile, err) &&
              compare_rest(&reconcile, err);
    if (ok)
        tell(&reconcile, clock_monotonic_ms() - began_ms, result);
    follower_round_close(&reconcile.round);
    free(reconcile.held);
    return ok;
}
