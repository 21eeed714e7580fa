/* SPDX-License-Identifier: MIT */
#include "hl7/message.h"

#include <stdlib.h>

#include "base/memory.h"
#include "tests/test.h"

static struct hl7_message parsed(const char *text)
{
    struct hl7_message message;
    struct hl7_fault fault = { 0 };
    if (!hl7_message_parse(slice_text(text), NULL, &message, &fault))
        test_fail(__FILE__, __LINE__, "%s", fault.text);
    return message;
}

static enum hl7_code refused(struct slice bytes)
{
    struct hl7_message message;
    struct hl7_fault fault = { 0 };
    if (!hl7_message_parse(bytes, NULL, &message, &fault))
        return fault.code;
    hl7_message_release(&message);
    return HL7_ACCEPTED;
}

static void check_value(const struct hl7_message *message, const char *segment, unsigned field,
                        unsigned component, const char *expected)
{
    struct buffer text = buffer_up_to(4096);
    const struct hl7_segment *found = hl7_find(message, segment, NULL);
    hl7_unescape(message, hl7_value(message, found, field, component), &text);
    CHECK_TEXT(buffer_text(&text), expected);
    buffer_release(&text);
}

TEST(segments_fields_repetitions_components_and_subcomponents_are_found)
{
    struct hl7_message message = parsed("MSH|^~\\&|HIS|A^B|||20260102||ADT^A08^ADT_A01|7|P|2.5.1\r"
                                        "PID|1||11^^^X&1.2&ISO~22^^^Y||DOE^JANE^^^DR\r"
                                        "OBX|1|TX|a\r"
                                        "OBX|2|TX|b\r");
    const struct hl7_segment *pid = hl7_find(&message, "PID", NULL);
    const struct hl7_segment *first = hl7_find(&message, "OBX", NULL);
    const struct hl7_segment *second = hl7_find(&message, "OBX", first);
    struct slice ids = hl7_field(&message, pid, 3);
    struct slice other = hl7_repetition(&message, ids, 2);
    CHECK_INT(message.count, 4);
    check_value(&message, "MSH", 1, 0, "|");
    check_value(&message, "MSH", 2, 0, "^~\\&");
    check_value(&message, "MSH", 4, 2, "B");
    check_value(&message, "MSH", 9, 2, "A08");
    check_value(&message, "MSH", 12, 0, "2.5.1");
    CHECK_INT(hl7_repetitions(&message, ids), 2);
    CHECK(slice_equals_text(hl7_component(&message, other, 1), "22"));
    CHECK(slice_equals_text(hl7_component(&message, other, 4), "Y"));
    CHECK(!hl7_repetition(&message, ids, 3).size);
    CHECK(slice_equals_text(hl7_subcomponent(&message, hl7_value(&message, pid, 3, 4), 2), "1.2"));
    check_value(&message, "PID", 5, 5, "DR");
    check_value(&message, "PID", 5, 6, "");
    check_value(&message, "PID", 77, 1, "");
    CHECK_INT(first->sequence, 1);
    CHECK_INT(second->sequence, 2);
    CHECK(!hl7_find(&message, "OBX", second));
    hl7_message_release(&message);
}

TEST(HL7_08_other_separators_than_the_usual_are_honoured)
{
    struct hl7_message message = parsed("MSH#*!?%#HIS####20260102##ADT*A08#7#P#2.5\r"
                                        "PID###11***X!22##D|O^E*J?F?A?S?N?R?E?T?\r");
    check_value(&message, "MSH", 2, 0, "*!?%");
    check_value(&message, "MSH", 9, 2, "A08");
    check_value(&message, "PID", 5, 1, "D|O^E");
    check_value(&message, "PID", 5, 2, "J#A*N!E%");
    CHECK_INT(hl7_repetitions(&message, hl7_field(&message, hl7_find(&message, "PID", NULL), 3)),
              2);
    hl7_message_release(&message);
}

