/* SPDX-License-Identifier: MIT */
#include "archive/ingest.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "archive/changes.h"
#include "archive/core.h"
#include "archive/delete.h"
#include "archive/retrieve.h"
#include "base/memory.h"
#include "dicom/encode.h"
#include "dicom/part10.h"
#include "tests/archive/fixture.h"

static const struct object ct = {
    .study = "1.2.1",
    .series = "1.2.1.1",
    .instance = "1.2.1.1.1",
    .patient_id = "PAT1",
    .patient_name = "DOE^JANE",
    .study_date = "20260102",
    .modality = "CT",
    .series_number = "1",
    .instance_number = "1",
    .pixels = 1000,
};

static void check_code(bool ok, const struct error *err, enum error_code code, uint32_t tag)
{
    if (ok || err->code != code || err->tag != tag)
        test_fail(__FILE__, __LINE__, "%s %08X: %s", ok ? "ok" : error_name(err->code), err->tag,
                  err->message);
}

/* Bytes of a file, as they come out. */
static void read_file(struct instance *instance, struct buffer *out)
{
    struct error err = { 0 };
    struct file_range file;
    CHECK_OK(instance_file(instance, &file, &err), err);
    struct space space = buffer_reserve(out, (size_t)file.size);
    CHECK_INT(pread(file.fd, space.data, space.size, (off_t)file.offset), (long long)file.size);
    buffer_advance(out, space.size);
}

static void check_one_stored(bool in_memory)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct instance *instance;
    struct buffer dataset = buffer_up_to(1 << 20);
    struct buffer file = buffer_up_to(1 << 20);
    struct file_meta meta;
    bool complete;
    fixture_open(&fixture, in_memory);
    store(&fixture, &ct);
    CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
    CHECK_OK(instance_open(fixture.archive, ct.study, ct.series, ct.instance, &instance, &err),
             err);
    read_file(instance, &file);
    CHECK_OK(file_meta_read(buffer_slice(&file), &meta, &complete, &err), err);
    CHECK(complete);
    CHECK_TEXT(meta.source_ae, "MODALITY");
    CHECK_TEXT(meta.transfer_syntax, UID_EXPLICIT_LITTLE_ENDIAN);
    CHECK_TEXT(meta.sop_instance, ct.instance);
    object_encode(&ct, &dataset);
    CHECK(slice_equal(slice_skip(buffer_slice(&file), meta.size), buffer_slice(&dataset)));
    buffer_release(&dataset);
    buffer_release(&file);
    instance_close(instance);
    fixture_close(&fixture);
}

TEST(a_bare_data_set_is_kept_as_it_came_with_file_meta_in_front)
{
    check_one_stored(true);
    check_one_stored(false);
}

TEST(a_part_10_file_is_kept_as_it_came_in_any_pieces)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct buffer file = buffer_up_to(1 << 20);
    struct buffer stored = buffer_up_to(1 << 20);
    struct file_meta meta = { CT_IMAGE_STORAGE, "1.2.1.1.1", UID_EXPLICIT_LITTLE_ENDIAN, "SCANNER",
                              0 };
    struct ingest_options options = { .part10 = true, .study = ct.study };
    enum ingest_outcome outcome;
    struct ingest *ingest;
    struct instance *instance;
    fixture_open(&fixture, true);
    file_meta_write(&meta, &file);
    object_encode(&ct, &file);
    CHECK_OK(ingest_open(fixture.archive, &options, &ingest, &err), err);
    for (size_t at = 0; at < file.size; at += 7)
        CHECK_OK(ingest_write(ingest, slice_take(slice_skip(buffer_slice(&file), at), 7), &err),
                 err);
    CHECK_TEXT(ingest_identity(ingest)->instance, "1.2.1.1.1");
    CHECK_OK(ingest_commit(ingest, &outcome, &err), err);
    CHECK_TEXT(ingest_identity(ingest)->series, "1.2.1.1");
    ingest_close(ingest);
    CHECK_OK(instance_open(fixture.archive, ct.study, ct.series, ct.instance, &instance, &err),
             err);
    read_file(instance, &stored);
    CHECK(slice_equal(buffer_slice(&stored), buffer_slice(&file)));
    instance_close(instance);
    buffer_release(&file);
    buffer_release(&stored);
    fixture_close(&fixture);
}

