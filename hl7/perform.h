/* SPDX-License-Identifier: MIT */
#pragma once
/* Does what a plan says to worklist and archive. Each action is done as a whole or not at all, and
 * doing one again changes nothing, so that a sender who heard no answer may send again.
 * Thread-safe.
 */

#include "hl7/plan.h"

struct archive;
struct worklist;

/* Durable when it returns. False with a fault. */
bool hl7_perform(struct archive *archive, struct worklist *worklist, const struct hl7_plan *plan,
                 const struct hl7_message *message, struct hl7_fault *fault);

/* The two sides, each with names of its own for like things: perform_worklist.c, perform_archive.c.
 */
bool hl7_perform_order(struct worklist *worklist, const struct hl7_plan *plan,
                       const struct hl7_action *action, struct error *err);
bool hl7_perform_patient(struct worklist *worklist, const struct hl7_plan *plan,
                         const struct hl7_action *action, struct error *err);
bool hl7_perform_merge(struct worklist *worklist, const struct hl7_plan *plan,
                       const struct hl7_action *action, struct error *err);
bool hl7_perform_unmerge(struct worklist *worklist, const struct hl7_plan *plan,
                         const struct hl7_action *action, struct error *err);
/* The study of an order by its numbers; "" when none is known. */
bool hl7_find_ordered_study(struct worklist *worklist, const struct hl7_action *action,
                            struct slice accession, char study_uid[UID_SIZE], struct error *err);

bool hl7_tell_archive(struct archive *archive, const struct hl7_plan *plan,
                      const struct hl7_action *action, struct error *err);
bool hl7_separate_in_archive(struct archive *archive, const struct hl7_plan *plan,
                             const struct hl7_action *action, struct error *err);
bool hl7_store_report(struct archive *archive, struct worklist *worklist,
                      const struct hl7_message *message, const struct hl7_action *action,
                      struct error *err);
