/* SPDX-License-Identifier: MIT */
#include "archive/study.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive/changes.h"
#include "archive/delete.h"
#include "base/memory.h"
#include "dicom/encode.h"
#include "tests/archive/fixture.h"

static void store_instance(struct fixture *fixture, const char *series, int number)
{
    char series_uid[20], instance[UID_SIZE], text[16];
    snprintf(series_uid, sizeof(series_uid), "1.1.%s", series);
    snprintf(instance, sizeof(instance), "%s.%d", series_uid, number);
    snprintf(text, sizeof(text), "%d", number);
    struct object object = { .study = "1.1",
                             .series = series_uid,
                             .instance = instance,
                             .patient_id = "A",
                             .patient_name = "DOE^JOHN",
                             .modality = "CT",
                             .series_number = series,
                             .instance_number = text };
    store(fixture, &object);
}

static const char *value(const struct dataset *dataset, uint32_t tag)
{
    static char text[100];
    dataset_string(dataset, tag, text, sizeof(text));
    return text;
}

TEST(a_study_is_a_tree_in_the_order_of_numbers)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct study *study;
    fixture_open(&fixture, true);
    store_instance(&fixture, "10", 2);
    store_instance(&fixture, "10", 10);
    store_instance(&fixture, "10", 1);
    store_instance(&fixture, "9", 1);
    CHECK_OK(study_open(fixture.archive, "1.1", &study, &err), err);
    CHECK_TEXT(study->uid, "1.1");
    CHECK_INT(study->change, 4);
    CHECK_INT(study->series_count, 2);
    CHECK_TEXT(study->series[0].uid, "1.1.9");
    CHECK_TEXT(study->series[1].uid, "1.1.10");
    CHECK_INT(study->series[1].instance_count, 3);
    CHECK_TEXT(study->series[1].instances[0].sop_instance, "1.1.10.1");
    CHECK_TEXT(study->series[1].instances[2].sop_instance, "1.1.10.10");
    CHECK_TEXT(study->series[1].instances[2].sop_class, CT_IMAGE_STORAGE);
    CHECK_TEXT(value(study->attributes, TAG_PATIENT_NAME), "DOE^JOHN");
    CHECK_TEXT(value(study->attributes, TAG_NUMBER_OF_STUDY_RELATED_INSTANCES), "4");
    CHECK_TEXT(value(study->series[0].attributes, TAG_MODALITY), "CT");
    CHECK_TEXT(value(study->series[1].attributes, TAG_NUMBER_OF_SERIES_RELATED_INSTANCES), "3");
    CHECK_TEXT(value(study->series[1].instances[2].attributes, TAG_INSTANCE_NUMBER), "10");
    CHECK_TEXT(value(study->header, TAG_SOP_INSTANCE_UID), "1.1.9.1");
    CHECK_TEXT(value(study->series[1].header, TAG_SOP_INSTANCE_UID), "1.1.10.1");
    study_close(study);
    fixture_close(&fixture);
}

