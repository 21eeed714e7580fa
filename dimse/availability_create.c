/* SPDX-License-Identifier: MIT */
/* N-CREATE of the Instance Availability Notification as SCP (PS3.4 R.3.2.1): another archive tells
 * what it has. It is checked and logged; what we have ourselves is what we tell. */
#include "base/log.h"
#include "dicom/attribute_rules.h"
#include "dimse/attributes.h"
#include "dimse/service.h"

enum { NOTIFICATION_SIZE = 16 << 20 };

/* Table R.3.2-1. */
static const struct attribute_rule rules[] = {
    { 0, ATTRIBUTE_2, TAG_REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE },
    { 1, ATTRIBUTE_1, TAG_REFERENCED_SOP_CLASS_UID },
    { 1, ATTRIBUTE_1, TAG_REFERENCED_SOP_INSTANCE_UID },
    { 1, ATTRIBUTE_2, TAG_PERFORMED_WORKITEM_CODE_SEQUENCE },
    { 0, ATTRIBUTE_1, TAG_STUDY_INSTANCE_UID },
    { 0, ATTRIBUTE_1, TAG_REFERENCED_SERIES_SEQUENCE },
    { 1, ATTRIBUTE_1, TAG_REFERENCED_SOP_SEQUENCE },
    { 2, ATTRIBUTE_1, TAG_RETRIEVE_AE_TITLE },
    { 2, ATTRIBUTE_1, TAG_INSTANCE_AVAILABILITY },
    { 2, ATTRIBUTE_1, TAG_REFERENCED_SOP_CLASS_UID },
    { 2, ATTRIBUTE_1, TAG_REFERENCED_SOP_INSTANCE_UID },
    { 1, ATTRIBUTE_1, TAG_SERIES_INSTANCE_UID },
};

static struct status check(const struct dataset *dataset)
{
    struct rules_result result;
    struct status status = status_make(STATUS_SUCCESS, "");
    if (rules_check(dataset, rules, sizeof(rules) / sizeof(rules[0]), &result))
        return status;
    if (result.missing_count) {
        status = status_make(STATUS_MISSING_ATTRIBUTE, "a required attribute is missing");
        for (size_t i = 0; i < result.missing_count; i++)
            status_add_attribute(&status, result.missing[i]);
    } else {
        status = status_make(STATUS_MISSING_VALUE, "a required attribute has no value");
        for (size_t i = 0; i < result.empty_count; i++)
            status_add_attribute(&status, result.empty[i]);
    }
    return status;
}

static void note(const struct session *session, const struct dataset *dataset)
{
    char study[UID_SIZE] = "";
    dataset_uid(dataset, TAG_STUDY_INSTANCE_UID, study);
    log_info("dimse: instances are available elsewhere calling_ae=\"%s\" study=%s series=%zu",
             association_calling_ae(session->association), study,
             dataset_item_count(dataset, TAG_REFERENCED_SERIES_SEQUENCE));
}

bool availability_create(struct session *session, struct message *request, struct error *err)
{
    struct attributes attributes;
    struct error refusal = { .code = ERROR_NONE };
    struct status status;
    bool ok = true;
    if (attributes_receive(request, NOTIFICATION_SIZE, &attributes, &refusal, err)) {
        status = check(attributes.dataset);
        if (status.code == STATUS_SUCCESS)
            note(session, attributes.dataset);
        attributes_release(&attributes);
    } else if (refusal.code != ERROR_NONE) {
        ok = message_drain(request, err);
        status = status_make(refusal.code == ERROR_LIMIT ? STATUS_RESOURCE_LIMITATION
                                                         : STATUS_PROCESSING_FAILURE,
                             refusal.message);
    } else {
        return false;
    }
    if (ok && status.code != STATUS_SUCCESS) {
        session->failed++;
        session_note_refusal(session, request, &status);
    }
    /* The UID of one that has none is ours to give (PS3.7 10.1.5.1.3). */
    if (ok && status.code == STATUS_SUCCESS && !request->command.sop_instance[0])
        uid_make(request->command.sop_instance);
    return ok && message_respond(request, &status, err);
}
