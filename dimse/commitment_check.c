/* SPDX-License-Identifier: MIT */
/* What becomes of the instances of a storage commitment transaction. */
#include <string.h>

#include "archive/commit_check.h"
#include "base/clock.h"
#include "base/memory.h"
#include "dimse/commitment_parts.h"
#include "dimse/negotiate.h"
#include "dimse/status.h"

/* Failure Reason (PS3.3 C.14.1.1); 0: committed. */
static uint16_t reason_of(enum commit_state state, const char *sop_class)
{
    switch (state) {
    case COMMIT_HELD:
        return 0;
    case COMMIT_OTHER_CLASS:
        return STATUS_CLASS_INSTANCE_CONFLICT;
    case COMMIT_DAMAGED:
        return STATUS_PROCESSING_FAILURE;
    case COMMIT_ABSENT:
        break;
    }
    return negotiate_service(sop_class, false) == SERVICE_STORAGE ? STATUS_NO_SUCH_INSTANCE
                                                                  : STATUS_SOP_CLASS_NOT_SUPPORTED;
}

/* Looks at every instance. With read_bytes this takes as long as the disk does; without, it stops
 * at the first that is not here. *missing counts those. */
static bool look(struct commitment *commitment, struct commitment_report *report, bool read_bytes,
                 size_t *missing, struct error *err)
{
    struct slice rest = buffer_slice(&report->references);
    struct reference reference = { "", "" };
    *missing = 0;
    report->failed = 0;
    for (size_t i = 0; i < report->count && references_next(&rest, &reference); i++) {
        enum commit_state state;
        if (commitment_is_stopping(commitment))
            return error_set(err, ERROR_STOPPED, "the server stops");
        if (!commit_check(commitment->archive, reference.sop_class, reference.sop_instance,
                          read_bytes, &state, err))
            return false;
        report->reasons[i] = reason_of(state, reference.sop_class);
        report->failed += report->reasons[i] != 0;
        *missing += report->reasons[i] == STATUS_NO_SUCH_INSTANCE;
        if (*missing && !read_bytes)
            return true;
    }
    return true;
}

struct commitment_report *commitment_check(struct commitment *commitment,
                                           const struct commitment_entry *entry,
                                           const struct dimse_options *options, struct error *err)
{
    struct commitment_report *report = mem_alloc(sizeof(*report));
    int64_t waits_until_ms = entry->received_ms + options->commitment_wait_ms;
    size_t missing = 0;
    memcpy(report->transaction, entry->transaction, UID_SIZE);
    memcpy(report->retrieve_ae, options->ae_title,
           strnlen(options->ae_title, sizeof(report->retrieve_ae) - 1));
    report->references = buffer_up_to(COMMITMENT_REFERENCES_SIZE);
    report->count = entry->count;
    report->reasons = mem_alloc_array(entry->count, sizeof(*report->reasons));
    bool ok = commitment_queue_references(commitment->archive, entry, &report->references, err) &&
              commit_settle(commitment->archive, err);
    if (ok && clock_unix_ms() < waits_until_ms) {
        ok = look(commitment, report, false, &missing, err);
        if (ok && missing) {
            err->code = ERROR_NONE;
            ok = false;
        }
    }
    if (ok && look(commitment, report, true, &missing, err))
        return report;
    commitment_report_free(report);
    return NULL;
}
