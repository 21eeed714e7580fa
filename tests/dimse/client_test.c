/* SPDX-License-Identifier: MIT */
#include "base/memory.h"
#include "dicom/dataset.h"
#include "dimse/client_keys.h"
#include "dimse/command.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

static const struct transfer_syntax *explicit_syntax(void)
{
    return transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
}

/* The identifier of some keys, scanned as what comes from a peer is. */
struct made {
    struct client_keys *keys;
    struct buffer bytes;
    struct scan *scan;
    struct dataset *dataset;
};

static struct made make(const char *const *texts)
{
    struct made made = { .keys = mem_alloc(sizeof(*made.keys)), .bytes = buffer_up_to(1 << 16) };
    struct error err;
    for (; *texts; texts++)
        CHECK_OK(client_keys_add(made.keys, *texts, &err), err);
    CHECK_OK(client_keys_encode(made.keys, true, &made.bytes, &err), err);
    made.scan = scan_new(explicit_syntax(), &scan_default_limits);
    CHECK_OK(scan_write(made.scan, buffer_slice(&made.bytes), &err), err);
    CHECK_OK(scan_finish(made.scan, &err), err);
    CHECK_OK(dataset_open(scan_header(made.scan), explicit_syntax(), NULL, 0, &made.dataset, &err),
             err);
    return made;
}

static void release(struct made *made)
{
    dataset_close(made->dataset);
    scan_free(made->scan);
    buffer_release(&made->bytes);
    free(made->keys);
}

TEST(keys_are_keywords_or_tags_in_any_order)
{
    const char *texts[] = { "StudyInstanceUID=1.2.3", "0010,0010=DOE*", "(0008,0060)",
                            "00080050=A1", NULL };
    struct made made = make(texts);
    char text[64];
    struct element element;
    CHECK(dataset_string(made.dataset, TAG_STUDY_INSTANCE_UID, text, sizeof(text)));
    CHECK_TEXT(text, "1.2.3");
    CHECK(dataset_string(made.dataset, TAG_PATIENT_NAME, text, sizeof(text)));
    CHECK_TEXT(text, "DOE*");
    CHECK(dataset_find(made.dataset, TAG_MODALITY, &element) && element.size == 0);
    CHECK(!dataset_find(made.dataset, TAG_SPECIFIC_CHARACTER_SET, &element));
    uint32_t previous = 0;
    struct walk walk = dataset_walk(made.dataset);
    while (walk_next(&walk, &element) == WALK_ELEMENT) {
        CHECK(element.tag > previous);
        previous = element.tag;
    }
    CHECK_INT(previous, TAG_STUDY_INSTANCE_UID);
    release(&made);
}

TEST(keys_of_one_sequence_share_its_item)
{
    const char *texts[] = { "RequestAttributesSequence.ScheduledProcedureStepID=S1",
                            "RequestAttributesSequence", "ProcedureCodeSequence",
                            "RequestAttributesSequence.RequestedProcedureID=R1", NULL };
    struct made made = make(texts);
    struct element element;
    char text[64];
    CHECK_INT(dataset_item_count(made.dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE), 1);
    CHECK(dataset_find(made.dataset, TAG_PROCEDURE_CODE_SEQUENCE, &element));
    CHECK_INT(dataset_item_count(made.dataset, TAG_PROCEDURE_CODE_SEQUENCE), 0);
    struct dataset *item = dataset_item(made.dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE, 0);
    CHECK(dataset_string(item, TAG_SCHEDULED_PROCEDURE_STEP_ID, text, sizeof(text)));
    CHECK_TEXT(text, "S1");
    CHECK(dataset_string(item, TAG_REQUESTED_PROCEDURE_ID, text, sizeof(text)));
    CHECK_TEXT(text, "R1");
    dataset_close(item);
    release(&made);
}

TEST(keys_beyond_ascii_say_that_they_are_utf_8)
{
    const char *texts[] = { "PatientName=M\xC3\xBCller", NULL };
    struct made made = make(texts);
    char text[64];
    CHECK(dataset_string(made.dataset, TAG_SPECIFIC_CHARACTER_SET, text, sizeof(text)));
    CHECK_TEXT(text, "ISO_IR 192");
    release(&made);
}

TEST(keys_that_are_none_are_refused)
{
    static const char *const wrong[] = { "",
                                         "=x",
                                         "NoSuchKeyword=1",
                                         "0010=1",
                                         "001000100=1",
                                         "00020010=1",
                                         "PatientName.PatientID=1",
                                         "RequestAttributesSequence=1",
                                         "RequestAttributesSequence.",
                                         "." };
    struct client_keys *keys = mem_alloc(sizeof(*keys));
    struct error err;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK(!client_keys_add(keys, wrong[i], &err) && err.code == ERROR_INVALID);
    CHECK_INT(keys->count, 0);
    CHECK(client_keys_add(keys, "PatientID=1", &err));
    CHECK(!client_keys_add(keys, "00100020", &err));
    CHECK_TEXT(client_keys_value(keys, TAG_PATIENT_ID), "1");
    free(keys);
}

TEST(a_move_request_names_its_destination_and_a_cancel_its_request)
{
    struct buffer out = buffer_up_to(COMMAND_LIMIT);
    struct command in = { .field = C_MOVE_RQ, .message_id = 7, .has_data_set = true };
    struct command command;
    memcpy(in.sop_class, UID_STUDY_ROOT_MOVE, sizeof(UID_STUDY_ROOT_MOVE));
    memcpy(in.destination, "THERE", 6);
    command_encode_request(&in, &out);
    CHECK(command_decode(buffer_slice(&out), &command, NULL) && !command.is_faulty);
    CHECK_INT(command.message_id, 7);
    CHECK_TEXT(command.destination, "THERE");
    CHECK_TEXT(command.sop_class, UID_STUDY_ROOT_MOVE);
    CHECK(command.has_data_set);
    buffer_clear(&out);
    in = (struct command){ .field = C_CANCEL_RQ, .responded_id = 7 };
    command_encode_request(&in, &out);
    CHECK(command_decode(buffer_slice(&out), &command, NULL) && !command.is_faulty);
    CHECK_INT(command.responded_id, 7);
    CHECK(!command.has_data_set);
    buffer_release(&out);
}

TEST(the_counts_and_the_comment_of_a_response_are_read)
{
    struct buffer out = buffer_up_to(COMMAND_LIMIT);
    struct command request = { .field = C_MOVE_RQ, .message_id = 1 };
    struct status status = { .code = 0xFF00, .comment = "a comment" };
    struct suboperations counts = { 4, 3, 2, 1 };
    struct command response;
    command_encode_response(&request, &status, &counts, true, false, &out);
    CHECK(command_decode(buffer_slice(&out), &response, NULL) && !response.is_faulty);
    CHECK_INT(response.counts.remaining, 4);
    CHECK_INT(response.counts.completed, 3);
    CHECK_INT(response.counts.failed, 2);
    CHECK_INT(response.counts.warning, 1);
    CHECK_TEXT(response.comment, "a comment");
    buffer_release(&out);
}
