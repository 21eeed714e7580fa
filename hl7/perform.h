/* SPDX-License-Identifier: MIT */
#pragma once
/* Does what a plan says to worklist and archive. Each action is done as a whole or not at all, and
 * doing one again changes nothing, so that a sender who heard no answer may send again.
 * Thread-safe.
 */

#include "hl7/plan.h"

struct archive;
struct worklist;

/* What became of what was told. */
enum hl7_effect {
    HL7_CHANGED,
    HL7_REPEATED, /* it was known already */
    HL7_STALE,    /* something newer was heard before */
    HL7_EFFECTS,
};
struct hl7_performance {
    size_t effects[HL7_EFFECTS]; /* how many actions of each */
    struct hl7_notes *notes;     /* more of them are added */
};

/* Durable when it returns. False with a fault. */
bool hl7_perform(struct archive *archive, struct worklist *worklist, const struct hl7_plan *plan,
                 const struct hl7_message *message, struct hl7_performance *performance,
                 struct hl7_fault *fault);

/* The two sides, each with names of its own for like things: perform_worklist.c, perform_archive.c.
 */
bool hl7_perform_order(struct worklist *worklist, const struct hl7_plan *plan,
                       const struct hl7_action *action, enum hl7_effect *effect, struct error *err);
bool hl7_perform_patient(struct worklist *worklist, const struct hl7_plan *plan,
                         const struct hl7_action *action, enum hl7_effect *effect,
                         struct error *err);
bool hl7_perform_merge(struct worklist *worklist, const struct hl7_plan *plan,
                       const struct hl7_action *action, enum hl7_effect *effect, struct error *err);
bool hl7_perform_unmerge(struct worklist *worklist, const struct hl7_plan *plan,
                         const struct hl7_action *action, enum hl7_effect *effect,
                         struct error *err);
/* The study of an order by its numbers; "" when none is known. ERROR_MISMATCH when it is another
 * patient's. */
bool hl7_find_ordered_study(struct worklist *worklist, const struct hl7_action *action,
                            struct slice accession, char study_uid[UID_SIZE], struct error *err);

/* *is_strange: what is stored under this number is of another issuer. */
bool hl7_tell_archive(struct archive *archive, const struct hl7_plan *plan,
                      const struct hl7_action *action, bool *is_strange, enum hl7_effect *effect,
                      struct error *err);
bool hl7_separate_in_archive(struct archive *archive, const struct hl7_plan *plan,
                             const struct hl7_action *action, enum hl7_effect *effect,
                             struct error *err);
bool hl7_store_report(struct archive *archive, struct worklist *worklist,
                      const struct hl7_message *message, const struct hl7_action *action,
                      enum hl7_effect *effect, struct error *err);
/* Of two things that were told at once: what changed something tells more than what did not. */
enum hl7_effect hl7_effect_of(enum hl7_effect one, enum hl7_effect other);
