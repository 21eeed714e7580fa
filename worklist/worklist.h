/* SPDX-License-Identifier: MIT */
#pragma once
/* What is planned and being performed: patients, orders as scheduled procedure steps, performed
 * procedure steps, work items. It knows no protocol: dimse, dicomweb, hl7 and cast are doors to it,
 * each concept is a header of its own (patients, steps, performed, ...), and all of it lasts in one
 * way (objects.h). Thread-safe. */

#include "base/error.h"
#include "dicom/uid.h"

struct storage;
struct worklist;

struct worklist_options {
    /* What becomes of a step whose performed step was DISCONTINUED: it leaves the list, or it is
     * SCHEDULED again. */
    bool reschedule_discontinued;
    /* Of objects that are done (completed, cancelled), 0: 90 days. See worklist_purge. */
    int64_t keep_done_ms;
    /* Subscribers to work items get no deletion locks. */
    bool refuse_deletion_locks;
    /* AE titles at each door that are kept as subscribers or as somebody's, 0: 10,000. Those that
     * have not subscribed are forgotten after an hour. */
    size_t subscriber_limit;
};

/* The storage stays the caller's (the one that the archive is opened with) and must outlive the
 * worklist. `options` may be NULL. */
bool worklist_open(struct storage *storage, const struct worklist_options *options,
                   struct worklist **out, struct error *err);
void worklist_close(struct worklist *worklist);
const struct worklist_options *worklist_options(const struct worklist *worklist);

/* Deletes what has been done for longer than keep_done_ms, at most 1,000 objects a call; *count
 * tells how many. Of a performed step its UID stays behind (PERFORMED_GONE), for as long again. */
bool worklist_purge(struct worklist *worklist, size_t *count, struct error *err);
