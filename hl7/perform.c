/* SPDX-License-Identifier: MIT */
#include "hl7/perform.h"

#include "base/log.h"
#include "dicom/tag.h"

/* What the layers below say, in the words of table 0357. */
static bool blame(const struct hl7_action *action, const struct error *err, struct hl7_fault *fault)
{
    static const struct {
        enum error_code error;
        enum hl7_code code;
    } codes[] = {
        { ERROR_INVALID, HL7_DATA_TYPE },      { ERROR_MISMATCH, HL7_DUPLICATE_KEY },
        { ERROR_NOT_FOUND, HL7_UNKNOWN_KEY },  { ERROR_GONE, HL7_UNKNOWN_KEY },
        { ERROR_CONFLICT, HL7_RECORD_LOCKED }, { ERROR_LIMIT, HL7_DATA_TYPE },
        { ERROR_UNSUPPORTED, HL7_DATA_TYPE },
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].error == err->code)
            return hl7_fault_set(fault, codes[i].code, action->segment, action->sequence, 0, "%s",
                                 err->message);
    log_error("hl7: not done code=%s why=\"%s\"", error_name(err->code), err->message);
    hl7_fault_set(fault, HL7_INTERNAL_ERROR, NULL, 0, 0, "%s: send it again later",
                  error_name(err->code));
    fault->is_transient = true;
    return false;
}

enum hl7_effect hl7_effect_of(enum hl7_effect one, enum hl7_effect other)
{
    if (one == HL7_CHANGED || other == HL7_CHANGED)
        return HL7_CHANGED;
    return one == HL7_STALE ? one : other;
}

/* What is told of a patient is no error where the images of that number name another issuer: to us
 * they are another patient's. But it may be that they were meant. */
static void note_strangers(const struct hl7_action *action, struct hl7_notes *notes)
{
    bool is_merge = action->kind == HL7_DO_MERGE;
    struct hl7_fault note;
    hl7_fault_set(&note, HL7_UNKNOWN_KEY, action->segment, action->sequence, is_merge ? 1 : 3,
                  "%s.4: what is stored under this number is of another issuer, and stays as it is",
                  is_merge ? "MRG-1" : "PID-3");
    note.component = 4;
    note.is_news = true;
    hl7_note(notes, &note);
}

static bool tell_archive(struct archive *archive, const struct hl7_plan *plan,
                         const struct hl7_action *action, struct hl7_notes *notes,
                         enum hl7_effect *effect, struct error *err)
{
    bool is_strange;
    if (!hl7_tell_archive(archive, plan, action, &is_strange, effect, err))
        return false;
    if (is_strange)
        note_strangers(action, notes);
    return true;
}

static bool perform(struct archive *archive, struct worklist *worklist, const struct hl7_plan *plan,
                    const struct hl7_action *action, const struct hl7_message *message,
                    struct hl7_performance *performance, struct error *err)
{
    /* Of worklist and archive; what one of them has nothing to do with was known already. */
    enum hl7_effect effects[2] = { HL7_REPEATED, HL7_REPEATED };
    bool ok = true;
    switch (action->kind) {
    case HL7_DO_ORDER:
        ok = hl7_perform_order(worklist, plan, action, &effects[0], err);
        break;
    case HL7_DO_PATIENT:
        ok = hl7_perform_patient(worklist, plan, action, &effects[0], err) &&
             tell_archive(archive, plan, action, performance->notes, &effects[1], err);
        break;
    case HL7_DO_MERGE:
        ok = hl7_perform_merge(worklist, plan, action, &effects[0], err) &&
             tell_archive(archive, plan, action, performance->notes, &effects[1], err);
        break;
    case HL7_DO_UNMERGE:
        ok = hl7_perform_unmerge(worklist, plan, action, &effects[0], err) &&
             hl7_separate_in_archive(archive, plan, action, &effects[1], err);
        break;
    case HL7_DO_REPORT:
        ok = hl7_store_report(archive, worklist, message, action, &effects[1], err);
        break;
    }
    performance->effects[hl7_effect_of(effects[0], effects[1])]++;
    return ok;
}

bool hl7_perform(struct archive *archive, struct worklist *worklist, const struct hl7_plan *plan,
                 const struct hl7_message *message, struct hl7_performance *performance,
                 struct hl7_fault *fault)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct error err = { .code = ERROR_NONE };
        if (!perform(archive, worklist, plan, &plan->actions[i], message, performance, &err))
            return blame(&plan->actions[i], &err, fault);
    }
    return true;
}
