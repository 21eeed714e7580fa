/* SPDX-License-Identifier: MIT */
#include "dimse/command.h"

#include "base/bytes.h"

enum {
    TAG_GROUP_LENGTH = 0x00000000,
    TAG_AFFECTED_SOP_CLASS = 0x00000002,
    TAG_REQUESTED_SOP_CLASS = 0x00000003,
    TAG_COMMAND_FIELD = 0x00000100,
    TAG_MESSAGE_ID = 0x00000110,
    TAG_MESSAGE_ID_RESPONDED = 0x00000120,
    TAG_MOVE_DESTINATION = 0x00000600,
    TAG_PRIORITY = 0x00000700,
    TAG_DATA_SET_TYPE = 0x00000800,
    TAG_STATUS = 0x00000900,
    TAG_OFFENDING_ELEMENT = 0x00000901,
    TAG_ERROR_COMMENT = 0x00000902,
    TAG_ERROR_ID = 0x00000903,
    TAG_AFFECTED_SOP_INSTANCE = 0x00001000,
    TAG_REQUESTED_SOP_INSTANCE = 0x00001001,
    TAG_EVENT_TYPE_ID = 0x00001002,
    TAG_ATTRIBUTE_IDENTIFIER_LIST = 0x00001005,
    TAG_ACTION_TYPE_ID = 0x00001008,
    TAG_REMAINING = 0x00001020,
    TAG_COMPLETED = 0x00001021,
    TAG_FAILED = 0x00001022,
    TAG_WARNING = 0x00001023,
    TAG_MOVE_ORIGINATOR = 0x00001030,
    TAG_MOVE_ORIGINATOR_ID = 0x00001031,
};
enum { ELEMENT_HEADER_SIZE = 8, HAS_DATA_SET = 0x0001 };

/* Which of the elements that every command needs were there. */
struct present {
    bool field;
    bool message_id;
    bool responded_id;
    bool data_set_type;
    bool status;
    bool group_length;
};

static void copy_uid(struct slice value, char uid[UID_SIZE])
{
    if (!uid_copy(value, uid))
        uid[0] = '\0';
}

static void copy_title(struct slice value, char title[AE_TITLE_SIZE])
{
    while (value.size && value.data[0] == ' ')
        value = slice_skip(value, 1);
    while (value.size && (value.data[value.size - 1] == ' ' || value.data[value.size - 1] == '\0'))
        value.size--;
    /* A title that is too long is no title of anybody: cut, it might become one. */
    if (value.size >= AE_TITLE_SIZE)
        value.size = 0;
    if (value.size)
        memcpy(title, value.data, value.size);
    title[value.size] = '\0';
}

static void copy_comment(struct slice value, char comment[COMMENT_SIZE])
{
    value = slice_take(value, COMMENT_SIZE - 1);
    for (size_t i = 0; i < value.size; i++)
        comment[i] = value.data[i] < ' ' || value.data[i] > '~' ? '?' : (char)value.data[i];
    while (value.size && comment[value.size - 1] == ' ')
        value.size--;
    comment[value.size] = '\0';
}

static bool take_u16(struct slice value, uint16_t *number, struct command *command)
{
    if (value.size != 2) {
        command->is_faulty = true;
        return false;
    }
    *number = get_u16le(value.data);
    return true;
}

/* AT, each in two halves (PS3.7 10.1.2, E.2). */
static void take_attributes(struct slice value, struct command *command)
{
    if (value.size % 4)
        command->is_faulty = true;
    for (; value.size >= 4; value = slice_skip(value, 4)) {
        if (command->attribute_count == COMMAND_ATTRIBUTES) {
            command->names_too_many = true;
            return;
        }
        command->attributes[command->attribute_count++] = (uint32_t)get_u16le(value.data) << 16 |
                                                          get_u16le(value.data + 2);
    }
}