static void check_duplicates(bool in_memory)
{
    struct fixture fixture;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    struct object other = ct;
    fixture_open(&fixture, in_memory);
    store(&fixture, &ct);
    CHECK_OK(object_store(fixture.archive, &ct, &outcome, &err), err);
    CHECK_INT(outcome, INGEST_DUPLICATE);
    CHECK_INT(changes_latest(fixture.archive), 1);

    other.fill = 1;
    check_code(object_store(fixture.archive, &other, &outcome, &err), &err, ERROR_CONFLICT,
               TAG_SOP_INSTANCE_UID);
    other = ct;
    other.series = "1.2.1.2";
    check_code(object_store(fixture.archive, &other, &outcome, &err), &err, ERROR_CONFLICT,
               TAG_SOP_INSTANCE_UID);
    other = ct;
    other.study = "1.2.9";
    check_code(object_store(fixture.archive, &other, &outcome, &err), &err, ERROR_CONFLICT,
               TAG_SOP_INSTANCE_UID);
    other = ct;
    other.patient_id = "PAT2";
    check_code(object_store(fixture.archive, &other, &outcome, &err), &err, ERROR_CONFLICT,
               TAG_SOP_INSTANCE_UID);
    CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
    CHECK_INT(changes_latest(fixture.archive), 1);
    fixture_close(&fixture);
}

TEST(the_same_bytes_again_are_a_success_and_other_bytes_a_conflict)
{
    check_duplicates(true);
    check_duplicates(false);
}

TEST(a_twin_too_big_for_memory_is_compared_on_the_disk)
{
    struct fixture fixture;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    struct storage_figures before, after;
    struct object big = ct;
    big.pixels = 40 << 20;
    fixture_open(&fixture, true);
    store(&fixture, &big);
    storage_figures(fixture.storage, &before);
    CHECK_OK(object_store(fixture.archive, &big, &outcome, &err), err);
    CHECK_INT(outcome, INGEST_DUPLICATE);
    big.fill = 1;
    check_code(object_store(fixture.archive, &big, &outcome, &err), &err, ERROR_CONFLICT,
               TAG_SOP_INSTANCE_UID);
    storage_figures(fixture.storage, &after);
    CHECK_INT(after.blob_bytes, before.blob_bytes);
    CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
    fixture_close(&fixture);
}

TEST(missing_uids_and_those_unlike_the_command_are_a_mismatch_that_names_the_tag)
{
    struct fixture fixture;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    struct object object = ct;
    struct buffer dataset = buffer_up_to(1 << 20);
    fixture_open(&fixture, true);
    object.study = NULL;
    check_code(object_store(fixture.archive, &object, &outcome, &err), &err, ERROR_MISMATCH,
               TAG_STUDY_INSTANCE_UID);
    object = ct;
    object.series = "";
    check_code(object_store(fixture.archive, &object, &outcome, &err), &err, ERROR_MISMATCH,
               TAG_SERIES_INSTANCE_UID);
    object_encode(&ct, &dataset);
    check_code(bytes_store(fixture.archive, buffer_slice(&dataset), CT_IMAGE_STORAGE, "1.2.3",
                           &outcome, &err),
               &err, ERROR_MISMATCH, TAG_SOP_INSTANCE_UID);
    check_code(bytes_store(fixture.archive, buffer_slice(&dataset), "1.2.840.10008.5.1.4.1.1.4",
                           ct.instance, &outcome, &err),
               &err, ERROR_MISMATCH, TAG_SOP_CLASS_UID);
    check_code(bytes_store(fixture.archive, slice_of("", 0), CT_IMAGE_STORAGE, ct.instance,
                           &outcome, &err),
               &err, ERROR_MISMATCH, TAG_SOP_CLASS_UID);
    object = ct;
    object.study = "../../etc";
    check_code(object_store(fixture.archive, &object, &outcome, &err), &err, ERROR_INVALID,
               TAG_STUDY_INSTANCE_UID);
    CHECK_TEXT(counts_text(&fixture), "0 0 0 0");
    buffer_release(&dataset);
    fixture_close(&fixture);
}

