/* SPDX-License-Identifier: MIT */
#include "archive/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive/verify_work.h"
#include "base/clock.h"
#include "base/memory.h"

static const char *const kind_names[VERIFY_KIND_COUNT] = {
    [VERIFY_BLOB_MISSING] = "blob-missing", [VERIFY_BLOB_CORRUPT] = "blob-corrupt",
    [VERIFY_BLOB_UNKNOWN] = "blob-unknown", [VERIFY_INDEX_CORRUPT] = "index-corrupt",
    [VERIFY_COUNT_WRONG] = "count-wrong",   [VERIFY_TERM_MISSING] = "term-missing",
    [VERIFY_TERM_UNKNOWN] = "term-unknown", [VERIFY_DOCUMENT_WRONG] = "document-wrong",
};

const char *verify_kind_name(enum verify_kind kind)
{
    return kind_names[kind];
}

uint64_t verify_damage(const struct verify_report *report)
{
    uint64_t damage = 0;
    for (int kind = 0; kind < VERIFY_KIND_COUNT; kind++)
        damage += kind == VERIFY_BLOB_UNKNOWN ? 0 : report->findings[kind];
    return damage;
}

void verify_found(struct verify *verify, enum verify_kind kind, const struct identity *identity,
                  const struct blob_id *blob, const char *format, ...)
{
    struct verify_finding finding = { .kind = kind };
    va_list arguments;
    if (identity)
        finding.identity = *identity;
    if (blob) {
        finding.segment = blob->segment;
        finding.offset = blob->offset;
    }
    va_start(arguments, format);
    vsnprintf(finding.message, sizeof(finding.message), format, arguments);
    va_end(arguments);
    verify->report->findings[kind]++;
    if (verify->options->finding)
        verify->options->finding(verify->options->context, &finding);
}

bool verify_step(struct verify *verify, const char *phase, const char *unit, uint64_t done,
                 uint64_t total, uint64_t bytes, struct error *err)
{
    verify->report->bytes += bytes;
    return job_step(verify->job, phase, unit, done, total > done ? total : done, bytes, err);
}

bool verify_turn_open(struct verify *verify, struct transaction **turn, struct error *err)
{
    struct storage_figures figures;
    *turn = NULL;
    if (transaction_open(verify->archive->storage, turn, err))
        return true;
    *turn = NULL;
    storage_figures(verify->archive->storage, &figures);
    return figures.failed;
}

bool verify_has(struct verify *verify, enum table table, struct slice key, bool *found,
                struct error *err)
{
    struct buffer value = buffer_up_to(SIZE_MAX / 2);
    bool ok = storage_get(verify->archive->storage, table, key, &value, found, err);
    buffer_release(&value);
    return ok;
}

bool archive_verify(struct archive *archive, const struct verify_options *options, struct job *job,
                    struct verify_report *report, struct error *err)
{
    struct verify verify = { .archive = archive, .options = options, .job = job, .report = report };
    int64_t began_ms = clock_monotonic_ms();
    memset(report, 0, sizeof(*report));
    verify.piece = mem_resize(NULL, VERIFY_PIECE_SIZE);
    archive_count(archive, &verify.expected, NULL); /* an unreadable one is found later */
    bool ok = verify_counts(&verify, err) && verify_instances(&verify, err) &&
              verify_versions(&verify, err) && verify_terms(&verify, err) &&
              verify_documents(&verify, err) && verify_records(&verify, err);
    free(verify.piece);
    report->milliseconds = clock_monotonic_ms() - began_ms;
    return ok;
}

double verify_progress(const char *phase, uint64_t done, uint64_t total)
{
    static const struct {
        const char *name;
        double from;
        double to;
    } phases[] = {
        { PHASE_STUDIES, 0, 0.03 },    { PHASE_PATIENTS, 0.03, 0.035 },
        { PHASE_TOTALS, 0.035, 0.04 }, { PHASE_INSTANCES, 0.04, 0.15 },
        { PHASE_TERMS, 0.15, 0.18 },   { PHASE_DOCUMENTS, 0.18, 0.2 },
        { PHASE_RECORDS, 0.2, 1 },
    };
    double share = total && done < total ? (double)done / (double)total : total ? 1 : 0;
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
        if (!strcmp(phases[i].name, phase))
            return phases[i].from + share * (phases[i].to - phases[i].from);
    return 0;
}
