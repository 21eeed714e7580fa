/* SPDX-License-Identifier: MIT */
#include "archive/verify.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/core.h"
#include "archive/delete.h"
#include "archive/lookup.h"
#include "archive/terms.h"
#include "dicom/encode.h"
#include "storage/blob.h"
#include "storage/transaction.h"
#include "tests/archive/fixture.h"

enum { RECORD_HEADER = 640 }; /* before the payload, docs/storage-format.md */

struct findings {
    struct verify_report report;
    struct verify_finding last[VERIFY_KIND_COUNT];
};

static void remember(void *context, const struct verify_finding *finding)
{
    ((struct findings *)context)->last[finding->kind] = *finding;
}

static struct findings verify(struct fixture *fixture, bool quick)
{
    struct error err = { 0 };
    struct findings findings = { 0 };
    struct verify_options options = { .quick = quick, .finding = remember, .context = &findings };
    CHECK_OK(archive_verify(fixture->archive, &options, NULL, &findings.report, &err), err);
    return findings;
}

static uint64_t all(const struct findings *findings)
{
    uint64_t sum = 0;
    for (int i = 0; i < VERIFY_KIND_COUNT; i++)
        sum += findings->report.findings[i];
    return sum;
}

/* "kind*count ..." in the order of the kinds. */
static const char *kinds(const struct findings *findings)
{
    static char text[512];
    size_t size = 0;
    text[0] = '\0';
    for (int i = 0; i < VERIFY_KIND_COUNT; i++)
        if (findings->report.findings[i])
            size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%s*%d", size ? " " : "",
                                     verify_kind_name((enum verify_kind)i),
                                     (int)findings->report.findings[i]);
    return text;
}

#define FIRST_STUDY                                                                                \
    .study = "1.1", .patient_id = "A", .patient_name = "Doe^Jane", .accession = "ACC1",            \
    .study_date = "20260101"
#define FIRST_SERIES FIRST_STUDY, .series = "1.1.1", .modality = "CT", .pixels = 5000

static const struct object objects[] = {
    { FIRST_SERIES, .instance = "1.1.1.1", .fill = 1 },
    { FIRST_SERIES, .instance = "1.1.1.2", .fill = 2 },
    { FIRST_STUDY, .series = "1.1.2", .instance = "1.1.2.1", .modality = "SR" },
    { .study = "1.2",
      .series = "1.2.1",
      .instance = "1.2.1.1",
      .patient_id = "A",
      .patient_name = "Doe^Jane",
      .study_date = "20260102",
      .modality = "MR",
      .pixels = 100 },
    { .study = "1.3", .series = "1.3.1", .instance = "1.3.1.1", .modality = "US", .pixels = 100 },
};
enum { OBJECTS = sizeof(objects) / sizeof(objects[0]) };

static void open_filled(struct fixture *fixture, bool in_memory)
{
    fixture_open(fixture, in_memory);
    for (size_t i = 0; i < OBJECTS; i++)
        store(fixture, &objects[i]);
}

static struct blob_id blob_of(struct fixture *fixture, const struct object *object)
{
    return fixture_blob_of(fixture, object->study, object->series, object->instance);
}

static void change(struct fixture *fixture, enum table table, struct slice key, const char *value,
                   size_t size)
{
    struct error err = { 0 };
    struct transaction *transaction;
    CHECK_OK(transaction_open(fixture->storage, &transaction, &err), err);
    if (value)
        transaction_put(transaction, table, key, slice_of(value, size));
    else
        transaction_delete(transaction, table, key);
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
}

static void take_out(struct fixture *fixture, enum table table, const struct key *key)
{
    struct error err = { 0 };
    struct buffer value = buffer_up_to(1 << 20);
    bool found;
    CHECK_OK(storage_get(fixture->storage, table, key_slice(key), &value, &found, &err), err);
    CHECK(found);
    buffer_release(&value);
    change(fixture, table, key_slice(key), NULL, 0);
}