TEST(an_instance_of_another_study_than_asked_for_is_a_mismatch)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct buffer file = buffer_up_to(1 << 20);
    struct file_meta meta = { CT_IMAGE_STORAGE, "1.2.1.1.1", UID_EXPLICIT_LITTLE_ENDIAN, "", 0 };
    struct ingest_options options = { .part10 = true, .study = "1.2.99" };
    enum ingest_outcome outcome;
    struct ingest *ingest;
    fixture_open(&fixture, true);
    file_meta_write(&meta, &file);
    object_encode(&ct, &file);
    CHECK_OK(ingest_open(fixture.archive, &options, &ingest, &err), err);
    CHECK_OK(ingest_write(ingest, buffer_slice(&file), &err), err);
    check_code(ingest_commit(ingest, &outcome, &err), &err, ERROR_MISMATCH, TAG_STUDY_INSTANCE_UID);
    ingest_close(ingest);
    buffer_release(&file);
    fixture_close(&fixture);
}

TEST(a_missing_patient_id_is_no_error_and_each_such_study_is_a_patient)
{
    struct fixture fixture;
    struct object object = ct;
    fixture_open(&fixture, true);
    object.patient_id = NULL;
    store(&fixture, &object);
    object.study = "1.2.2";
    object.series = "1.2.2.1";
    object.instance = "1.2.2.1.1";
    store(&fixture, &object);
    CHECK_TEXT(counts_text(&fixture), "2 2 2 2");
    CHECK_TEXT(
        query_list(query_by(&fixture, LEVEL_PATIENT, TAG_NUMBER_OF_PATIENT_RELATED_STUDIES, ""),
                   TAG_NUMBER_OF_PATIENT_RELATED_STUDIES),
        "1,1");
    fixture_close(&fixture);
}

