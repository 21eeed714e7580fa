/* SPDX-License-Identifier: MIT */
#include "dimse/command.h"

#include "base/bytes.h"
#include "dimse/status.h"
#include "tests/test.h"

/* C-ECHO-RQ: group length, SOP class, command field, message ID, data set type. */
static const char echo[] = "\0\0\0\0\4\0\0\0\x38\0\0\0"
                           "\0\0\2\0\x12\0\0\0"
                           "1.2.840.10008.1.1\0"
                           "\0\0\0\1\2\0\0\0\x30\0"
                           "\0\0\x10\1\2\0\0\0\7\0"
                           "\0\0\0\x8\2\0\0\0\1\1";

TEST(a_command_is_read)
{
    struct command command;
    struct error err;
    CHECK_OK(command_decode(slice_of(echo, sizeof(echo) - 1), &command, &err), err);
    CHECK_INT(command.field, C_ECHO_RQ);
    CHECK_INT(command.message_id, 7);
    CHECK_TEXT(command.sop_class, UID_VERIFICATION);
    CHECK(!command.has_data_set);
    CHECK(!command.is_faulty);
}

TEST(a_command_cut_anywhere_is_refused)
{
    struct command command;
    for (size_t size = 0; size < sizeof(echo) - 1; size++)
        CHECK(!command_decode(slice_of(echo, size), &command, NULL));
}

TEST(a_wrong_group_length_and_a_foreign_group_are_faults_that_can_be_answered)
{
    struct command command;
    char bytes[sizeof(echo) + 10];
    memcpy(bytes, echo, sizeof(echo));
    bytes[8] = 0x37;
    CHECK(command_decode(slice_of(bytes, sizeof(echo) - 1), &command, NULL));
    CHECK(command.is_faulty);
    bytes[8] = 0x42;
    memcpy(bytes + sizeof(echo) - 1, "\x10\0\x10\0\2\0\0\0A ", 10);
    CHECK(command_decode(slice_of(bytes, sizeof(echo) + 9), &command, NULL));
    CHECK(command.is_faulty);
}

TEST(an_explicit_vr_command_is_refused)
{
    static const char bytes[] = "\0\0\0\0UL\4\0\x38\0\0\0\0\0\0\1US\2\0\x30\0";
    struct command command;
    CHECK(!command_decode(slice_of(bytes, sizeof(bytes) - 1), &command, NULL));
}

TEST(a_response_has_the_group_length_first_and_ascending_elements)
{
    struct buffer out = buffer_up_to(COMMAND_LIMIT);
    struct command request = { .field = C_MOVE_RQ, .message_id = 65535 };
    struct status status = status_make(STATUS_MISMATCH, "a comment");
    struct suboperations counts = { 1, 2, 3, 4 };
    status.offending_element = 0x00080052;
    memcpy(request.sop_class, UID_STUDY_ROOT_MOVE, sizeof(UID_STUDY_ROOT_MOVE));
    command_encode_response(&request, &status, &counts, true, true, &out);
    CHECK(!out.overflowed);
    CHECK_INT(get_u32le(out.data), 0);
    CHECK_INT(get_u32le(out.data + 8), out.size - 12);
    int previous = -1;
    for (size_t at = 0; at < out.size; at += 8 + get_u32le(out.data + at + 4)) {
        CHECK(get_u16le(out.data + at) == 0 && get_u16le(out.data + at + 2) > previous);
        CHECK_INT(get_u32le(out.data + at + 4) % 2, 0);
        previous = get_u16le(out.data + at + 2);
    }
    struct command response;
    CHECK(command_decode(buffer_slice(&out), &response, NULL));
    CHECK(command_is_response(&response) && response.has_data_set && !response.is_faulty);
    CHECK_INT(response.responded_id, 65535);
    CHECK_INT(response.status, STATUS_MISMATCH);
    buffer_release(&out);
}

