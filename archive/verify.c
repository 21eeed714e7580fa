/* SPDX-License-Identifier: MIT */
#include "archive/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive/verify_work.h"
#include "base/clock.h"
#include "base/memory.h"

enum { PAGE_KEYS = 1000 };

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

void pages_open(struct pages *pages, struct storage *storage, enum table table, struct slice lower,
                struct slice upper)
{
    memset(pages, 0, sizeof(*pages));
    pages->storage = storage;
    pages->table = table;
    pages->lower = buffer_up_to(SIZE_MAX / 2);
    pages->upper = buffer_up_to(SIZE_MAX / 2);
    buffer_append(&pages->lower, lower);
    buffer_append(&pages->upper, upper);
}

void pages_open_kind(struct pages *pages, struct storage *storage, enum table table, char kind)
{
    const uint8_t lower[] = { (uint8_t)kind };
    const uint8_t upper[] = { (uint8_t)(kind + 1) };
    pages_open(pages, storage, table, slice_of(lower, 1), slice_of(upper, 1));
}

bool pages_next(struct pages *pages, struct slice *key, struct slice *value, bool *found,
                struct error *err)
{
    if (!pages->cursor) {
        if (!storage_cursor_open(pages->storage, pages->table, buffer_slice(&pages->lower),
                                 buffer_slice(&pages->upper), &pages->cursor, err))
            return false;
        pages->taken = 0;
    }
    if (!storage_cursor_next(pages->cursor, key, value, found, err))
        return false;
    if (!*found || ++pages->taken <= PAGE_KEYS)
        return true;
    /* This key is the first of the next page. */
    buffer_clear(&pages->lower);
    buffer_append(&pages->lower, *key);
    storage_cursor_close(pages->cursor);
    pages->cursor = NULL;
    return pages_next(pages, key, value, found, err);
}

void pages_close(struct pages *pages)
{
    storage_cursor_close(pages->cursor);
    buffer_release(&pages->lower);
    buffer_release(&pages->upper);
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
              verify_terms(&verify, err) && verify_documents(&verify, err) &&
              verify_records(&verify, err);
    free(verify.piece);
    report->milliseconds = clock_monotonic_ms() - began_ms;
    return ok;
}