TEST(a_broken_data_set_leaves_no_trace_and_every_further_call_fails_alike)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct error again = { 0 };
    struct storage_figures figures;
    struct ingest *ingest;
    struct space space;
    enum ingest_outcome outcome;
    struct ingest_options options = { .transfer_syntax = UID_EXPLICIT_LITTLE_ENDIAN,
                                      .sop_class = CT_IMAGE_STORAGE,
                                      .sop_instance = ct.instance };
    static const uint8_t broken[] = { 0x08, 0x00, 0x16, 0x00, 'U', 'I', 0xFF, 0x00, '1', '.' };
    fixture_open(&fixture, true);
    CHECK_OK(ingest_open(fixture.archive, &options, &ingest, &err), err);
    CHECK_OK(ingest_write(ingest, slice_of(broken, sizeof(broken)), &err), err);
    CHECK(!ingest_commit(ingest, &outcome, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    CHECK(!ingest_space(ingest, 100, &space, &again));
    CHECK_TEXT(again.message, err.message);
    CHECK(!ingest_commit(ingest, &outcome, &again));
    CHECK_TEXT(again.message, err.message);
    CHECK_TEXT(ingest_identity(ingest)->instance, ct.instance);
    ingest_close(ingest);

    CHECK_OK(ingest_open(fixture.archive, &options, &ingest, &err), err);
    CHECK_OK(ingest_write(ingest, slice_of(broken, 8), &err), err);
    ingest_close(ingest); /* the association was lost */
    storage_figures(fixture.storage, &figures);
    CHECK_INT(figures.blob_bytes, 0);
    CHECK_INT(figures.dead_bytes, 0);
    CHECK_TEXT(counts_text(&fixture), "0 0 0 0");
    CHECK_INT(changes_latest(fixture.archive), 0);
    store(&fixture, &ct);
    CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
    fixture_close(&fixture);
}

/* As `ct`, with 3 MiB of values that stand in the header. */
static void encode_with_large_header(struct buffer *out)
{
    static const uint8_t zeros[4096];
    struct encoder encoder = { out, .explicit_vr = true };
    object_encode(&ct, out);
    for (uint32_t i = 0; i < 768; i++)
        encode_bytes(&encoder, 0x7FE10000 | (0x1000 + i), VR_UN, slice_of(zeros, sizeof(zeros)));
}

TEST(HOS_22_large_headers_that_come_at_once_are_refused_above_a_limit_and_small_ones_never)
{
    struct fixture fixture;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    struct object other = ct;
    struct buffer bytes = buffer_up_to(8 << 20);
    const uint64_t much = (uint64_t)512 << 20;
    fixture_open(&fixture, true);
    encode_with_large_header(&bytes);
    atomic_fetch_add(&fixture.archive->scan_bytes, much); /* what others hold */
    CHECK(!bytes_store(fixture.archive, buffer_slice(&bytes), CT_IMAGE_STORAGE, ct.instance,
                       &outcome, &err));
    CHECK_INT(err.code, ERROR_NO_SPACE);
    CHECK_INT(atomic_load(&fixture.archive->scan_bytes), much);
    other.instance = "1.2.1.1.2";
    store(&fixture, &other);
    atomic_fetch_sub(&fixture.archive->scan_bytes, much);
    CHECK_OK(bytes_store(fixture.archive, buffer_slice(&bytes), CT_IMAGE_STORAGE, ct.instance,
                         &outcome, &err),
             err);
    CHECK_INT(atomic_load(&fixture.archive->scan_bytes), 0);
    CHECK_TEXT(counts_text(&fixture), "1 1 1 2");
    buffer_release(&bytes);
    fixture_close(&fixture);
}

TEST(unknown_sop_classes_are_stored_unless_they_are_to_be_refused)
{
    struct fixture fixture;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    struct object object = ct;
    struct archive_options options = { .ae_title = "STRICT",
                                       .refuse_unknown_sop_classes = true,
                                       .minimum_free_bytes = 1 };
    object.sop_class = "1.2.3.4.5.6";
    fixture_open(&fixture, true);
    store(&fixture, &object);
    fixture_close(&fixture);
    fixture_open_with(&fixture, true, &options);
    check_code(object_store(fixture.archive, &object, &outcome, &err), &err, ERROR_UNSUPPORTED,
               TAG_SOP_CLASS_UID);
    store(&fixture, &ct);
    fixture_close(&fixture);
}

TEST(a_disk_that_is_too_full_refuses_before_anything_is_written)
{
    struct fixture fixture;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    struct archive_options options = { .ae_title = "FULL", .minimum_free_bytes = UINT64_MAX };
    fixture_open_with(&fixture, true, &options);
    check_code(object_store(fixture.archive, &ct, &outcome, &err), &err, ERROR_NO_SPACE, 0);
    CHECK_TEXT(counts_text(&fixture), "0 0 0 0");
    fixture_close(&fixture);
}

/* Many threads into one study. */

enum { THREADS = 16, SERIES = 4, INSTANCES = 160, SOME_TWICE = 40 };

struct crowd {
    struct fixture *fixture;
    pthread_mutex_t lock;
    int order[INSTANCES + SOME_TWICE];
    int next; /* guarded by lock */
    int stored;
    int duplicate;
    int failed;
};

static void name_instance(int number, char series[UID_SIZE], char instance[UID_SIZE])
{
    snprintf(series, UID_SIZE, "1.2.1.%d", number % SERIES + 1);
    snprintf(instance, UID_SIZE, "1.2.1.%d.%d", number % SERIES + 1, number + 1);
}

static void *store_some(void *argument)
{
    struct crowd *crowd = argument;
    for (;;) {
        char series[UID_SIZE], instance[UID_SIZE], text[16];
        struct object object = ct;
        struct error err = { 0 };
        enum ingest_outcome outcome = INGEST_STORED;
        pthread_mutex_lock(&crowd->lock);
        int index = crowd->next++;
        pthread_mutex_unlock(&crowd->lock);
        if (index >= INSTANCES + SOME_TWICE)
            return NULL;
        int number = crowd->order[index];
        name_instance(number, series, instance);
        snprintf(text, sizeof(text), "%d", number);
        object.series = series;
        object.instance = instance;
        object.instance_number = text;
        object.modality = number % SERIES ? "CT" : "SR";
        bool ok = object_store(crowd->fixture->archive, &object, &outcome, &err);
        pthread_mutex_lock(&crowd->lock);
        crowd->stored += ok && outcome == INGEST_STORED;
        crowd->duplicate += ok && outcome == INGEST_DUPLICATE;
        crowd->failed += !ok;
        pthread_mutex_unlock(&crowd->lock);
    }
}

static void check_crowd(bool in_memory)
{
    struct fixture fixture;
    struct crowd crowd = { .fixture = &fixture };
    pthread_t threads[THREADS];
    fixture_open(&fixture, in_memory);
    pthread_mutex_init(&crowd.lock, NULL);
    for (int i = 0; i < INSTANCES + SOME_TWICE; i++)
        crowd.order[i] = i % INSTANCES;
    srand(7);
    for (int i = INSTANCES + SOME_TWICE - 1; i > 0; i--) {
        int other = rand() % (i + 1), kept = crowd.order[i];
        crowd.order[i] = crowd.order[other];
        crowd.order[other] = kept;
    }
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, store_some, &crowd), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(crowd.failed, 0);
    CHECK_INT(crowd.stored, INSTANCES);
    CHECK_INT(crowd.duplicate, SOME_TWICE);
    CHECK_TEXT(counts_text(&fixture), "1 1 4 160");
    CHECK_INT(changes_latest(fixture.archive), INSTANCES);
    struct query *query = query_new(fixture.archive, LEVEL_STUDY);
    query_key(query, TAG_NUMBER_OF_STUDY_RELATED_INSTANCES, "160");
    query_key(query, TAG_NUMBER_OF_STUDY_RELATED_SERIES, "4");
    query_key(query, TAG_MODALITIES_IN_STUDY, "");
    CHECK_TEXT(query_list(query, TAG_MODALITIES_IN_STUDY), "CT\\SR");
    query = query_by(&fixture, LEVEL_SERIES, TAG_NUMBER_OF_SERIES_RELATED_INSTANCES, "");
    CHECK_TEXT(query_list(query, TAG_NUMBER_OF_SERIES_RELATED_INSTANCES), "40,40,40,40");
    query = query_by(&fixture, LEVEL_PATIENT, TAG_NUMBER_OF_PATIENT_RELATED_INSTANCES, "");
    CHECK_TEXT(query_list(query, TAG_NUMBER_OF_PATIENT_RELATED_INSTANCES), "160");
    pthread_mutex_destroy(&crowd.lock);
    fixture_close(&fixture);
}