/* Reads a value, flips a bit of it, and writes it back. */
static void alter(struct fixture *fixture, enum table table, const struct key *key, size_t at)
{
    struct error err = { 0 };
    struct buffer value = buffer_up_to(1 << 20);
    bool found;
    CHECK_OK(storage_get(fixture->storage, table, key_slice(key), &value, &found, &err), err);
    CHECK(found && at < value.size);
    value.data[at] ^= 1;
    change(fixture, table, key_slice(key), (const char *)value.data, value.size);
    buffer_release(&value);
}

TEST(nothing_is_found_in_a_whole_archive)
{
    for (int i = 0; i < 4; i++) {
        struct fixture fixture;
        open_filled(&fixture, i & 1);
        struct findings findings = verify(&fixture, i & 2);
        CHECK_TEXT(kinds(&findings), "");
        CHECK_INT(findings.report.instances, OBJECTS);
        CHECK_INT(findings.report.records, OBJECTS);
        CHECK_INT(findings.report.studies, 3);
        CHECK_INT(findings.report.leftovers, 0);
        CHECK(i & 2 ? findings.report.bytes == 0 : findings.report.bytes > 10000);
        fixture_close(&fixture);
    }
}

TEST(nothing_is_found_in_an_empty_archive_nor_after_deletes)
{
    struct fixture fixture;
    struct error err = { 0 };
    uint64_t count;
    fixture_open(&fixture, false);
    struct findings findings = verify(&fixture, false);
    CHECK_TEXT(kinds(&findings), "");
    for (size_t i = 0; i < OBJECTS; i++)
        store(&fixture, &objects[i]);
    CHECK_OK(archive_delete(fixture.archive, "1.1", "1.1.1", "1.1.1.1", &count, &err), err);
    CHECK_OK(archive_delete(fixture.archive, "1.2", NULL, NULL, &count, &err), err);
    fixture_reopen(&fixture);
    findings = verify(&fixture, false);
    CHECK_TEXT(kinds(&findings), "");
    CHECK_INT(findings.report.records, OBJECTS - 2);
    fixture_close(&fixture);
}

TEST(a_flipped_byte_of_pixels_is_a_corrupt_blob)
{
    struct fixture fixture;
    open_filled(&fixture, false);
    struct blob_id id = blob_of(&fixture, &objects[1]);
    fixture_flip(&fixture, id.segment, id.offset + RECORD_HEADER + id.size - 10);
    struct findings findings = verify(&fixture, false);
    CHECK_TEXT(kinds(&findings), "blob-corrupt*1");
    CHECK_TEXT(findings.last[VERIFY_BLOB_CORRUPT].identity.instance, "1.1.1.2");
    CHECK_INT(findings.last[VERIFY_BLOB_CORRUPT].segment, id.segment);
    CHECK_INT(findings.last[VERIFY_BLOB_CORRUPT].offset, id.offset);
    findings = verify(&fixture, true);
    CHECK_TEXT(kinds(&findings), ""); /* what quick leaves out */
    fixture_close(&fixture);
}

TEST(a_flipped_byte_of_a_record_header_is_a_corrupt_blob)
{
    struct fixture fixture;
    open_filled(&fixture, false);
    struct blob_id id = blob_of(&fixture, &objects[0]);
    fixture_flip(&fixture, id.segment, id.offset + 20);
    for (int quick = 0; quick < 2; quick++) {
        struct findings findings = verify(&fixture, quick);
        CHECK_TEXT(kinds(&findings), "blob-corrupt*1");
        CHECK_TEXT(findings.last[VERIFY_BLOB_CORRUPT].identity.instance, "1.1.1.1");
    }
    fixture_close(&fixture);
}

TEST(a_segment_that_is_gone_takes_its_blobs_along)
{
    struct fixture fixture;
    char path[256];
    open_filled(&fixture, false);
    struct blob_id id = blob_of(&fixture, &objects[0]);
    archive_close(fixture.archive);
    storage_close(fixture.storage);
    snprintf(path, sizeof(path), "%s/segments/%010u.seg", fixture.folder, id.segment);
    CHECK(unlink(path) == 0);
    fixture.archive = NULL;
    fixture.storage = NULL;
    fixture_reopen(&fixture);
    struct findings findings = verify(&fixture, false);
    CHECK_TEXT(kinds(&findings), "blob-missing*5");
    fixture_close(&fixture);
}

