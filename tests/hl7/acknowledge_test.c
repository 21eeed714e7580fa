/* SPDX-License-Identifier: MIT */
#include "hl7/acknowledge.h"

#include "tests/test.h"

static void check_answer(const char *message, enum hl7_answer answer, const struct hl7_fault *fault,
                         const char *expected)
{
    struct hl7_header header;
    struct buffer out = buffer_up_to(HL7_ANSWER_LIMIT);
    CHECK(hl7_header_read(slice_text(message), &header));
    hl7_acknowledge(
        &header,
        &(struct hl7_acknowledgement){
            .answer = answer, .faults = fault, .fault_count = fault != NULL, .control_id = "OURS" },
        &out);
    /* The time is of its own. */
    char *text = (char *)(uintptr_t)buffer_text(&out);
    char *stamp = strstr(text, "1970");
    CHECK(stamp || (stamp = strstr(text, "1969")));
    memmove(stamp, stamp + sizeof("19700101000000+0000") - 1,
            strlen(stamp + sizeof("19700101000000+0000") - 1) + 1);
    for (char *c = text; *c; c++)
        if (*c == '\r')
            *c = '\n';
    CHECK_TEXT(text, expected);
    buffer_release(&out);
}

TEST(HL7_01_an_acknowledgement_goes_back_to_who_sent_and_names_the_message)
{
    check_answer("MSH|^~\\&|HIS|CLINIC|PACS|RAD|20260102||ORM^O01|4711|P|2.3.1\rPID|1\r",
                 HL7_APPLICATION_ACCEPT, NULL,
                 "MSH|^~\\&|PACS|RAD|HIS|CLINIC|||ACK^O01|OURS|P|2.3.1\nMSA|AA|4711\n");
    check_answer("MSH|^~\\&|HIS|CLINIC|||20260102||ADT^A08^ADT_A01|4711|P|2.5.1||||||8859/1\r",
                 HL7_APPLICATION_ACCEPT, NULL,
                 "MSH|^~\\&|||HIS|CLINIC|||ACK^A08^ACK|OURS|P|2.5.1||||||8859/1\nMSA|AA|4711\n");
}

TEST(HL7_09_what_was_wrong_is_told_by_segment_field_and_code)
{
    struct hl7_fault fault;
    hl7_fault_set(&fault, HL7_FIELD_MISSING, "PID", 1, 3, "the patient has no ID (PID-3)");
    check_answer("MSH|^~\\&|HIS|||||||1|P|2.5.1\r", HL7_APPLICATION_ERROR, &fault,
                 "MSH|^~\\&|||HIS||||ACK|OURS|P|2.5.1\n"
                 "MSA|AE|1|the patient has no ID (PID-3)\n"
                 "ERR||PID^1^3|101^Required field missing^HL70357|E||||"
                 "the patient has no ID (PID-3)\n");
    check_answer("MSH|^~\\&|HIS|||||||1|P|2.3.1\r", HL7_APPLICATION_ERROR, &fault,
                 "MSH|^~\\&|||HIS||||ACK|OURS|P|2.3.1\n"
                 "MSA|AE|1|the patient has no ID (PID-3)\n"
                 "ERR|PID^1^3^101&Required field missing&HL70357\n");
}

TEST(HL7_08_separators_in_our_texts_are_escaped_in_those_of_the_message)
{
    struct hl7_fault fault;
    hl7_fault_set(&fault, HL7_UNSUPPORTED_VERSION, NULL, 0, 0, "no #a*b|c");
    check_answer("MSH#*!?%#HIS#######1#P#9\r", HL7_APPLICATION_REJECT, &fault,
                 "MSH#*!?%###HIS####ACK#OURS#P#9\nMSA#AR#1#no ?F?a?S?b|c\n"
                 "ERR###203*Unsupported version id*HL70357#E####no ?F?a?S?b|c\n");
}

static void check_answers(const char *conditions, const struct hl7_fault *fault,
                          const char *expected)
{
    struct hl7_header header;
    struct buffer text = buffer_up_to(1000);
    buffer_append_format(&text, "MSH|^~\\&|||||||A|1|P|2.5|||%s\r", conditions);
    CHECK(hl7_header_read(buffer_slice(&text), &header));
    struct hl7_answers answers = hl7_answers_of(&header, fault);
    buffer_clear(&text);
    buffer_append_format(&text, "%s %s", hl7_answer_name(answers.accept),
                         hl7_answer_name(answers.application));
    CHECK_TEXT(buffer_text(&text), expected);
    buffer_release(&text);
}

TEST(HL7_10_in_enhanced_mode_the_sender_gets_what_it_asked_for)
{
    struct hl7_fault error;
    struct hl7_fault rejection;
    struct hl7_fault passing;
    hl7_fault_set(&error, HL7_FIELD_MISSING, "PID", 1, 3, "x");
    hl7_fault_set(&rejection, HL7_UNSUPPORTED_MESSAGE, NULL, 0, 0, "x");
    hl7_fault_set(&passing, HL7_INTERNAL_ERROR, NULL, 0, 0, "x");
    passing.is_transient = true;
    check_answers("", NULL, "- AA");
    check_answers("", &error, "- AE");
    check_answers("", &rejection, "- AR");
    check_answers("AL|AL", NULL, "CA AA");
    check_answers("AL|AL", &error, "CA AE");
    check_answers("AL|AL", &rejection, "CR -");
    check_answers("AL|AL", &passing, "CE -");
    check_answers("AL|NE", NULL, "CA -");
    check_answers("AL|NE", &error, "CE -");
    check_answers("ER|NE", NULL, "- -");
    check_answers("ER|NE", &rejection, "CR -");
    check_answers("NE|AL", NULL, "- AA");
    check_answers("NE|AL", &rejection, "- AR");
    check_answers("NE|NE", &error, "- -");
    check_answers("SU|ER", NULL, "CA -");
    check_answers("SU|ER", &error, "CA AE");
    check_answers("|ER", &error, "- AE");
    check_answers("AL|SU", NULL, "CA AA");
}