TEST(a_store_request_carries_its_originator)
{
    struct buffer out = buffer_up_to(COMMAND_LIMIT);
    struct command in = { .message_id = 3, .priority = 2, .originator_id = 9 };
    struct command command;
    memcpy(in.sop_class, "1.2.3", 6);
    memcpy(in.sop_instance, "1.2.3.4", 8);
    memcpy(in.originator, "ASKER", 6);
    command_encode_store(&in, &out);
    CHECK(command_decode(buffer_slice(&out), &command, NULL));
    CHECK_INT(command.field, C_STORE_RQ);
    CHECK_INT(command.priority, 2);
    CHECK_TEXT(command.sop_instance, "1.2.3.4");
    CHECK_TEXT(command.originator, "ASKER");
    CHECK_INT(command.originator_id, 9);
    CHECK(command.has_data_set);
    buffer_release(&out);
}

TEST(error_comments_are_cut_to_64_characters_without_backslashes)
{
    struct error err;
    error_set_tag(&err, ERROR_MISMATCH, 0x0020000D,
                  "C:\\x \n012345678901234567890123456789012345678901234567890123456789");
    struct status status = status_from_error(SERVICE_STORAGE, &err);
    CHECK_INT(status.code, STATUS_MISMATCH);
    CHECK_INT(status.offending_element, 0x0020000D);
    CHECK_INT(strlen(status.comment), 64);
    CHECK(strchr(status.comment, '\\') == NULL && strchr(status.comment, '\n') == NULL);
}