TEST(a_segment_that_is_cut_off_is_found_without_reading_payloads)
{
    struct fixture fixture;
    char path[256];
    open_filled(&fixture, false);
    struct blob_id id = blob_of(&fixture, &objects[OBJECTS - 1]);
    snprintf(path, sizeof(path), "%s/segments/%010u.seg", fixture.folder, id.segment);
    CHECK(truncate(path, (off_t)(id.offset + RECORD_HEADER)) == 0);
    struct findings findings = verify(&fixture, true);
    CHECK_TEXT(kinds(&findings), "blob-corrupt*1");
    findings = verify(&fixture, false);
    CHECK_TEXT(kinds(&findings), "blob-corrupt*1");
    CHECK(truncate(path, 4096) == 0); /* not even a header is left */
    for (int quick = 0; quick < 2; quick++) {
        findings = verify(&fixture, quick);
        CHECK_TEXT(kinds(&findings), "blob-corrupt*5");
        CHECK(findings.report.unreadable > 0);
    }
    fixture_close(&fixture);
}

TEST(a_lost_instance_record_leaves_a_blob_and_a_term_behind)
{
    struct fixture fixture;
    struct key key;
    open_filled(&fixture, false);
    key_place(&key, RECORD_INSTANCE, "1.1", "1.1.1", "1.1.1.2");
    take_out(&fixture, TABLE_RECORD, &key);
    struct findings findings = verify(&fixture, false);
    /* The series and the study count one too many, and its header stands alone. */
    CHECK_TEXT(kinds(&findings), "blob-unknown*1 count-wrong*2 term-unknown*1 document-wrong*1");
    CHECK_TEXT(findings.last[VERIFY_BLOB_UNKNOWN].identity.instance, "1.1.1.2");
    CHECK_TEXT(findings.last[VERIFY_TERM_UNKNOWN].identity.instance, "1.1.1.2");
    fixture_close(&fixture);
}

