/* SPDX-License-Identifier: MIT */
#include "archive/retrieve.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "archive/delete.h"
#include "dicom/encode.h"
#include "dicom/frames.h"
#include "tests/archive/fixture.h"

static void open_sample(struct fixture *fixture)
{
    static const struct object all[] = {
        { .study = "1.1",
          .series = "1.1.1",
          .instance = "1.1.1.1",
          .series_number = "10",
          .instance_number = "2",
          .patient_id = "A" },
        { .study = "1.1",
          .series = "1.1.1",
          .instance = "1.1.1.2",
          .series_number = "10",
          .instance_number = "1",
          .patient_id = "A" },
        { .study = "1.1",
          .series = "1.1.1",
          .instance = "1.1.1.3",
          .series_number = "10",
          .instance_number = "10",
          .patient_id = "A" },
        { .study = "1.1",
          .series = "1.1.1",
          .instance = "1.1.1.4",
          .series_number = "10",
          .patient_id = "A" },
        { .study = "1.1",
          .series = "1.1.2",
          .instance = "1.1.2.1",
          .series_number = "9",
          .instance_number = "1",
          .patient_id = "A" },
        { .study = "1.2", .series = "1.2.1", .instance = "1.2.1.1", .patient_id = "A" },
        { .study = "1.3", .series = "1.3.1", .instance = "1.3.1.1", .patient_id = "AB" },
    };
    fixture_open(fixture, true);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct object object = all[i];
        object.pixels = 100 + i;
        object.fill = (uint8_t)i;
        store(fixture, &object);
    }
}

/* SOP Instance UIDs in the order of retrieval; the count is told before. */
static const char *retrieve_list(struct fixture *fixture, struct selection selection)
{
    static char list[1000];
    struct error err = { 0 };
    struct retrieve *retrieve;
    struct instance *instance;
    uint64_t count = 0;
    list[0] = '\0';
    CHECK_OK(retrieve_open(fixture->archive, &selection, &retrieve, &err), err);
    for (;;) {
        CHECK_OK(retrieve_next(retrieve, &instance, &err), err);
        if (!instance)
            break;
        size_t size = strlen(list);
        snprintf(list + size, sizeof(list) - size, "%s%s", size ? "," : "",
                 instance_identity(instance)->instance);
        count++;
    }
    CHECK_INT(retrieve_count(retrieve), count);
    retrieve_close(retrieve);
    return list;
}

TEST(what_is_skipped_is_left_out_of_the_list)
{
    struct fixture fixture;
    struct retrieve *retrieve;
    struct instance *instance;
    struct error err;
    const struct selection study = { NULL, "1.1", NULL, NULL };
    open_sample(&fixture);
    CHECK_OK(retrieve_open(fixture.archive, &study, &retrieve, &err), err);
    CHECK_OK(retrieve_skip(retrieve, 2, &err), err);
    CHECK_OK(retrieve_next(retrieve, &instance, &err), err);
    CHECK(instance && !strcmp(instance_identity(instance)->instance, "1.1.1.1"));
    CHECK_OK(retrieve_skip(retrieve, 1, &err), err);
    CHECK_OK(retrieve_next(retrieve, &instance, &err), err);
    CHECK(instance && !strcmp(instance_identity(instance)->instance, "1.1.1.4"));
    CHECK_OK(retrieve_skip(retrieve, 1000, &err), err);
    CHECK_OK(retrieve_next(retrieve, &instance, &err), err);
    CHECK(!instance);
    retrieve_close(retrieve);
    fixture_close(&fixture);
}

TEST(patients_whose_ids_begin_alike_for_long_are_not_taken_for_one)
{
    struct fixture fixture;
    char ids[2][240];
    fixture_open(&fixture, true);
    for (int i = 0; i < 2; i++) {
        memset(ids[i], 'X', sizeof(ids[i]));
        ids[i][sizeof(ids[i]) - 2] = (char)('1' + i);
        ids[i][sizeof(ids[i]) - 1] = '\0';
    }
    struct object first = { .study = "1.1", .series = "1.1.1", .instance = "1.1.1.1" };
    struct object second = { .study = "1.2", .series = "1.2.1", .instance = "1.2.1.1" };
    first.patient_id = ids[0];
    second.patient_id = ids[1];
    store(&fixture, &first);
    store(&fixture, &second);
    CHECK_TEXT(retrieve_list(&fixture, (struct selection){ .patient_id = ids[0] }), "1.1.1.1");
    CHECK_TEXT(retrieve_list(&fixture, (struct selection){ .patient_id = ids[1] }), "1.2.1.1");
    fixture_close(&fixture);
}