static void take_element(uint32_t tag, struct slice value, struct command *command,
                         struct present *present)
{
    uint16_t data_set_type;
    switch (tag) {
    case TAG_AFFECTED_SOP_CLASS:
    case TAG_REQUESTED_SOP_CLASS:
        copy_uid(value, command->sop_class);
        break;
    case TAG_COMMAND_FIELD:
        present->field = take_u16(value, &command->field, command);
        break;
    case TAG_MESSAGE_ID:
        present->message_id = take_u16(value, &command->message_id, command);
        break;
    case TAG_MESSAGE_ID_RESPONDED:
        present->responded_id = take_u16(value, &command->responded_id, command);
        break;
    case TAG_MOVE_DESTINATION:
        copy_title(value, command->destination);
        break;
    case TAG_PRIORITY:
        take_u16(value, &command->priority, command);
        break;
    case TAG_DATA_SET_TYPE:
        present->data_set_type = take_u16(value, &data_set_type, command);
        command->has_data_set = present->data_set_type && data_set_type != NO_DATA_SET;
        break;
    case TAG_STATUS:
        present->status = take_u16(value, &command->status, command);
        break;
    case TAG_AFFECTED_SOP_INSTANCE:
    case TAG_REQUESTED_SOP_INSTANCE:
        copy_uid(value, command->sop_instance);
        command->names_instance = true;
        break;
    case TAG_ATTRIBUTE_IDENTIFIER_LIST:
        take_attributes(value, command);
        break;
    case TAG_ERROR_ID:
        take_u16(value, &command->error_id, command);
        break;
    case TAG_EVENT_TYPE_ID:
    case TAG_ACTION_TYPE_ID:
        take_u16(value, &command->type_id, command);
        break;
    case TAG_REMAINING:
        take_u16(value, &command->counts.remaining, command);
        break;
    case TAG_COMPLETED:
        take_u16(value, &command->counts.completed, command);
        break;
    case TAG_FAILED:
        take_u16(value, &command->counts.failed, command);
        break;
    case TAG_WARNING:
        take_u16(value, &command->counts.warning, command);
        break;
    case TAG_ERROR_COMMENT:
        copy_comment(value, command->comment);
        break;
    case TAG_MOVE_ORIGINATOR:
        copy_title(value, command->originator);
        break;
    case TAG_MOVE_ORIGINATOR_ID:
        take_u16(value, &command->originator_id, command);
        break;
    default:
        if (tag >> 16) /* commands are group 0000 only (PS3.7 6.3.1) */
            command->is_faulty = true;
        break;
    }
}

bool command_decode(struct slice bytes, struct command *command, struct error *err)
{
    struct present present = { .field = false };
    struct slice rest = bytes;
    memset(command, 0, sizeof(*command));
    while (rest.size) {
        if (rest.size < ELEMENT_HEADER_SIZE)
            return error_set(err, ERROR_INVALID, "command set: cut short");
        uint32_t tag = (uint32_t)get_u16le(rest.data) << 16 | get_u16le(rest.data + 2);
        uint32_t size = get_u32le(rest.data + 4);
        if (size > rest.size - ELEMENT_HEADER_SIZE)
            return error_set(err, ERROR_INVALID, "command set: an element overruns it");
        struct slice value = slice_of(rest.data + ELEMENT_HEADER_SIZE, size);
        rest = slice_skip(rest, ELEMENT_HEADER_SIZE + (size_t)size);
        if (tag != TAG_GROUP_LENGTH)
            take_element(tag, value, command, &present);
        else if (size == 4 && get_u32le(value.data) == rest.size)
            present.group_length = true;
    }
    bool has_id = command_is_response(command) || command->field == C_CANCEL_RQ
                      ? present.responded_id
                      : present.message_id;
    if (!present.field || !has_id || !present.data_set_type)
        return error_set(err, ERROR_INVALID,
                         "command set: command field, message ID or data set type is missing");
    if (command_is_response(command) && !present.status)
        return error_set(err, ERROR_INVALID, "command set: a response without its status");
    if (!present.group_length)
        command->is_faulty = true;
    return true;
}

static void append_element(struct buffer *out, uint32_t tag, struct slice value, uint8_t padding)
{
    buffer_append_u16le(out, (uint16_t)(tag >> 16));
    buffer_append_u16le(out, (uint16_t)tag);
    buffer_append_u32le(out, (uint32_t)(value.size + value.size % 2));
    buffer_append(out, value);
    if (value.size % 2)
        buffer_append_byte(out, padding);
}

static void append_u16(struct buffer *out, uint32_t tag, uint16_t value)
{
    uint8_t bytes[2];
    put_u16le(bytes, value);
    append_element(out, tag, slice_of(bytes, sizeof(bytes)), 0);
}

static void append_uid(struct buffer *out, uint32_t tag, const char *uid)
{
    if (uid[0])
        append_element(out, tag, slice_text(uid), 0);
}

static size_t begin_command(struct buffer *out)
{
    static const uint8_t unknown_length[4] = { 0 };
    append_element(out, TAG_GROUP_LENGTH, slice_of(unknown_length, sizeof(unknown_length)), 0);
    return out->size;
}

static void end_command(struct buffer *out, size_t start)
{
    if (!out->overflowed)
        put_u32le(out->data + start - 4, (uint32_t)(out->size - start));
}

static void append_counts(struct buffer *out, const struct suboperations *counts,
                          bool has_remaining)
{
    if (has_remaining)
        append_u16(out, TAG_REMAINING, counts->remaining);
    append_u16(out, TAG_COMPLETED, counts->completed);
    append_u16(out, TAG_FAILED, counts->failed);
    append_u16(out, TAG_WARNING, counts->warning);
}

/* AT, one or many (PS3.7 C.4.2, PS3.4 B.2.3). */
static void append_offending(const struct status *status, struct buffer *out)
{
    uint8_t tags[4 * (1 + STATUS_ELEMENTS)];
    size_t size = 0;
    for (size_t i = 0; i <= status->coerced_count; i++) {
        uint32_t tag = i ? status->coerced[i - 1] : status->offending_element;
        if (!tag)
            continue;
        put_u16le(tags + size, (uint16_t)(tag >> 16));
        put_u16le(tags + size + 2, (uint16_t)tag);
        size += 4;
    }
    if (size)
        append_element(out, TAG_OFFENDING_ELEMENT, slice_of(tags, size), 0);
}