TEST(a_lost_key_of_any_table_is_found)
{
    static const struct {
        enum table table;
        char kind;
        const char *found;
    } cases[] = {
        { TABLE_RECORD, RECORD_SERIES, "count-wrong*2 term-unknown*1" },
        { TABLE_DOCUMENT, DOCUMENT_HEADER, "document-wrong*1" },
        { TABLE_TERM, TERM_INSTANCE, "term-missing*1" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        struct key key;
        open_filled(&fixture, true);
        if (cases[i].kind == TERM_INSTANCE)
            term_instance_key(&key, "1.1.1.1");
        else
            key_place(&key, cases[i].kind, "1.1", "1.1.1",
                      cases[i].kind == RECORD_SERIES ? NULL : "1.1.1.1");
        take_out(&fixture, cases[i].table, &key);
        struct findings findings = verify(&fixture, false);
        CHECK_TEXT(kinds(&findings), cases[i].found);
        fixture_close(&fixture);
    }
}

TEST(a_lost_term_of_a_study_is_found)
{
    static const char fields[] = { TERM_ACCESSION_NUMBER, TERM_DATE, TERM_PATIENT_ID, TERM_MODALITY,
                                   TERM_PATIENT_NAME };
    for (size_t i = 0; i < sizeof(fields); i++) {
        struct fixture fixture;
        struct error err = { 0 };
        struct storage_cursor *cursor;
        struct slice term;
        struct key key = { .size = 0 };
        bool found;
        open_filled(&fixture, true);
        CHECK_OK(storage_cursor_open_prefix(fixture.storage, TABLE_TERM, slice_of(&fields[i], 1),
                                            &cursor, &err),
                 err);
        CHECK_OK(storage_cursor_next(cursor, &term, NULL, &found, &err), err);
        CHECK(found);
        key_add(&key, term);
        storage_cursor_close(cursor);
        take_out(&fixture, TABLE_TERM, &key);
        struct findings findings = verify(&fixture, false);
        CHECK_TEXT(kinds(&findings), "term-missing*1");
        fixture_close(&fixture);
    }
}

TEST(a_term_that_leads_nowhere_is_found)
{
    struct fixture fixture;
    struct key key;
    open_filled(&fixture, true);
    key_start(&key, TERM_ACCESSION_NUMBER);
    key_add(&key, slice_of("OTHER\0"
                           "79739898235959"
                           "1.1",
                           23));
    change(&fixture, TABLE_TERM, key_slice(&key), "", 0); /* a study that is there */
    key_add(&key, slice_text(".7"));
    change(&fixture, TABLE_TERM, key_slice(&key), "", 0); /* and one that is not */
    term_instance_key(&key, "1.9.9");
    change(&fixture, TABLE_TERM, key_slice(&key),
           "1.1\0"
           "1.1.1",
           9);
    term_series_key(&key, "1.9");
    key_add(&key, slice_text("1.1"));
    change(&fixture, TABLE_TERM, key_slice(&key), "", 0);
    struct findings findings = verify(&fixture, false);
    CHECK_TEXT(kinds(&findings), "term-unknown*4");
    fixture_close(&fixture);
}

TEST(wrong_counts_are_found)
{
    struct fixture fixture;
    struct key key;
    open_filled(&fixture, true);
    key_start(&key, RECORD_COUNTS);
    alter(&fixture, TABLE_RECORD, &key, 1 + 3 * 8); /* instances */
    struct findings findings = verify(&fixture, true);
    CHECK_TEXT(kinds(&findings), "count-wrong*1");
    alter(&fixture, TABLE_RECORD, &key, 1 + 3 * 8);

    key_patient(&key, slice_text("A"), slice_text(""), "");
    alter(&fixture, TABLE_RECORD, &key, 1); /* studies */
    findings = verify(&fixture, true);
    CHECK_TEXT(kinds(&findings), "count-wrong*1");
    alter(&fixture, TABLE_RECORD, &key, 1);

    key_place(&key, RECORD_SERIES, "1.1", "1.1.1", NULL);
    alter(&fixture, TABLE_RECORD, &key, 1 + 5 * 8); /* bytes */
    findings = verify(&fixture, true);
    CHECK_TEXT(kinds(&findings), "count-wrong*1");
    CHECK_TEXT(findings.last[VERIFY_COUNT_WRONG].identity.series, "1.1.1");
    alter(&fixture, TABLE_RECORD, &key, 1 + 5 * 8);

    key_place(&key, RECORD_STUDY, "1.1", NULL, NULL);
    alter(&fixture, TABLE_RECORD, &key, 1 + 4 * 8); /* instances: patient and archive follow */
    findings = verify(&fixture, true);
    CHECK_TEXT(kinds(&findings), "count-wrong*3");
    alter(&fixture, TABLE_RECORD, &key, 1 + 4 * 8);
    findings = verify(&fixture, false);
    CHECK_TEXT(kinds(&findings), "");
    fixture_close(&fixture);
}

TEST(values_of_another_version_are_an_unreadable_index)
{
    struct fixture fixture;
    struct key key;
    open_filled(&fixture, true);
    key_place(&key, RECORD_INSTANCE, "1.2", "1.2.1", "1.2.1.1");
    alter(&fixture, TABLE_RECORD, &key, 0);
    struct findings findings = verify(&fixture, false);
    CHECK_INT(findings.report.findings[VERIFY_INDEX_CORRUPT], 1);
    CHECK_TEXT(findings.last[VERIFY_INDEX_CORRUPT].identity.instance, "1.2.1.1");
    alter(&fixture, TABLE_RECORD, &key, 0);
    key_place(&key, RECORD_SERIES, "1.2", "1.2.1", NULL);
    alter(&fixture, TABLE_RECORD, &key, 0);
    findings = verify(&fixture, false);
    CHECK_INT(findings.report.findings[VERIFY_INDEX_CORRUPT], 1);
    fixture_close(&fixture);
}

TEST(a_header_that_is_not_the_blobs_is_found)
{
    struct fixture fixture;
    struct key key;
    open_filled(&fixture, true);
    key_place(&key, DOCUMENT_HEADER, "1.1", "1.1.1", "1.1.1.1");
    alter(&fixture, TABLE_DOCUMENT, &key, 60);
    struct findings findings = verify(&fixture, false);
    CHECK_TEXT(kinds(&findings), "document-wrong*1");
    CHECK_TEXT(findings.last[VERIFY_DOCUMENT_WRONG].identity.instance, "1.1.1.1");
    fixture_close(&fixture);
}

static void store_image(struct fixture *fixture, const char *instance)
{
    static const uint8_t pixels[64 * 64];
    struct error err = { 0 };
    enum ingest_outcome outcome;
    struct buffer bytes = buffer_up_to(1 << 20);
    struct encoder encoder = { &bytes, true };
    encode_text(&encoder, TAG_SOP_CLASS_UID, VR_UI, CT_IMAGE_STORAGE);
    encode_text(&encoder, TAG_SOP_INSTANCE_UID, VR_UI, instance);
    encode_text(&encoder, TAG_STUDY_INSTANCE_UID, VR_UI, "3");
    encode_text(&encoder, TAG_SERIES_INSTANCE_UID, VR_UI, "3.1");
    encode_u16(&encoder, TAG_SAMPLES_PER_PIXEL, 1);
    encode_u16(&encoder, TAG_ROWS, 64);
    encode_u16(&encoder, TAG_COLUMNS, 64);
    encode_u16(&encoder, TAG_BITS_ALLOCATED, 8);
    encode_bytes(&encoder, TAG_PIXEL_DATA, VR_OB, slice_of(pixels, sizeof(pixels)));
    CHECK_OK(bytes_store(fixture->archive, buffer_slice(&bytes), CT_IMAGE_STORAGE, instance,
                         &outcome, &err),
             err);
    buffer_release(&bytes);
}

TEST(a_table_of_frames_that_is_missing_or_points_elsewhere_is_found)
{
    struct fixture fixture;
    struct key key;
    fixture_open(&fixture, true);
    store_image(&fixture, "3.1.1");
    store_image(&fixture, "3.1.2");
    struct findings findings = verify(&fixture, false);
    CHECK_TEXT(kinds(&findings), "");
    key_place(&key, DOCUMENT_FRAMES, "3", "3.1", "3.1.1");
    take_out(&fixture, TABLE_DOCUMENT, &key);
    key_place(&key, DOCUMENT_FRAMES, "3", "3.1", "3.1.2");
    alter(&fixture, TABLE_DOCUMENT, &key, 8); /* the offset of the pixels */
    findings = verify(&fixture, false);
    CHECK_TEXT(kinds(&findings), "document-wrong*2");
    fixture_close(&fixture);
}

TEST(a_record_without_an_index_entry_is_unknown_and_one_that_was_replaced_is_a_leftover)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct blob_writer *writer;
    struct blob_id id;
    static const char *const keys[] = { "1.1\0"
                                        "1.1.1\0"
                                        "1.1.1.1",
                                        "1.8\0"
                                        "1.8.1\0"
                                        "1.8.1.1" };
    open_filled(&fixture, false);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(blob_writer_open(fixture.storage, slice_of(keys[i], 17), &writer, &err), err);
        CHECK_OK(blob_writer_write(writer, slice_text("bytes"), &err), err);
        CHECK_OK(blob_writer_finish(writer, &id, &err), err);
        blob_writer_close(writer);
    }
    for (int quick = 0; quick < 2; quick++) {
        struct findings findings = verify(&fixture, quick);
        CHECK_TEXT(kinds(&findings), "blob-unknown*1");
        CHECK_TEXT(findings.last[VERIFY_BLOB_UNKNOWN].identity.instance, "1.8.1.1");
        CHECK_INT(findings.report.leftovers, 1);
        CHECK_INT(verify_damage(&findings.report), 0);
    }
    fixture_close(&fixture);
}