TEST(HL7_08_escapes_are_resolved_and_what_is_none_is_kept)
{
    struct hl7_message message = parsed("MSH|^~\\&|||||||A|1||2.5||||||8859/1\r"
                                        "ZZZ|\\F\\\\S\\\\T\\\\R\\\\E\\|\\X4A6f\\\\XE9\\|"
                                        "a\\H\\b\\N\\c|x\\.br\\y\\.in+4\\z|a\\b|\\Q\\"
                                        "|\\X4\\|\\\\\r");
    check_value(&message, "ZZZ", 1, 0, "|^&~\\");
    check_value(&message, "ZZZ", 2, 0, "Jo\xC3\xA9");
    check_value(&message, "ZZZ", 3, 0, "abc");
    check_value(&message, "ZZZ", 4, 0, "x\nyz");
    check_value(&message, "ZZZ", 5, 0, "a\\b");
    check_value(&message, "ZZZ", 6, 0, "\\Q\\");
    check_value(&message, "ZZZ", 7, 0, "\\X4\\");
    check_value(&message, "ZZZ", 8, 0, "\\\\");
    hl7_message_release(&message);
}

TEST(HL7_08_character_sets_of_MSH_18_become_UTF_8)
{
    struct hl7_message message = parsed(
        "MSH|^~\\&|||||||A|1||2.5||||||8859/1\rPID|||||M\xFCLLER\r");
    check_value(&message, "PID", 5, 1, "M\xC3\xBCLLER");
    hl7_message_release(&message);
    message = parsed("MSH|^~\\&|||||||A|1||2.5||||||UNICODE UTF-8\rPID|||||M\xC3\xBCLLER\r");
    check_value(&message, "PID", 5, 1, "M\xC3\xBCLLER");
    hl7_message_release(&message);
    message = parsed("MSH|^~\\&|||||||A|1||2.5||||||8859/5\rPID|||||\xBB\xEE\xDA\r");
    check_value(&message, "PID", 5, 1, "\xD0\x9B\xD1\x8E\xD0\xBA");
    hl7_message_release(&message);
    /* Names in JIS X 0208, whose bytes are those of letters and separators. */
    message = parsed("MSH|^~\\&|||||||A|1||2.5||||||ASCII~ISO IR87\r"
                     "PID|||||Yamada^Tarou^^^^^L^A~\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B^^^^^L^I\r");
    struct slice names = hl7_field(&message, hl7_find(&message, "PID", NULL), 5);
    struct slice name = hl7_repetition(&message, names, 2);
    CHECK_INT(hl7_repetitions(&message, names), 2);
    CHECK(slice_equals_text(hl7_component(&message, name, 1), "\xE5\xB1\xB1\xE7\x94\xB0"));
    CHECK(slice_equals_text(hl7_component(&message, name, 2), "\xE5\xA4\xAA\xE9\x83\x8E"));
    hl7_message_release(&message);
    /* The second byte of a character of GB 18030 can be a separator's. */
    message = parsed("MSH|^~\\&|||||||A|1||2.5||||||GB 18030-2000\rPID|||||\x81\x5C^\x90\x7C\r");
    check_value(&message, "PID", 5, 1, "\xE4\xB9\x97");
    CHECK(hl7_value(&message, hl7_find(&message, "PID", NULL), 5, 2).size == 3);
    hl7_message_release(&message);
    /* The yen stands where the backslash does. */
    message = parsed("MSH|^~\\&|||||||A|1||2.5||||||ISO IR14\rPID|||||\xD4\xCF\xC0\xDE\\T\\\r");
    check_value(&message, "PID", 5, 1, "\xEF\xBE\x94\xEF\xBE\x8F\xEF\xBE\x80\xEF\xBE\x9E&");
    hl7_message_release(&message);
}

TEST(a_set_that_is_not_read_here_is_refused_and_named_by_its_field)
{
    struct hl7_message message;
    struct hl7_fault fault = { 0 };
    CHECK(!hl7_message_parse(slice_text("MSH|^~\\&|||||||A|1||2.5||||||UNICODE UTF-16\rPID|1\r"),
                             NULL, &message, &fault));
    CHECK_INT(fault.code, HL7_VALUE_NOT_FOUND);
    CHECK_TEXT(fault.segment, "MSH");
    CHECK_INT(fault.field, 18);
}

