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

static bool perform(struct archive *archive, struct worklist *worklist, const struct hl7_plan *plan,
                    const struct hl7_action *action, const struct hl7_message *message,
                    struct error *err)
{
    switch (action->kind) {
    case HL7_DO_ORDER:
        return hl7_perform_order(worklist, plan, action, err);
    case HL7_DO_PATIENT:
        return hl7_perform_patient(worklist, plan, action, err) &&
               hl7_tell_archive(archive, plan, action, err);
    case HL7_DO_MERGE:
        return hl7_perform_merge(worklist, plan, action, err) &&
               hl7_tell_archive(archive, plan, action, err);
    case HL7_DO_UNMERGE:
        return hl7_perform_unmerge(worklist, plan, action, err) &&
               hl7_separate_in_archive(archive, plan, action, err);
    case HL7_DO_REPORT:
        return hl7_store_report(archive, worklist, message, action, err);
    }
    return true;
}

bool hl7_perform(struct archive *archive, struct worklist *worklist, const struct hl7_plan *plan,
                 const struct hl7_message *message, struct hl7_fault *fault)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct error err = { .code = ERROR_NONE };
        if (!perform(archive, worklist, plan, &plan->actions[i], message, &err))
            return blame(&plan->actions[i], &err, fault);
    }
    return true;
}