TEST(sixteen_threads_store_one_study_shuffled_and_some_twice_and_all_counts_are_right)
{
    check_crowd(true);
    check_crowd(false);
}

/* Twins at the same moment: one is stored, the other is told so. */

struct twin {
    struct fixture *fixture;
    pthread_barrier_t *barrier;
    uint8_t fill;
    bool ok;
    enum ingest_outcome outcome;
    struct error err;
};

static void *store_twin(void *argument)
{
    struct twin *twin = argument;
    struct object object = ct;
    object.fill = twin->fill;
    pthread_barrier_wait(twin->barrier);
    twin->ok = object_store(twin->fixture->archive, &object, &twin->outcome, &twin->err);
    return NULL;
}

static int race(struct fixture *fixture, uint8_t other_fill)
{
    pthread_barrier_t barrier;
    pthread_t threads[2];
    struct twin twins[2] = { { .fixture = fixture, .barrier = &barrier },
                             { .fixture = fixture, .barrier = &barrier, .fill = other_fill } };
    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, store_twin, &twins[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    int loser = twins[0].ok && twins[0].outcome == INGEST_STORED ? 1 : 0;
    CHECK(twins[1 - loser].ok);
    CHECK_INT(twins[1 - loser].outcome, INGEST_STORED);
    if (!twins[loser].ok)
        return (int)twins[loser].err.code;
    CHECK_INT(twins[loser].outcome, INGEST_DUPLICATE);
    return ERROR_NONE;
}

TEST(of_twins_at_the_same_moment_one_is_stored_and_one_copy_is_kept)
{
    struct fixture fixture;
    struct error err = { 0 };
    uint64_t count;
    fixture_open(&fixture, true);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(race(&fixture, 0), ERROR_NONE);
        CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
        CHECK_OK(archive_delete(fixture.archive, ct.study, NULL, NULL, &count, &err), err);
        CHECK_INT(race(&fixture, 1), ERROR_CONFLICT);
        CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
        CHECK_OK(archive_delete(fixture.archive, ct.study, NULL, NULL, &count, &err), err);
    }
    fixture_close(&fixture);
}