TEST(without_MSH_18_the_set_of_the_settings_counts)
{
    struct hl7_message message;
    struct hl7_fault fault;
    const char *text = "MSH|^~\\&|||||||A|1||2.5\rPID|||||\xBB\xEE\xDA\r";
    CHECK(hl7_message_parse(slice_text(text), "ISO_IR 144", &message, &fault));
    check_value(&message, "PID", 5, 1, "\xD0\x9B\xD1\x8E\xD0\xBA");
    hl7_message_release(&message);
}

TEST(line_feeds_end_segments_too)
{
    struct hl7_message message = parsed("MSH|^~\\&|||||||A|1||2.5\r\nPID|1\nPV1|1\r\n\r\n");
    CHECK_INT(message.count, 3);
    check_value(&message, "MSH", 12, 0, "2.5");
    hl7_message_release(&message);
}

TEST(HOS_46_what_is_no_message_is_refused)
{
    static const char nul[] = "MSH|^~\\&|||||||A|1||2.5\rPID|1\0|2\r";
    CHECK_INT(refused(slice_text("")), HL7_SEQUENCE_ERROR);
    CHECK_INT(refused(slice_text("PID|1\r")), HL7_SEQUENCE_ERROR);
    CHECK_INT(refused(slice_text("MSH")), HL7_SEQUENCE_ERROR);
    CHECK_INT(refused(slice_text("MSH|^~\\")), HL7_ACCEPTED);
    CHECK_INT(refused(slice_text("MSH|||||")), HL7_SEQUENCE_ERROR);
    CHECK_INT(refused(slice_text("MSH|^^^^|A\r")), HL7_SEQUENCE_ERROR);
    CHECK_INT(refused(slice_text("MSHMMMMMA\r")), HL7_SEQUENCE_ERROR);
    CHECK_INT(refused(slice_text("MSH|^~\\&|A\rpid|1\r")), HL7_SEQUENCE_ERROR);
    CHECK_INT(refused(slice_text("MSH|^~\\&|A\rPIDX|1\r")), HL7_SEQUENCE_ERROR);
    CHECK_INT(refused(slice_text("MSH|^~\\&|A\rMSH|^~\\&|A\r")), HL7_SEQUENCE_ERROR);
    CHECK_INT(refused(slice_of(nul, sizeof(nul) - 1)), HL7_DATA_TYPE);
    CHECK_INT(refused(slice_text("MSH|^~\\&|A\rPID|a\vb\x1c\r")), HL7_DATA_TYPE);
}

TEST(HOS_46_too_many_and_too_long_segments_are_refused)
{
    struct buffer text = buffer_up_to(4 << 20);
    buffer_append_text(&text, "MSH|^~\\&|A\r");
    for (size_t i = 1; i < HL7_MAX_SEGMENTS; i++)
        buffer_append_text(&text, "ZZZ|1\r");
    CHECK_INT(refused(buffer_slice(&text)), HL7_ACCEPTED);
    buffer_append_text(&text, "ZZZ|1\r");
    CHECK_INT(refused(buffer_slice(&text)), HL7_INTERNAL_ERROR);
    buffer_clear(&text);
    buffer_append_text(&text, "MSH|^~\\&|A\rZZZ|");
    while (text.size <= HL7_MAX_SEGMENT + 100)
        buffer_append_text(&text, "0123456789");
    CHECK_INT(refused(buffer_slice(&text)), HL7_INTERNAL_ERROR);
    memcpy(text.data + 11, "OBX", 3);
    CHECK_INT(refused(buffer_slice(&text)), HL7_ACCEPTED);
    buffer_release(&text);
}

TEST(a_header_is_read_of_messages_that_are_cut)
{
    struct hl7_header header;
    CHECK(hl7_header_read(slice_text("MSH|^~\\&|HIS||||||ADT^A08|4711|P|2."), &header));
    CHECK(slice_equals_text(header.fields[10], "4711"));
    CHECK(slice_equals_text(header.fields[12], "2."));
    CHECK(!header.fields[18].size);
    CHECK(!hl7_header_read(slice_text("MSH|^"), &header));
    CHECK(!hl7_header_read(slice_text("EVN|^~\\&|"), &header));
}