TEST(a_study_that_is_not_there_never_was_or_is_gone)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct study *study;
    uint64_t count;
    fixture_open(&fixture, true);
    CHECK(!study_open(fixture.archive, "1.1", &study, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    store_instance(&fixture, "1", 1);
    CHECK_OK(archive_delete(fixture.archive, "1.1", NULL, NULL, &count, &err), err);
    CHECK(!study_open(fixture.archive, "1.1", &study, &err));
    CHECK_INT(err.code, ERROR_GONE);
    CHECK(!study_open(fixture.archive, "../x", &study, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    fixture_close(&fixture);
}

TEST(all_studies_can_be_walked_one_by_one)
{
    struct fixture fixture;
    struct error err = { 0 };
    char uid[UID_SIZE] = "", list[100] = "";
    bool found;
    static const char *const uids[] = { "1.3", "1.1", "1.10", "1.2" };
    fixture_open(&fixture, true);
    for (int i = 0; i < 4; i++) {
        char series[20], instance[30];
        snprintf(series, sizeof(series), "%s.1", uids[i]);
        snprintf(instance, sizeof(instance), "%s.1", series);
        struct object object = { .study = uids[i], .series = series, .instance = instance };
        store(&fixture, &object);
    }
    for (;;) {
        CHECK_OK(study_next(fixture.archive, uid, uid, &found, &err), err);
        if (!found)
            break;
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s ", uid);
    }
    CHECK_TEXT(list, "1.1 1.10 1.2 1.3 ");
    fixture_close(&fixture);
}

struct writer {
    struct fixture *fixture;
    atomic_bool stop;
};

static void *store_and_delete(void *argument)
{
    struct writer *writer = argument;
    for (int i = 0; !atomic_load(&writer->stop) && i < 100000; i++) {
        char instance[UID_SIZE];
        struct error err = { 0 };
        enum ingest_outcome outcome;
        uint64_t count;
        snprintf(instance, sizeof(instance), "1.1.2.%d", i + 1);
        struct object object = { .study = "1.1", .series = "1.1.2", .instance = instance };
        object_store(writer->fixture->archive, &object, &outcome, &err);
        if (i % 3 == 2)
            archive_delete(writer->fixture->archive, "1.1", "1.1.2", NULL, &count, &err);
    }
    return NULL;
}

TEST(counts_and_lists_agree_while_the_study_changes)
{
    struct fixture fixture;
    struct writer writer = { .fixture = &fixture };
    struct error err = { 0 };
    pthread_t thread;
    fixture_open(&fixture, true);
    store_instance(&fixture, "1", 1);
    CHECK_INT(pthread_create(&thread, NULL, store_and_delete, &writer), 0);
    changes_wait(fixture.archive, 1, 10000);
    size_t wrong = 0;
    for (int i = 0; i < 300; i++) {
        struct study *study = NULL;
        size_t instances = 0;
        char text[16];
        if (!study_open(fixture.archive, "1.1", &study, &err)) {
            wrong++;
            continue;
        }
        for (size_t k = 0; k < study->series_count; k++)
            instances += study->series[k].instance_count;
        snprintf(text, sizeof(text), "%zu", instances);
        if (strcmp(value(study->attributes, TAG_NUMBER_OF_STUDY_RELATED_INSTANCES), text) != 0)
            wrong++;
        study_close(study);
    }
    atomic_store(&writer.stop, true);
    pthread_join(thread, NULL);
    CHECK_INT(wrong, 0);
    fixture_close(&fixture);
}

static void store_document(struct fixture *fixture, const char *sop_class, const char *instance,
                           size_t text_size)
{
    struct buffer bytes = buffer_up_to(1 << 20);
    struct encoder encoder = { &bytes, true };
    struct error err = { 0 };
    enum ingest_outcome outcome;
    char *text = mem_alloc(text_size + 1);
    memset(text, 'x', text_size);
    encode_text(&encoder, TAG_SOP_CLASS_UID, VR_UI, sop_class);
    encode_text(&encoder, TAG_SOP_INSTANCE_UID, VR_UI, instance);
    encode_text(&encoder, TAG_STUDY_INSTANCE_UID, VR_UI, "1.1");
    encode_text(&encoder, TAG_SERIES_INSTANCE_UID, VR_UI, "1.1.7");
    encode_text(&encoder, 0x0040A160, VR_UT, text);
    CHECK_OK(
        bytes_store(fixture->archive, buffer_slice(&bytes), sop_class, instance, &outcome, &err),
        err);
    free(text);
    buffer_release(&bytes);
}

static size_t text_size(const struct dataset *document)
{
    struct buffer text = buffer_up_to(1 << 20);
    size_t size = document && dataset_text(document, 0x0040A160, &text) ? text.size : 0;
    buffer_release(&text);
    return size;
}

TEST(the_documents_of_a_study_are_given_out_with_their_long_texts)
{
    static const char basic_text[] = "1.2.840.10008.5.1.4.1.1.88.11";
    struct fixture fixture;
    struct error err = { 0 };
    struct study *study;
    fixture_open(&fixture, true);
    store_instance(&fixture, "1", 1);
    store_document(&fixture, basic_text, "1.1.7.1", 100);
    store_document(&fixture, basic_text, "1.1.7.2", 100000);
    store_document(&fixture, "1.2.840.10008.5.1.4.1.1.104.1", "1.1.7.3", 100000);
    CHECK_OK(study_open(fixture.archive, "1.1", &study, &err), err);
    CHECK_INT(study->series_count, 2);
    const struct study_series *documents =
        &study->series[study->series[0].instance_count == 3 ? 0 : 1];
    CHECK_INT(documents->instance_count, 3);
    CHECK_INT(text_size(documents->instances[0].document), 100);
    CHECK_INT(text_size(documents->instances[1].document), 100000);
    CHECK(documents->instances[2].document);
    CHECK_INT(text_size(documents->instances[2].document), 0); /* what it encapsulates stays out */
    CHECK(!study->series[documents == study->series].instances[0].document);
    CHECK_INT(study->documents_left_out, 0);
    study_close(study);
    fixture_close(&fixture);
}

TEST(documents_without_number_are_left_out_and_counted)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct study *study;
    char instance[UID_SIZE];
    fixture_open(&fixture, true);
    for (int i = 0; i < 503; i++) {
        snprintf(instance, sizeof(instance), "1.1.7.%d", i + 1);
        store_document(&fixture, "1.2.840.10008.5.1.4.1.1.88.11", instance, 10);
    }
    CHECK_OK(study_open(fixture.archive, "1.1", &study, &err), err);
    CHECK_INT(study->documents_left_out, 3);
    study_close(study);
    fixture_close(&fixture);
}