TEST(what_the_first_instance_did_not_say_a_later_one_fills_in)
{
    struct fixture fixture;
    struct object object = ct;
    fixture_open(&fixture, true);
    object.patient_id = NULL;
    object.study_date = "";
    object.modality = NULL;
    store(&fixture, &object);
    CHECK_TEXT(
        query_list(query_by(&fixture, LEVEL_STUDY, TAG_PATIENT_ID, "PAT1"), TAG_STUDY_INSTANCE_UID),
        "");
    object = ct;
    object.instance = "1.2.1.1.2";
    object.patient_name = "OTHER^NAME";
    store(&fixture, &object);
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_STUDY, TAG_PATIENT_ID, "PAT1"), TAG_PATIENT_ID),
               "PAT1");
    CHECK_TEXT(
        query_list(query_by(&fixture, LEVEL_STUDY, TAG_STUDY_DATE, "20260101-"), TAG_STUDY_DATE),
        "20260102");
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_STUDY, TAG_MODALITIES_IN_STUDY, "CT"),
                          TAG_MODALITIES_IN_STUDY),
               "CT");
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_STUDY, TAG_PATIENT_NAME, ""), TAG_PATIENT_NAME),
               "DOE^JANE");
    CHECK_TEXT(counts_text(&fixture), "1 1 1 2");
    fixture_close(&fixture);
}

TEST(all_is_there_after_a_reopening)
{
    struct fixture fixture;
    struct object object = ct;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    fixture_open(&fixture, false);
    store(&fixture, &ct);
    object.instance = "1.2.1.1.2";
    store(&fixture, &object);
    fixture_reopen(&fixture);
    CHECK_TEXT(counts_text(&fixture), "1 1 1 2");
    CHECK_INT(changes_latest(fixture.archive), 2);
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_INSTANCE, TAG_PATIENT_NAME, "doe*"),
                          TAG_SOP_INSTANCE_UID),
               "1.2.1.1.1,1.2.1.1.2");
    CHECK_OK(object_store(fixture.archive, &object, &outcome, &err), err);
    CHECK_INT(outcome, INGEST_DUPLICATE);
    object.instance = "1.2.1.1.3";
    store(&fixture, &object);
    CHECK_INT(changes_latest(fixture.archive), 3);
    fixture_close(&fixture);
}