TEST(errors_become_the_statuses_of_their_service)
{
    static const struct {
        enum error_code error;
        int store;
        int query;
    } rows[] = {
        { ERROR_INVALID, 0xC000, 0xA900 },     { ERROR_MISMATCH, 0xA900, 0xA900 },
        { ERROR_CONFLICT, 0x0111, 0xC000 },    { ERROR_NO_SPACE, 0xA700, 0xA700 },
        { ERROR_UNSUPPORTED, 0x0122, 0xA900 }, { ERROR_IO, 0xA700, 0xA700 },
        { ERROR_CORRUPT, 0x0110, 0xC000 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error err = { .code = rows[i].error };
        CHECK_INT(status_from_error(SERVICE_STORAGE, &err).code, rows[i].store);
        CHECK_INT(status_from_error(SERVICE_FIND, &err).code, rows[i].query);
    }
}

/* Taken for 0000 it would be a success that nobody gave. */
TEST(a_response_without_a_status_is_refused)
{
    struct buffer out = buffer_up_to(COMMAND_LIMIT);
    struct command request = { .field = C_STORE_RQ, .message_id = 1 };
    struct status status = status_make(STATUS_SUCCESS, "");
    struct command response;
    static const uint8_t status_tag[] = { 0, 0, 0, 9 };
    command_encode_response(&request, &status, NULL, false, false, &out);
    CHECK(command_decode(buffer_slice(&out), &response, NULL));
    uint8_t *element = memmem(out.data, out.size, status_tag, sizeof(status_tag));
    CHECK(element);
    element[2] = 0xFF; /* another element */
    CHECK(!command_decode(buffer_slice(&out), &response, NULL));
    buffer_release(&out);
}

TEST(requests_of_dimse_n_name_class_and_instance_as_their_field_has_it)
{
    static const struct {
        uint16_t field;
        uint16_t class_tag;
        uint16_t instance_tag;
    } rows[] = {
        { N_EVENT_REPORT_RQ, 0x0002, 0x1000 }, { N_GET_RQ, 0x0003, 0x1001 },
        { N_SET_RQ, 0x0003, 0x1001 },          { N_ACTION_RQ, 0x0003, 0x1001 },
        { N_CREATE_RQ, 0x0002, 0x1000 },       { N_DELETE_RQ, 0x0003, 0x1001 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buffer out = buffer_up_to(COMMAND_LIMIT);
        struct command in = { .field = rows[i].field, .message_id = 5, .type_id = 4 };
        struct command command;
        bool has_class = false;
        bool has_instance = false;
        memcpy(in.sop_class, UID_UPS_PUSH, sizeof(UID_UPS_PUSH));
        memcpy(in.sop_instance, "1.2.3", 6);
        command_encode_normalized(&in, &out);
        for (size_t at = 0; at < out.size; at += 8 + get_u32le(out.data + at + 4)) {
            has_class |= get_u16le(out.data + at + 2) == rows[i].class_tag;
            has_instance |= get_u16le(out.data + at + 2) == rows[i].instance_tag;
        }
        CHECK(has_class && has_instance);
        CHECK(command_decode(buffer_slice(&out), &command, NULL));
        CHECK(!command.is_faulty && command_is_normalized(&command) && command.names_instance);
        CHECK_TEXT(command.sop_class, UID_UPS_PUSH);
        CHECK_TEXT(command.sop_instance, "1.2.3");
        bool is_typed = in.field == N_EVENT_REPORT_RQ || in.field == N_ACTION_RQ;
        CHECK_INT(command.type_id, is_typed ? 4 : 0);
        buffer_release(&out);
    }
}

/* N-GET-RQ with that many attributes. */
static bool decode_list(size_t count, size_t odd_bytes, struct command *command)
{
    struct buffer out = buffer_up_to(COMMAND_LIMIT);
    struct command in = { .field = N_GET_RQ, .message_id = 5 };
    memcpy(in.sop_class, UID_UPS_PUSH, sizeof(UID_UPS_PUSH));
    command_encode_normalized(&in, &out);
    size_t size = 4 * count + odd_bytes;
    buffer_append_u16le(&out, 0);
    buffer_append_u16le(&out, 0x1005);
    buffer_append_u32le(&out, (uint32_t)size);
    for (size_t i = 0; i < size; i++)
        buffer_append_byte(&out, i % 4 == 2 ? (uint8_t)(i / 4) : 0);
    put_u32le(out.data + 8, (uint32_t)out.size - 12);
    bool ok = command_decode(buffer_slice(&out), command, NULL);
    buffer_release(&out);
    return ok;
}

TEST(a_list_of_attributes_is_read_up_to_its_limit)
{
    struct command command;
    CHECK(decode_list(3, 0, &command));
    CHECK_INT(command.attribute_count, 3);
    CHECK_INT(command.attributes[2], 2);
    CHECK(!command.is_faulty && !command.names_too_many);
    CHECK(decode_list(COMMAND_ATTRIBUTES, 0, &command));
    CHECK_INT(command.attribute_count, COMMAND_ATTRIBUTES);
    CHECK(!command.names_too_many);
    CHECK(decode_list(COMMAND_ATTRIBUTES + 1, 0, &command));
    CHECK_INT(command.attribute_count, COMMAND_ATTRIBUTES);
    CHECK(command.names_too_many);
    CHECK(decode_list(1, 2, &command));
    CHECK(command.is_faulty);
}

TEST(an_answer_of_dimse_n_says_which_attributes_it_is_about)
{
    struct buffer out = buffer_up_to(COMMAND_LIMIT);
    struct command request = { .field = N_CREATE_RQ, .message_id = 2 };
    struct command response;
    struct status status = status_make(STATUS_MISSING_ATTRIBUTE, "a comment");
    status.error_id = 77;
    for (uint32_t i = 0; i <= STATUS_ELEMENTS; i++)
        status_add_attribute(&status, 0x00404000 + i);
    memcpy(request.sop_instance, "1.2", 4);
    command_encode_response(&request, &status, NULL, false, false, &out);
    CHECK(command_decode(buffer_slice(&out), &response, NULL));
    CHECK(!response.is_faulty);
    CHECK_INT(response.error_id, 77);
    CHECK_INT(response.attribute_count, STATUS_ELEMENTS);
    CHECK_INT(response.attributes[1], 0x00404001);
    CHECK_TEXT(response.sop_instance, "1.2");
    buffer_release(&out);
}
