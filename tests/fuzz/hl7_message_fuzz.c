/* SPDX-License-Identifier: MIT */
/* The HL7 v2 parser and the acknowledgement of what it refuses. Parts lie within their wholes,
 * texts are valid UTF-8, and an acknowledgement of any header is a message again. */
#include <stdint.h>
#include <stdlib.h>

#include "dicom/utf8.h"
#include "hl7/acknowledge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_part(struct slice part, struct slice whole)
{
    if (part.size && (part.data < whole.data || part.data + part.size > whole.data + whole.size))
        abort();
}

static void check_field(const struct hl7_message *message, const struct hl7_segment *segment,
                        unsigned number)
{
    struct slice field = hl7_field(message, segment, number);
    struct buffer text = buffer_up_to(1 << 20);
    check_part(field, segment->bytes);
    for (unsigned i = 1; i <= hl7_repetitions(message, field) && i < 4; i++) {
        struct slice repetition = hl7_repetition(message, field, i);
        struct slice component = hl7_component(message, repetition, 1 + number % 5);
        check_part(repetition, field);
        check_part(component, repetition);
        check_part(hl7_subcomponent(message, component, 1 + number % 3), component);
        hl7_unescape(message, component, &text);
    }
    hl7_unescape(message, field, &text);
    if (!utf8_is_valid(buffer_slice(&text)))
        abort();
    buffer_release(&text);
}

static void check_answer(struct slice bytes, const struct hl7_fault *fault)
{
    struct hl7_header header;
    struct hl7_header again;
    struct buffer out = buffer_up_to(HL7_ANSWER_LIMIT);
    if (hl7_header_read(bytes, &header)) {
        struct hl7_answers answers = hl7_answers_of(&header, fault);
        const struct hl7_acknowledgement what = { .answer = answers.application,
                                                  .faults = fault,
                                                  .fault_count = fault != NULL,
                                                  .control_id = "1" };
        hl7_acknowledge(&header, &what, &out);
        if (out.overflowed || !hl7_header_read(buffer_slice(&out), &again) ||
            memcmp(&again.separators, &header.separators, sizeof(again.separators)) != 0 ||
            !slice_equal(again.fields[5], slice_take(header.fields[3], 250)))
            abort();
    }
    buffer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hl7_message message;
    struct hl7_fault fault = { 0 };
    struct slice bytes = slice_of(data, size);
    if (!hl7_message_parse(bytes, NULL, &message, &fault)) {
        if (fault.code == HL7_ACCEPTED)
            abort();
        check_answer(bytes, &fault);
        return 0;
    }
    check_answer(bytes, NULL);
    for (size_t i = 0; i < message.count && i < 64; i++)
        for (unsigned field = 0; field < 24; field++)
            check_field(&message, &message.segments[i], field);
    hl7_message_release(&message);
    return 0;
}