static bool stop_at_once(void *context)
{
    ++*(int *)context;
    return true;
}

TEST(a_cancelled_verification_says_so)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct verify_options options = { 0 };
    struct verify_report report;
    int asked = 0;
    struct job job = { .cancelled = stop_at_once, .context = &asked };
    open_filled(&fixture, true);
    CHECK(!archive_verify(fixture.archive, &options, &job, &report, &err));
    CHECK_INT(err.code, ERROR_STOPPED);
    CHECK(asked > 0);
    fixture_close(&fixture);
}

/* Stores and deletes the same few studies until it is told to stop. */
struct traffic {
    struct fixture *fixture;
    int number;
    atomic_bool *stop;
    atomic_int *rounds;
    bool failed;
};

static void *make_traffic(void *argument)
{
    struct traffic *traffic = argument;
    char uids[3][UID_SIZE];
    uint64_t count;
    for (unsigned i = 0; !atomic_load(traffic->stop) && !traffic->failed; i++) {
        struct error err = { 0 };
        enum ingest_outcome outcome;
        snprintf(uids[0], UID_SIZE, "2.%u", i % 3 + 1);
        snprintf(uids[1], UID_SIZE, "2.%u.%u", i % 3 + 1, i % 5);
        snprintf(uids[2], UID_SIZE, "2.%u.%u.%d.%u", i % 3 + 1, i % 5, traffic->number, i % 11);
        struct object object = { .study = uids[0],
                                 .series = uids[1],
                                 .instance = uids[2],
                                 .patient_id = "T",
                                 .modality = i % 2 ? "CT" : "MR",
                                 .accession = i % 7 ? "X" : NULL,
                                 .pixels = 3000 };
        bool ok = object_store(traffic->fixture->archive, &object, &outcome, &err);
        traffic->failed = !ok && err.code != ERROR_BUSY && err.code != ERROR_CONFLICT;
        if (i % 4 == 3)
            archive_delete(traffic->fixture->archive, uids[0], i % 8 == 3 ? NULL : uids[1], NULL,
                           &count, &err);
        atomic_fetch_add(traffic->rounds, 1);
    }
    return NULL;
}

