/* SPDX-License-Identifier: MIT */
#include "dicom/dicomdir.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "dicom/encode.h"
#include "dicom/part10.h"
#include "tests/test.h"

enum {
    SEQUENCE_TAG = 0x00041220,
    NEXT_TAG = 0x00041400,
    LOWER_TAG = 0x00041420,
    TYPE_TAG = 0x00041430
};

static void add(struct dicomdir *dicomdir, const char *patient, const char *study,
                const char *series, const char *instance)
{
    struct buffer bytes = buffer_up_to(1 << 12);
    struct encoder encoder = { &bytes, .explicit_vr = true };
    struct dataset *header;
    struct error err;
    encode_text(&encoder, TAG_PATIENT_ID, VR_LO, patient);
    CHECK_OK(dataset_open(buffer_slice(&bytes),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &header, &err),
             err);
    const struct dicomdir_member member = { "DICOM\\A", study,
                                            series,     "1.2.840.10008.5.1.4.1.1.2",
                                            instance,   "1.2.840.10008.1.2.1" };
    CHECK_OK(dicomdir_add(dicomdir, header, &member, &err), err);
    dataset_close(header);
    buffer_release(&bytes);
}

/* The data set of a directory that is small enough to be in memory. */
static struct dataset *open_directory(struct dicomdir *dicomdir, struct slice *bytes)
{
    struct scratch *scratch;
    struct file_meta meta = { 0 };
    struct file_range file;
    struct dataset *directory;
    struct error err;
    bool is_file, complete;
    CHECK_OK(dicomdir_finish(dicomdir, &scratch, &err), err);
    CHECK_OK(scratch_give(scratch, &is_file, bytes, &file, &err), err);
    CHECK(!is_file);
    CHECK_OK(file_meta_read(*bytes, &meta, &complete, &err), err);
    CHECK_TEXT(meta.sop_instance, "1.2.3");
    CHECK_OK(dataset_open(slice_skip(*bytes, meta.size),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &directory, &err),
             err);
    return directory;
}

static int64_t integer(const struct dataset *record, uint32_t tag)
{
    int64_t value;
    CHECK(dataset_integer(record, tag, &value));
    return value;
}

TEST(a_directory_has_a_record_for_each_patient_study_series_and_instance)
{
    static const char *const types[] = { "PATIENT", "STUDY", "SERIES", "IMAGE",  "IMAGE",
                                         "SERIES",  "IMAGE", "STUDY",  "SERIES", "IMAGE",
                                         "PATIENT", "STUDY", "SERIES", "IMAGE" };
    struct dicomdir *dicomdir = dicomdir_new("1.2.3", -1);
    struct slice bytes;
    add(dicomdir, "P1", "1.1", "1.1.1", "1.1.1.1");
    add(dicomdir, "P1", "1.1", "1.1.1", "1.1.1.2");
    add(dicomdir, "P1", "1.1", "1.1.2", "1.1.2.1");
    add(dicomdir, "P1", "1.2", "1.2.1", "1.2.1.1");
    add(dicomdir, "P2", "1.3", "1.3.1", "1.3.1.1");
    struct dataset *directory = open_directory(dicomdir, &bytes);
    CHECK_INT(dataset_item_count(directory, SEQUENCE_TAG), sizeof(types) / sizeof(types[0]));
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct dataset *record = dataset_item(directory, SEQUENCE_TAG, i);
        char type[17];
        CHECK(dataset_string(record, TYPE_TAG, type, sizeof(type)));
        CHECK_TEXT(type, types[i]);
        bool has_next = i == 0 || i == 1 || i == 2 || i == 3;
        CHECK((integer(record, NEXT_TAG) != 0) == has_next);
        CHECK((integer(record, LOWER_TAG) != 0) == (strcmp(type, "IMAGE") != 0));
        /* An offset is where an item begins. */
        uint64_t next = (uint64_t)integer(record, has_next ? NEXT_TAG : LOWER_TAG);
        CHECK(!next || get_u32le(bytes.data + next) == 0xE000FFFE);
        dataset_close(record);
    }
    dataset_close(directory);
    dicomdir_free(dicomdir);
}

TEST(a_directory_of_nothing_has_no_records)
{
    struct dicomdir *dicomdir = dicomdir_new("1.2.3", -1);
    struct slice bytes;
    struct dataset *directory = open_directory(dicomdir, &bytes);
    CHECK_INT(dataset_item_count(directory, SEQUENCE_TAG), 0);
    CHECK_INT(integer(directory, 0x00041200), 0);
    CHECK_INT(integer(directory, 0x00041202), 0);
    dataset_close(directory);
    dicomdir_free(dicomdir);
}

/* Is more than its memory may be, and so has been changed in a file. */
TEST(a_directory_of_many_series_is_linked_to_its_end)
{
    struct dicomdir *dicomdir = dicomdir_new("1.2.3", -1);
    struct scratch *scratch;
    struct slice bytes;
    struct file_range file;
    struct error err;
    bool is_file;
    char series[32], instance[32];
    for (int i = 0; i < 5000; i++) {
        snprintf(series, sizeof(series), "1.1.%d", i);
        snprintf(instance, sizeof(instance), "1.1.%d.1", i);
        add(dicomdir, "P1", "1.1", series, instance);
    }
    CHECK_OK(dicomdir_finish(dicomdir, &scratch, &err), err);
    CHECK_OK(scratch_give(scratch, &is_file, &bytes, &file, &err), err);
    CHECK(is_file);
    uint8_t *copy = malloc(file.size);
    CHECK(pread(file.fd, copy, file.size, 0) == (ssize_t)file.size);
    /* PATIENT, STUDY, then the series one after the other. */
    struct file_meta meta = { 0 };
    bool complete;
    CHECK_OK(file_meta_read(slice_of(copy, file.size), &meta, &complete, &err), err);
    uint64_t patient = get_u32le(copy + meta.size + 8 + 8);
    uint64_t study = get_u32le(copy + patient + 38);
    int count = 0;
    for (uint64_t at = get_u32le(copy + study + 38); at; at = get_u32le(copy + at + 16)) {
        CHECK(at + 42 < file.size && get_u32le(copy + at) == 0xE000FFFE);
        CHECK(get_u32le(copy + get_u32le(copy + at + 38)) == 0xE000FFFE);
        count++;
    }
    CHECK_INT(count, 5000);
    free(copy);
    dicomdir_free(dicomdir);
}
