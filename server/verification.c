/* SPDX-License-Identifier: MIT */
#include "server/verification.h"

#include <stdio.h>

#include "base/clock.h"
#include "worklist/verify.h"

static const enum verify_kind kinds[WORKLIST_FINDING_KINDS] = {
    [WORKLIST_OBJECT_CORRUPT] = VERIFY_INDEX_CORRUPT,
    [WORKLIST_TERM_MISSING] = VERIFY_TERM_MISSING,
    [WORKLIST_TERM_UNKNOWN] = VERIFY_TERM_UNKNOWN,
};

/* In the words of the archive. */
static void take_finding(void *context, enum worklist_finding_kind kind, const char *uid,
                         const char *message)
{
    const struct verify_options *options = context;
    struct verify_finding finding = { .kind = kinds[kind] };
    snprintf(finding.identity.instance, sizeof(finding.identity.instance), "%s", uid);
    snprintf(finding.message, sizeof(finding.message), "%s", message);
    if (options->finding)
        options->finding(options->context, &finding);
}

static bool verify_worklist(struct storage *storage, const struct verify_options *options,
                            struct job *job, struct worklist_verify_report *report,
                            struct error *err)
{
    struct worklist *worklist = NULL;
    struct verify_options copy = *options;
    const struct worklist_verify_options own = { .finding = take_finding, .context = &copy };
    bool ok = worklist_open(storage, NULL, &worklist, err) &&
              worklist_verify(worklist, &own, job, report, err);
    worklist_close(worklist);
    return ok;
}

bool verification_run(struct storage *storage, struct archive *archive,
                      const struct verify_options *options, struct job *job,
                      struct verify_report *report, uint64_t *worklist_objects, struct error *err)
{
    struct worklist_verify_report worklist;
    int64_t began_ms = clock_monotonic_ms();
    if (!verify_worklist(storage, options, job, &worklist, err) ||
        !archive_verify(archive, options, job, report, err))
        return false;
    for (int kind = 0; kind < WORKLIST_FINDING_KINDS; kind++)
        report->findings[kinds[kind]] += worklist.findings[kind];
    report->milliseconds = clock_monotonic_ms() - began_ms;
    *worklist_objects = worklist.objects;
    return true;
}
