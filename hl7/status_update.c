/* SPDX-License-Identifier: MIT */
#include "hl7/status_update.h"

#include <time.h>

#include "dicom/tag.h"

enum {
    VALUE_LIMIT = 64 << 10,
    MESSAGE_LIMIT = 256 << 10,
    STAMP_SIZE = 32,
    STEP_SEQUENCE = 0x00400100,
};

struct writer {
    const struct dataset *entry;
    const struct dataset *item; /* of the step; may be NULL */
    struct buffer *out;
};

/* What separates becomes an escape (HL7 v2.5.1 2.7); `kept` (0: none) separates indeed. */
static void append_escaped(struct buffer *out, struct slice text, char kept)
{
    static const char separators[] = "|^~\\&";
    static const char names[] = "FSRET";
    for (size_t i = 0; i < text.size; i++) {
        char c = (char)text.data[i];
        const char *separator = c && c != kept ? strchr(separators, c) : NULL;
        if (separator)
            buffer_append_format(out, "\\%c\\", names[separator - separators]);
        else
            buffer_append_byte(out, (uint8_t)c < ' ' ? ' ' : text.data[i]);
    }
}

/* The first value of an attribute. */
static struct buffer value_of(const struct dataset *dataset, uint32_t tag)
{
    struct buffer text = buffer_up_to(VALUE_LIMIT);
    if (dataset)
        dataset_text(dataset, tag, &text);
    const uint8_t *end = text.size ? memchr(text.data, '\\', text.size) : NULL;
    if (end)
        text.size = (size_t)(end - text.data);
    return text;
}

static void append_value(const struct writer *writer, const struct dataset *dataset, uint32_t tag)
{
    struct buffer text = value_of(dataset, tag);
    append_escaped(writer->out, buffer_slice(&text), 0);
    buffer_release(&text);
}

/* PN as XPN: prefix and suffix change places. The alphabetic group. */
static void append_name(const struct writer *writer, uint32_t tag)
{
    static const size_t order[] = { 0, 1, 2, 4, 3 };
    struct buffer text = value_of(writer->entry, tag);
    struct slice parts[5] = { { NULL, 0 } };
    struct slice rest = buffer_slice(&text);
    size_t count = 0;
    for (size_t i = 0; i < rest.size; i++)
        if (rest.data[i] == '=')
            rest.size = i;
    for (size_t i = 0; i < 5; i++) {
        const uint8_t *end = rest.size ? memchr(rest.data, '^', rest.size) : NULL;
        parts[i] = slice_take(rest, end ? (size_t)(end - rest.data) : rest.size);
        rest = slice_skip(rest, parts[i].size + 1);
    }
    for (size_t i = 0; i < 5; i++)
        if (parts[order[i]].size)
            count = i + 1;
    for (size_t i = 0; i < count; i++) {
        if (i)
            buffer_append_byte(writer->out, '^');
        append_escaped(writer->out, parts[order[i]], 0);
    }
    buffer_release(&text);
}

static void append_number(const struct writer *writer, uint32_t number, uint32_t assigner)
{
    struct dataset *item = dataset_item(writer->entry, assigner, 0);
    struct buffer name = value_of(item, 0x00400031);
    append_value(writer, writer->entry, number);
    if (name.size) {
        buffer_append_byte(writer->out, '^');
        append_escaped(writer->out, buffer_slice(&name), 0);
    }
    buffer_release(&name);
    dataset_close(item);
}

static void append_code(const struct writer *writer)
{
    struct dataset *item = dataset_item(writer->entry, 0x00321064, 0);
    struct buffer meaning = value_of(item, 0x00080104);
    if (!meaning.size) {
        buffer_release(&meaning);
        meaning = value_of(writer->entry, 0x00321060);
    }
    append_value(writer, item, 0x00080100);
    buffer_append_byte(writer->out, '^');
    append_escaped(writer->out, buffer_slice(&meaning), 0);
    buffer_append_byte(writer->out, '^');
    append_value(writer, item, 0x00080102);
    buffer_release(&meaning);
    dataset_close(item);
}

static void skip(const struct writer *writer, unsigned fields)
{
    while (fields--)
        buffer_append_byte(writer->out, '|');
}

static void append_order(const struct writer *writer)
{
    skip(writer, 1);
    append_number(writer, 0x00402016, 0x00400026);
    skip(writer, 1);
    append_number(writer, 0x00402017, 0x00400027);
}

static void append_segments(const struct writer *writer, const struct hl7_update *update,
                            const char *stamp)
{
    struct buffer *out = writer->out;
    buffer_append_text(out, "PID|1||");
    append_value(writer, writer->entry, TAG_PATIENT_ID);
    buffer_append_text(out, "^^^");
    append_value(writer, writer->entry, TAG_ISSUER_OF_PATIENT_ID);
    skip(writer, 2);
    append_name(writer, TAG_PATIENT_NAME);
    skip(writer, 2);
    append_value(writer, writer->entry, TAG_PATIENT_BIRTH_DATE);
    skip(writer, 1);
    append_value(writer, writer->entry, TAG_PATIENT_SEX);
    buffer_append_text(out, "\rORC|SC");
    append_order(writer);
    buffer_append_format(out, "||%s||||%s\rOBR|1", update->status, stamp);
    append_order(writer);
    skip(writer, 1);
    append_code(writer);
    skip(writer, 14); /* to OBR-18 */
    append_value(writer, writer->entry, TAG_ACCESSION_NUMBER);
    skip(writer, 1);
    append_value(writer, writer->entry, TAG_REQUESTED_PROCEDURE_ID);
    skip(writer, 1);
    append_value(writer, writer->item, TAG_SCHEDULED_PROCEDURE_STEP_ID);
    skip(writer, 2); /* to OBR-22 */
    buffer_append_text(out, stamp);
    skip(writer, 2);
    append_value(writer, writer->item, TAG_MODALITY);
    buffer_append_text(out, "\rZDS|");
    append_value(writer, writer->entry, TAG_STUDY_INSTANCE_UID);
    buffer_append_text(out, "^HOUNSFIELD^Application^DICOM\r");
}

void hl7_update_write(const struct hl7_update *update, struct buffer *out)
{
    struct buffer body = buffer_up_to(MESSAGE_LIMIT);
    struct dataset *item = dataset_item(update->step, STEP_SEQUENCE, 0);
    const struct writer writer = { update->step, item, &body };
    struct tm at;
    char stamp[STAMP_SIZE];
    time_t seconds = (time_t)(update->at_ms / 1000);
    localtime_r(&seconds, &at);
    strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S%z", &at);
    append_segments(&writer, update, stamp);
    buffer_append_text(out, "MSH|^~\\&|HOUNSFIELD|");
    append_escaped(out, slice_text(update->our_title), 0);
    buffer_append_byte(out, '|');
    append_escaped(out, slice_text(update->application), '^');
    buffer_append_byte(out, '|');
    append_escaped(out, slice_text(update->facility), '^');
    buffer_append_format(out, "|%s||ORM^O01|%s|P|2.3.1%s\r", stamp, update->control_id,
                         slice_is_ascii(buffer_slice(&body)) ? "" : "||||||UNICODE UTF-8");
    buffer_append(out, buffer_slice(&body));
    out->overflowed = out->overflowed || body.overflowed;
    dataset_close(item);
    buffer_release(&body);
}