static void append_attributes(const uint32_t *tags, size_t count, struct buffer *out)
{
    uint8_t bytes[4 * COMMAND_ATTRIBUTES];
    for (size_t i = 0; i < count; i++) {
        put_u16le(bytes + 4 * i, (uint16_t)(tags[i] >> 16));
        put_u16le(bytes + 4 * i + 2, (uint16_t)tags[i]);
    }
    if (count)
        append_element(out, TAG_ATTRIBUTE_IDENTIFIER_LIST, slice_of(bytes, 4 * count), 0);
}

void command_encode_response(const struct command *request, const struct status *status,
                             const struct suboperations *counts, bool has_remaining,
                             bool has_data_set, struct buffer *out)
{
    size_t start = begin_command(out);
    append_uid(out, TAG_AFFECTED_SOP_CLASS, request->sop_class);
    append_u16(out, TAG_COMMAND_FIELD, request->field | COMMAND_RESPONSE);
    append_u16(out, TAG_MESSAGE_ID_RESPONDED, request->message_id);
    append_u16(out, TAG_DATA_SET_TYPE, has_data_set ? HAS_DATA_SET : NO_DATA_SET);
    append_u16(out, TAG_STATUS, status->code);
    append_offending(status, out);
    if (status->comment[0])
        append_element(out, TAG_ERROR_COMMENT, slice_text(status->comment), ' ');
    if (status->error_id)
        append_u16(out, TAG_ERROR_ID, status->error_id);
    append_uid(out, TAG_AFFECTED_SOP_INSTANCE, request->sop_instance);
    append_attributes(status->attributes, status->attribute_count, out);
    if (request->field == N_ACTION_RQ && has_data_set)
        append_u16(out, TAG_ACTION_TYPE_ID, request->type_id);
    if (counts)
        append_counts(out, counts, has_remaining);
    end_command(out, start);
}

void command_encode_store(const struct command *command, struct buffer *out)
{
    size_t start = begin_command(out);
    append_uid(out, TAG_AFFECTED_SOP_CLASS, command->sop_class);
    append_u16(out, TAG_COMMAND_FIELD, C_STORE_RQ);
    append_u16(out, TAG_MESSAGE_ID, command->message_id);
    append_u16(out, TAG_PRIORITY, command->priority);
    append_u16(out, TAG_DATA_SET_TYPE, HAS_DATA_SET);
    append_uid(out, TAG_AFFECTED_SOP_INSTANCE, command->sop_instance);
    if (command->originator[0]) {
        append_element(out, TAG_MOVE_ORIGINATOR, slice_text(command->originator), ' ');
        append_u16(out, TAG_MOVE_ORIGINATOR_ID, command->originator_id);
    }
    end_command(out, start);
}

void command_encode_request(const struct command *command, struct buffer *out)
{
    size_t start = begin_command(out);
    bool is_cancel = command->field == C_CANCEL_RQ;
    if (!is_cancel)
        append_uid(out, TAG_AFFECTED_SOP_CLASS, command->sop_class);
    append_u16(out, TAG_COMMAND_FIELD, command->field);
    if (is_cancel)
        append_u16(out, TAG_MESSAGE_ID_RESPONDED, command->responded_id);
    else
        append_u16(out, TAG_MESSAGE_ID, command->message_id);
    if (command->field == C_MOVE_RQ)
        append_element(out, TAG_MOVE_DESTINATION, slice_text(command->destination), ' ');
    if (!is_cancel && command->field != C_ECHO_RQ)
        append_u16(out, TAG_PRIORITY, command->priority);
    append_u16(out, TAG_DATA_SET_TYPE, command->has_data_set ? HAS_DATA_SET : NO_DATA_SET);
    end_command(out, start);
}

void command_encode_normalized(const struct command *command, struct buffer *out)
{
    bool is_event = command->field == N_EVENT_REPORT_RQ;
    bool is_affected = is_event || command->field == N_CREATE_RQ;
    size_t start = begin_command(out);
    append_uid(out, is_affected ? TAG_AFFECTED_SOP_CLASS : TAG_REQUESTED_SOP_CLASS,
               command->sop_class);
    append_u16(out, TAG_COMMAND_FIELD, command->field);
    append_u16(out, TAG_MESSAGE_ID, command->message_id);
    append_u16(out, TAG_DATA_SET_TYPE, command->has_data_set ? HAS_DATA_SET : NO_DATA_SET);
    append_uid(out, is_affected ? TAG_AFFECTED_SOP_INSTANCE : TAG_REQUESTED_SOP_INSTANCE,
               command->sop_instance);
    if (is_event)
        append_u16(out, TAG_EVENT_TYPE_ID, command->type_id);
    if (command->field == N_GET_RQ)
        append_attributes(command->attributes, command->attribute_count, out);
    if (command->field == N_ACTION_RQ)
        append_u16(out, TAG_ACTION_TYPE_ID, command->type_id);
    end_command(out, start);
}