TEST(instances_come_by_series_number_then_instance_number_then_uid)
{
    struct fixture fixture;
    open_sample(&fixture);
    CHECK_TEXT(retrieve_list(&fixture, (struct selection){ .studies = "1.1" }),
               "1.1.2.1,1.1.1.2,1.1.1.1,1.1.1.3,1.1.1.4");
    fixture_close(&fixture);
}

TEST(any_level_and_list_selects)
{
    struct fixture fixture;
    open_sample(&fixture);
    static const struct {
        struct selection selection;
        const char *expected;
    } cases[] = {
        { { .patient_id = "A" }, "1.1.2.1,1.1.1.2,1.1.1.1,1.1.1.3,1.1.1.4,1.2.1.1" },
        { { .patient_id = "AB" }, "1.3.1.1" },
        { { .patient_id = "A", .studies = "1.3" }, "" },
        { { .patient_id = "AB", .studies = "1.3" }, "1.3.1.1" },
        { { .studies = "1.3\\1.2\\1.9" }, "1.2.1.1,1.3.1.1" },
        { { .studies = "1.1", .series = "1.1.2" }, "1.1.2.1" },
        { { .studies = "1.2", .series = "1.1.2" }, "" },
        { { .series = "1.1.2\\1.3.1" }, "1.1.2.1,1.3.1.1" },
        { { .studies = "1.1", .series = "1.1.1", .instances = "1.1.1.3\\1.1.1.2" },
          "1.1.1.2,1.1.1.3" },
        { { .studies = "1.1", .series = "1.1.2", .instances = "1.1.1.3" }, "" },
        { { .instances = "1.3.1.1\\1.1.2.1\\1.9" }, "1.1.2.1,1.3.1.1" },
        { { .patient_id = "A", .instances = "1.3.1.1\\1.1.2.1" }, "1.1.2.1" },
        { { .studies = "" }, "" },
        { { .studies = "../etc" }, "" },
        { { .studies = "1.9" }, "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CHECK_TEXT(retrieve_list(&fixture, cases[i].selection), cases[i].expected);
    fixture_close(&fixture);
}

TEST(what_is_deleted_while_retrieving_is_passed_over_and_what_is_new_is_not_in_it)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct selection selection = { .patient_id = "A" };
    struct object object = {
        .study = "1.2", .series = "1.2.1", .instance = "1.2.1.2", .patient_id = "A"
    };
    struct retrieve *retrieve;
    struct instance *instance;
    uint64_t count;
    open_sample(&fixture);
    CHECK_OK(retrieve_open(fixture.archive, &selection, &retrieve, &err), err);
    CHECK_INT(retrieve_count(retrieve), 6);
    CHECK_OK(archive_delete(fixture.archive, "1.1", NULL, NULL, &count, &err), err);
    store(&fixture, &object);
    CHECK_OK(retrieve_next(retrieve, &instance, &err), err);
    CHECK_TEXT(instance_identity(instance)->instance, "1.2.1.1");
    CHECK_OK(retrieve_next(retrieve, &instance, &err), err);
    CHECK(!instance);
    retrieve_close(retrieve);
    fixture_close(&fixture);
}

TEST(header_frames_and_ranges_lie_where_the_bytes_do)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct instance *instance;
    const struct dataset *header;
    struct element element;
    struct file_range range, whole;
    struct slice table;
    uint8_t bytes[100];
    char uid[UID_SIZE];
    open_sample(&fixture);
    CHECK_OK(instance_open(fixture.archive, "1.1", "1.1.1", "1.1.1.2", &instance, &err), err);
    CHECK_TEXT(instance_syntax_uid(instance), UID_EXPLICIT_LITTLE_ENDIAN);
    CHECK(instance_stored_at_ms(instance) > 0);
    CHECK_OK(instance_header(instance, &header, &err), err);
    CHECK(dataset_uid(header, TAG_SOP_INSTANCE_UID, uid));
    CHECK_TEXT(uid, "1.1.1.2");
    CHECK(dataset_find(header, TAG_PIXEL_DATA, &element));
    CHECK(element.elided);
    CHECK_INT(element.size, 102); /* 101, made even */
    CHECK_OK(instance_range(instance, element.offset, element.size, &range, &err), err);
    CHECK_INT(pread(range.fd, bytes, sizeof(bytes), (off_t)range.offset), sizeof(bytes));
    CHECK_INT(bytes[99], 1);
    memset(bytes, 0, sizeof(bytes));
    CHECK_OK(instance_read(instance, element.offset, (struct space){ bytes, 100 }, &err), err);
    CHECK_INT(bytes[99], 1);
    CHECK_OK(instance_dataset(instance, &whole, &err), err);
    CHECK(!instance_range(instance, whole.size, 1, &range, &err));
    CHECK(!instance_read(instance, whole.size - 1, (struct space){ bytes, 2 }, &err));
    CHECK_OK(instance_frames(instance, &table, &err), err);
    instance_close(instance);
    fixture_close(&fixture);
}