TEST(stores_and_deletes_meanwhile_are_no_findings)
{
    enum { THREADS = 3, ROUNDS = 150 };
    struct fixture fixture;
    pthread_t threads[THREADS];
    struct traffic traffic[THREADS];
    atomic_bool stop = false;
    atomic_int rounds = 0;
    open_filled(&fixture, false);
    for (int i = 0; i < THREADS; i++) {
        traffic[i] = (struct traffic){ &fixture, i, &stop, &rounds, false };
        CHECK(pthread_create(&threads[i], NULL, make_traffic, &traffic[i]) == 0);
    }
    struct findings findings = { 0 };
    int looks = 0;
    while (atomic_load(&rounds) < ROUNDS && !all(&findings)) {
        findings = verify(&fixture, looks++ % 2);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_TEXT(kinds(&findings), "");
    for (int i = 0; i < THREADS; i++)
        CHECK(!traffic[i].failed);
    findings = verify(&fixture, false);
    CHECK_TEXT(kinds(&findings), "");
    CHECK(looks > 0);
    fixture_close(&fixture);
}

TEST(what_others_keep_in_the_index_is_no_damage)
{
    struct fixture fixture;
    open_filled(&fixture, true);
    change(&fixture, TABLE_RECORD, slice_text("wS1.2.3"), "a step", 6);
    change(&fixture, TABLE_TERM, slice_text("wSl*1.2.3"), "", 0);
    struct findings findings = verify(&fixture, false);
    CHECK_INT(all(&findings), 0);
    fixture_close(&fixture);
}
