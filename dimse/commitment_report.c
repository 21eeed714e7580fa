/* SPDX-License-Identifier: MIT */
#include "dimse/commitment_report.h"

#include <stdlib.h>

#include "dicom/encode.h"
#include "dimse/message.h"

enum {
    EVENT_ALL_COMMITTED = 1,
    EVENT_FAILURES_EXIST = 2,
    /* An item with two UIDs and a reason takes less than this. */
    ITEM_SIZE = 256,
};

void commitment_report_free(struct commitment_report *report)
{
    if (!report)
        return;
    commitment_result_release(&report->result);
    free(report);
}

static void encode_references(const struct commitment_report *report, uint32_t tag, bool failed,
                              struct encoder *encoder)
{
    struct slice rest = buffer_slice(&report->result.references);
    struct reference reference = { "", "" };
    encode_sequence_begin(encoder, tag);
    for (size_t i = 0; references_next(&rest, &reference) && i < report->result.count; i++) {
        if (failed != (report->result.reasons[i] != 0))
            continue;
        encode_item_begin(encoder);
        encode_text(encoder, TAG_REFERENCED_SOP_CLASS_UID, VR_UI, reference.sop_class);
        encode_text(encoder, TAG_REFERENCED_SOP_INSTANCE_UID, VR_UI, reference.sop_instance);
        if (failed)
            encode_u16(encoder, TAG_FAILURE_REASON, report->result.reasons[i]);
        encode_item_end(encoder);
    }
    encode_sequence_end(encoder);
}

/* Table J.3-2. The Retrieve AE Title stands at the top only, for all. */
static void encode(const struct commitment_report *report, struct encoder *encoder)
{
    if (report->result.failed < report->result.count)
        encode_text(encoder, TAG_RETRIEVE_AE_TITLE, VR_AE, report->retrieve_ae);
    encode_text(encoder, TAG_TRANSACTION_UID, VR_UI, report->transaction);
    if (report->result.failed)
        encode_references(report, TAG_FAILED_SOP_SEQUENCE, true, encoder);
    if (report->result.failed < report->result.count)
        encode_references(report, TAG_REFERENCED_SOP_SEQUENCE, false, encoder);
}

bool commitment_report_send(const struct commitment_report *report, struct association *association,
                            uint8_t context_id, uint16_t message_id, struct error *err)
{
    const struct presentation_context *context = association_context(association, context_id);
    struct command command = {
        .field = N_EVENT_REPORT_RQ,
        .message_id = message_id,
        .has_data_set = true,
        .sop_class = UID_STORAGE_COMMITMENT,
        .sop_instance = UID_COMMITMENT_INSTANCE,
        .type_id = report->result.failed ? EVENT_FAILURES_EXIST : EVENT_ALL_COMMITTED,
    };
    struct buffer bytes = buffer_up_to(COMMAND_LIMIT);
    struct buffer data = buffer_up_to(1024 + report->result.count * ITEM_SIZE);
    struct encoder encoder = { &data, context->syntax->explicit_vr };
    command_encode_normalized(&command, &bytes);
    encode(report, &encoder);
    struct slice content = buffer_slice(&data);
    bool ok = buffer_check(&data, "commitment report", err) &&
              message_send(association, context_id, buffer_slice(&bytes), &content, err);
    buffer_release(&bytes);
    buffer_release(&data);
    return ok;
}