TEST(frames_of_an_extended_offset_table_that_is_too_long_for_the_header_are_found)
{
    enum { FRAMES = 700, FRAME_SIZE = 16 };
    struct fixture fixture;
    struct error err = { 0 };
    struct buffer dataset = buffer_up_to(1 << 20);
    struct buffer offsets = buffer_up_to(1 << 20);
    struct buffer lengths = buffer_up_to(1 << 20);
    struct buffer fragments = buffer_up_to(1 << 20);
    struct object object = { .study = "1.1", .series = "1.1.1", .instance = "1.1.1.1" };
    struct ingest_options options = { .transfer_syntax = UID_JPEG_BASELINE,
                                      .sop_class = CT_IMAGE_STORAGE,
                                      .sop_instance = "1.1.1.1" };
    struct encoder encoder = { &dataset, true };
    struct ingest *ingest;
    struct instance *instance;
    enum ingest_outcome outcome;
    struct slice table;
    unsigned shift;
    object_encode(&object, &dataset);
    encode_integer(&encoder, TAG_NUMBER_OF_FRAMES, FRAMES);
    for (int i = 0; i < FRAMES; i++) {
        buffer_append_u64le(&offsets, (uint64_t)i * (FRAME_SIZE + 8));
        buffer_append_u64le(&lengths, FRAME_SIZE);
    }
    encode_bytes(&encoder, TAG_EXTENDED_OFFSET_TABLE, VR_OV, buffer_slice(&offsets));
    encode_bytes(&encoder, TAG_EXTENDED_OFFSET_TABLE_LENGTHS, VR_OV, buffer_slice(&lengths));
    static const uint8_t head[] = { 0xE0, 0x7F, 0x10, 0, 'O', 'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF };
    buffer_append(&dataset, slice_of(head, sizeof(head)));
    for (int i = -1; i < FRAMES; i++) { /* first the empty Basic Offset Table */
        uint8_t frame[FRAME_SIZE];
        memset(frame, i, sizeof(frame));
        buffer_append_u32le(&dataset, 0xE000FFFE);
        buffer_append_u32le(&dataset, i < 0 ? 0 : FRAME_SIZE);
        buffer_append(&dataset, slice_of(frame, i < 0 ? 0 : FRAME_SIZE));
    }
    buffer_append_u32le(&dataset, 0xE0DDFFFE);
    buffer_append_u32le(&dataset, 0);
    fixture_open(&fixture, true);
    CHECK_OK(ingest_open(fixture.archive, &options, &ingest, &err), err);
    CHECK_OK(ingest_write(ingest, buffer_slice(&dataset), &err), err);
    CHECK_OK(ingest_commit(ingest, &outcome, &err), err);
    ingest_close(ingest);
    CHECK_OK(instance_open(fixture.archive, "1.1", "1.1.1", "1.1.1.1", &instance, &err), err);
    CHECK_OK(instance_frames(instance, &table, &err), err);
    CHECK_INT(frame_table_count(table), FRAMES);
    CHECK_OK(frame_table_find(table, FRAMES, &fragments, &shift, &err), err);
    struct fragment64 fragment;
    uint8_t frame[FRAME_SIZE];
    CHECK_INT(fragments.size, sizeof(fragment));
    memcpy(&fragment, fragments.data, sizeof(fragment));
    CHECK_INT(fragment.size, FRAME_SIZE);
    CHECK_OK(instance_read(instance, fragment.offset, (struct space){ frame, FRAME_SIZE }, &err),
             err);
    CHECK_INT(frame[FRAME_SIZE - 1], (uint8_t)(FRAMES - 1));
    instance_close(instance);
    buffer_release(&dataset);
    buffer_release(&offsets);
    buffer_release(&lengths);
    buffer_release(&fragments);
    fixture_close(&fixture);
}

/* Deflated in stored blocks (RFC 1951 3.2.4), which need no compressor. */
static void deflate_stored(struct slice bytes, struct buffer *out)
{
    enum { BLOCK_MAX = 10000 };
    while (bytes.size) {
        struct slice block = slice_take(bytes, BLOCK_MAX);
        bytes = slice_skip(bytes, block.size);
        buffer_append_byte(out, bytes.size ? 0 : 1);
        buffer_append_u16le(out, (uint16_t)block.size);
        buffer_append_u16le(out, (uint16_t)~block.size);
        buffer_append(out, block);
    }
}

TEST(a_deflated_object_is_read_inflated_at_any_offset)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct buffer dataset = buffer_up_to(1 << 20);
    struct buffer deflated = buffer_up_to(1 << 20);
    struct object object = { .study = "1.1",
                             .series = "1.1.1",
                             .instance = "1.1.1.1",
                             .patient_name = "DOE^JANE",
                             .pixels = 200000,
                             .fill = 7 };
    struct ingest_options options = { .transfer_syntax = UID_DEFLATED_EXPLICIT,
                                      .sop_class = CT_IMAGE_STORAGE,
                                      .sop_instance = "1.1.1.1" };
    struct ingest *ingest;
    struct instance *instance;
    const struct dataset *header;
    struct element element;
    struct file_range range;
    enum ingest_outcome outcome;
    uint8_t bytes[1000];
    object_encode(&object, &dataset);
    deflate_stored(buffer_slice(&dataset), &deflated);
    fixture_open(&fixture, true);
    CHECK_OK(ingest_open(fixture.archive, &options, &ingest, &err), err);
    CHECK_OK(ingest_write(ingest, buffer_slice(&deflated), &err), err);
    CHECK_OK(ingest_commit(ingest, &outcome, &err), err);
    ingest_close(ingest);
    CHECK_OK(instance_open(fixture.archive, "1.1", "1.1.1", "1.1.1.1", &instance, &err), err);
    CHECK_OK(instance_dataset(instance, &range, &err), err);
    CHECK_INT(range.size, deflated.size);
    CHECK_OK(instance_header(instance, &header, &err), err);
    CHECK(dataset_find(header, TAG_PIXEL_DATA, &element));
    CHECK(!instance_range(instance, element.offset, 10, &range, &err));
    CHECK_INT(err.code, ERROR_UNSUPPORTED);
    static const uint64_t offsets[] = { 0, 190000, 100, 150000, 150500, 0 };
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        struct space space = { bytes, sizeof(bytes) };
        CHECK_OK(instance_read_inflated(instance, offsets[i], space, &err), err);
        CHECK(memcmp(bytes, dataset.data + offsets[i], sizeof(bytes)) == 0);
    }
    CHECK(!instance_read_inflated(instance, dataset.size - 10, (struct space){ bytes, 11 }, &err));
    instance_close(instance);
    CHECK_TEXT(
        query_list(query_by(&fixture, LEVEL_STUDY, TAG_PATIENT_NAME, "doe*"), TAG_PATIENT_NAME),
        "DOE^JANE");
    buffer_release(&dataset);
    buffer_release(&deflated);
    fixture_close(&fixture);
}
