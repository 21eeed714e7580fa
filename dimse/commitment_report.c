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

static int compare(const void *a, const void *b)
{
    const struct reference *x = a;
    const struct reference *y = b;
    int order = strcmp(x->sop_class, y->sop_class);
    return order ? order : strcmp(x->sop_instance, y->sop_instance);
}

void references_write(struct reference *references, size_t count, struct buffer *text)
{
    const struct reference *before = NULL;
    qsort(references, count, sizeof(*references), compare);
    for (size_t i = 0; i < count; before = &references[i++]) {
        const struct reference *reference = &references[i];
        if (before && compare(before, reference) == 0)
            continue;
        if (!before || strcmp(before->sop_class, reference->sop_class) != 0) {
            buffer_append_byte(text, '=');
            buffer_append_text(text, reference->sop_class);
            buffer_append_byte(text, '\n');
        }
        buffer_append_text(text, reference->sop_instance);
        buffer_append_byte(text, '\n');
    }
}

bool references_next(struct slice *text, struct reference *reference)
{
    while (text->size) {
        const uint8_t *end = memchr(text->data, '\n', text->size);
        size_t size = end ? (size_t)(end - text->data) : text->size;
        struct slice line = slice_take(*text, size);
        *text = slice_skip(*text, end ? size + 1 : size);
        if (line.size && line.data[0] == '=')
            uid_copy(slice_skip(line, 1), reference->sop_class);
        else if (uid_copy(line, reference->sop_instance))
            return true;
    }
    return false;
}

void commitment_report_free(struct commitment_report *report)
{
    if (!report)
        return;
    buffer_release(&report->references);
    free(report->reasons);
    free(report);
}

static void encode_references(const struct commitment_report *report, uint32_t tag, bool failed,
                              struct encoder *encoder)
{
    struct slice rest = buffer_slice(&report->references);
    struct reference reference = { "", "" };
    encode_sequence_begin(encoder, tag);
    for (size_t i = 0; references_next(&rest, &reference) && i < report->count; i++) {
        if (failed != (report->reasons[i] != 0))
            continue;
        encode_item_begin(encoder);
        encode_text(encoder, TAG_REFERENCED_SOP_CLASS_UID, VR_UI, reference.sop_class);
        encode_text(encoder, TAG_REFERENCED_SOP_INSTANCE_UID, VR_UI, reference.sop_instance);
        if (failed)
            encode_u16(encoder, TAG_FAILURE_REASON, report->reasons[i]);
        encode_item_end(encoder);
    }
    encode_sequence_end(encoder);
}

/* Table J.3-2. The Retrieve AE Title stands at the top only, for all. */
static void encode(const struct commitment_report *report, struct encoder *encoder)
{
    if (report->failed < report->count)
        encode_text(encoder, TAG_RETRIEVE_AE_TITLE, VR_AE, report->retrieve_ae);
    encode_text(encoder, TAG_TRANSACTION_UID, VR_UI, report->transaction);
    if (report->failed)
        encode_references(report, TAG_FAILED_SOP_SEQUENCE, true, encoder);
    if (report->failed < report->count)
        encode_references(report, TAG_REFERENCED_SOP_SEQUENCE, false, encoder);
}

bool commitment_report_send(const struct commitment_report *report, struct association *association,
                            uint8_t context_id, uint16_t message_id, struct error *err)
{
    const struct presentation_context *context = association_context(association, context_id);
    struct command command = {
        .message_id = message_id,
        .sop_class = UID_STORAGE_COMMITMENT,
        .sop_instance = UID_COMMITMENT_INSTANCE,
        .type_id = report->failed ? EVENT_FAILURES_EXIST : EVENT_ALL_COMMITTED,
    };
    struct buffer bytes = buffer_up_to(COMMAND_LIMIT);
    struct buffer data = buffer_up_to(1024 + report->count * ITEM_SIZE);
    struct encoder encoder = { &data, context->syntax->explicit_vr };
    command_encode_event(&command, &bytes);
    encode(report, &encoder);
    struct slice content = buffer_slice(&data);
    bool ok = buffer_check(&data, "commitment report", err) &&
              message_send(association, context_id, buffer_slice(&bytes), &content, err);
    buffer_release(&bytes);
    buffer_release(&data);
    return ok;
}
