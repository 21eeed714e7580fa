/* SPDX-License-Identifier: MIT */
#include "archive/versions.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "archive/blob_key.h"
#include "archive/changes.h"
#include "archive/compact.h"
#include "archive/delete.h"
#include "archive/lookup.h"
#include "archive/rebuild.h"
#include "archive/retrieve.h"
#include "archive/verify.h"
#include "base/clock.h"
#include "dicom/part10.h"
#include "storage/blob.h"
#include "tests/archive/fixture.h"

enum { SEGMENT_SIZE = 1 << 20, KEPT = 3 };

static const struct object ct = {
    .study = "1.1",
    .series = "1.1.1",
    .instance = "1.1.1.1",
    .patient_id = "A",
    .patient_name = "DOE^JOHN",
    .modality = "CT",
    .series_number = "1",
    .pixels = 3000,
};

static void open_with(struct fixture *fixture, const char *folder, enum conflict_policy policy)
{
    struct error err = { 0 };
    const struct storage_options storage = { .path = folder,
                                             .segment_size = SEGMENT_SIZE,
                                             .cannot_punch = true };
    const struct archive_options archive = { .ae_title = "TESTARCHIVE",
                                             .minimum_free_bytes = 1,
                                             .on_conflict = policy,
                                             .versions_kept = KEPT };
    if (folder != fixture->folder)
        snprintf(fixture->folder, sizeof(fixture->folder), "%s", folder);
    CHECK_OK(storage_open(&storage, &fixture->storage, &err), err);
    CHECK_OK(archive_open(fixture->storage, &archive, &fixture->archive, &err), err);
}

static void open_replacing(struct fixture *fixture)
{
    open_with(fixture, test_folder(), CONFLICT_REPLACES);
}

static enum ingest_outcome put(struct fixture *fixture, const struct object *object)
{
    struct error err = { 0 };
    enum ingest_outcome outcome;
    CHECK_OK(object_store(fixture->archive, object, &outcome, &err), err);
    return outcome;
}

static struct object version_of(int number)
{
    static char description[32];
    struct object object = ct;
    snprintf(description, sizeof(description), "version %d", number);
    object.description = description;
    object.fill = (uint8_t)number;
    object.pixels = 3000 + 100 * (size_t)number;
    return object;
}

static void put_version(struct fixture *fixture, int number, enum ingest_outcome expected)
{
    struct object object = version_of(number);
    CHECK_INT(put(fixture, &object), expected);
}

/* Size and first pixel of what is retrieved, and what a query says of it. */
static void check_present(struct fixture *fixture, int number)
{
    struct error err = { 0 };
    struct instance *instance;
    struct file_range range;
    struct object object = version_of(number);
    struct buffer expected = buffer_up_to(1 << 20), found = buffer_up_to(1 << 20);
    const struct dataset *header;
    struct element element;
    object_encode(&object, &expected);
    CHECK_OK(instance_open(fixture->archive, ct.study, ct.series, ct.instance, &instance, &err),
             err);
    CHECK_OK(instance_dataset(instance, &range, &err), err);
    CHECK_INT(range.size, (long long)expected.size);
    struct space space = buffer_reserve(&found, (size_t)range.size);
    CHECK_OK(instance_read(instance, 0, space, &err), err);
    buffer_advance(&found, space.size);
    CHECK(slice_equal(buffer_slice(&found), buffer_slice(&expected)));
    CHECK_OK(instance_header(instance, &header, &err), err);
    CHECK(dataset_find(header, TAG_PIXEL_DATA, &element));
    CHECK_INT(element.size, (long long)object.pixels);
    instance_close(instance);
    buffer_release(&expected);
    buffer_release(&found);
    struct query *query = query_by(fixture, LEVEL_STUDY, TAG_STUDY_INSTANCE_UID, ct.study);
    query_key(query, TAG_STUDY_DESCRIPTION, "");
    CHECK_TEXT(query_list(query, TAG_STUDY_DESCRIPTION), object.description);
    CHECK_TEXT(counts_text(fixture), "1 1 1 1");
}

/* The fill bytes of the versions that are kept, oldest first; each is whole. */
static const char *versions_text(struct fixture *fixture)
{
    static char text[256];
    struct error err = { 0 };
    struct storage_cursor *cursor = NULL;
    struct instance_record record;
    struct slice key, value;
    struct identity identity;
    uint8_t kind = RECORD_OLD_VERSION;
    bool found;
    size_t size = 0;
    text[0] = '\0';
    instance_record_init(&record);
    CHECK_OK(storage_cursor_open_prefix(fixture->storage, TABLE_RECORD, slice_of(&kind, 1), &cursor,
                                        &err),
             err);
    while (storage_cursor_next(cursor, &key, &value, &found, &err) && found) {
        struct blob *blob = NULL;
        uint8_t last;
        CHECK(version_split_key(key, &identity));
        CHECK_TEXT(identity.instance, ct.instance);
        CHECK_OK(instance_record_decode(value, &record, &err), err);
        CHECK_OK(blob_open(fixture->storage, &record.blob, &blob, &err), err);
        CHECK_OK(blob_verify(blob, &err), err);
        CHECK_OK(blob_read(blob, record.blob.size - 1, (struct space){ &last, 1 }, &err), err);
        blob_close(blob);
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%d", size ? " " : "", last);
    }
    storage_cursor_close(cursor);
    instance_record_release(&record);
    return text;
}

static const char *actions(struct fixture *fixture)
{
    static const char letters[] = {
        [CHANGE_CREATE] = 'C', [CHANGE_UPDATE] = 'U', [CHANGE_DELETE] = 'D'
    };
    static const char states[] = {
        [CHANGE_CURRENT] = 'c', [CHANGE_REPLACED] = 'r', [CHANGE_DELETED] = 'd'
    };
    static char text[256];
    struct error err = { 0 };
    struct changes *changes;
    struct change change;
    enum change_state state;
    size_t size = 0;
    bool found;
    memset(text, 0, sizeof(text));
    CHECK_OK(changes_open(fixture->archive, 0, &changes, &err), err);
    while (changes_next(changes, &change, &found, &err) && found && size + 2 < sizeof(text)) {
        CHECK_OK(changes_state(fixture->archive, &change, &state, &err), err);
        text[size++] = letters[change.action];
        text[size++] = states[state];
    }
    changes_close(changes);
    return text;
}

static void rebuild(struct fixture *fixture, struct rebuild_report *report)
{
    const struct rebuild_options options = { .ae_title = "TESTARCHIVE" };
    struct error err = { 0 };
    archive_close(fixture->archive);
    storage_close(fixture->storage);
    CHECK_OK(archive_rebuild(fixture->folder, &options, NULL, report, &err), err);
    open_with(fixture, fixture->folder, CONFLICT_REPLACES);
}

TEST(STO_08_other_bytes_take_the_place_of_an_instance_and_the_old_version_is_kept)
{
    struct fixture fixture;
    open_replacing(&fixture);
    put_version(&fixture, 1, INGEST_STORED);
    put_version(&fixture, 1, INGEST_DUPLICATE);
    put_version(&fixture, 2, INGEST_REPLACED);
    put_version(&fixture, 2, INGEST_DUPLICATE);
    check_present(&fixture, 2);
    CHECK_TEXT(versions_text(&fixture), "1");
    CHECK_TEXT(actions(&fixture), "CrUc");
    CHECK_INT(fixture_findings(&fixture), 0);
    fixture_close(&fixture);
}

TEST(STO_08_an_older_version_that_comes_again_is_the_newest_then)
{
    struct fixture fixture;
    open_replacing(&fixture);
    put_version(&fixture, 1, INGEST_STORED);
    put_version(&fixture, 2, INGEST_REPLACED);
    put_version(&fixture, 1, INGEST_REPLACED);
    check_present(&fixture, 1);
    CHECK_TEXT(versions_text(&fixture), "1 2");
    fixture_close(&fixture);
}

TEST(STO_08_only_so_many_versions_are_kept)
{
    struct fixture fixture;
    open_replacing(&fixture);
    put_version(&fixture, 1, INGEST_STORED);
    for (int i = 2; i <= 6; i++)
        put_version(&fixture, i, INGEST_REPLACED);
    check_present(&fixture, 6);
    CHECK_TEXT(versions_text(&fixture), "3 4 5");
    CHECK_INT(fixture_findings(&fixture), 0);
    fixture_close(&fixture);
}

TEST(STO_08_the_first_stays_by_default)
{
    struct fixture fixture;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    struct object object = version_of(2);
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK(!object_store(fixture.archive, &object, &outcome, &err));
    CHECK_INT(err.code, ERROR_CONFLICT);
    CHECK_TEXT(actions(&fixture), "Cc");
    fixture_close(&fixture);
}

TEST(STO_09_what_belongs_elsewhere_replaces_nothing)
{
    struct fixture fixture;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    struct object others[] = { version_of(2), version_of(2), version_of(2), version_of(2),
                               version_of(2) };
    others[0].study = "1.2";
    others[1].series = "1.1.2";
    others[2].patient_id = "B";
    others[3].issuer = "OTHER";
    others[4].sop_class = "1.2.840.10008.5.1.4.1.1.4";
    open_replacing(&fixture);
    put_version(&fixture, 1, INGEST_STORED);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        CHECK(!object_store(fixture.archive, &others[i], &outcome, &err));
        CHECK_INT(err.code, ERROR_CONFLICT);
    }
    check_present(&fixture, 1);
    CHECK_TEXT(versions_text(&fixture), "");
    CHECK_INT(fixture_findings(&fixture), 0);
    fixture_close(&fixture);
}

TEST(STO_08_versions_go_with_their_instance_and_do_not_come_back)
{
    struct fixture fixture;
    struct rebuild_report report;
    struct error err = { 0 };
    uint64_t count;
    open_replacing(&fixture);
    put_version(&fixture, 1, INGEST_STORED);
    put_version(&fixture, 2, INGEST_REPLACED);
    CHECK_OK(archive_delete(fixture.archive, ct.study, NULL, NULL, &count, &err), err);
    CHECK_INT(count, 1);
    CHECK_TEXT(versions_text(&fixture), "");
    CHECK_TEXT(counts_text(&fixture), "0 0 0 0");
    CHECK_INT(fixture_findings(&fixture), 0);
    put_version(&fixture, 3, INGEST_STORED);
    check_present(&fixture, 3);
    CHECK_TEXT(versions_text(&fixture), "");
    rebuild(&fixture, &report);
    CHECK_INT(report.instances, 1);
    CHECK_INT(report.versions, 0);
    check_present(&fixture, 3);
    fixture_close(&fixture);
}

TEST(STO_08_an_index_made_anew_has_the_same_instance_and_versions)
{
    struct fixture fixture;
    struct rebuild_report report;
    struct error err = { 0 };
    open_replacing(&fixture);
    struct object second = version_of(7);
    second.instance = "1.1.1.2";
    CHECK_INT(put(&fixture, &second), INGEST_STORED);
    for (int i = 1; i <= 5; i++)
        put_version(&fixture, i, i == 1 ? INGEST_STORED : INGEST_REPLACED);
    CHECK_TEXT(versions_text(&fixture), "2 3 4");
    const struct rebuild_options dry = { .ae_title = "TESTARCHIVE", .dry_run = true };
    archive_close(fixture.archive);
    storage_close(fixture.storage);
    CHECK_OK(archive_rebuild(fixture.folder, &dry, NULL, &report, &err), err);
    CHECK_INT(report.instances, 2);
    CHECK_INT(report.versions, 3);
    CHECK_INT(report.refused, 0);
    open_with(&fixture, fixture.folder, CONFLICT_REPLACES);
    rebuild(&fixture, &report);
    CHECK_INT(report.instances, 2);
    CHECK_INT(report.versions, 3);
    CHECK_INT(report.refused + report.corrupt, 0);
    CHECK_TEXT(versions_text(&fixture), "2 3 4");
    uint64_t count;
    CHECK_OK(archive_delete(fixture.archive, ct.study, ct.series, "1.1.1.2", &count, &err), err);
    check_present(&fixture, 5);
    CHECK_INT(fixture_findings(&fixture), 0);
    fixture_close(&fixture);
}

TEST(STO_08_versions_are_moved_with_their_segment)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct compact_report report;
    struct rebuild_report rebuilt;
    const struct compact_options options = { .dead_share = 0.1 };
    uint64_t count;
    open_replacing(&fixture);
    put_version(&fixture, 1, INGEST_STORED);
    put_version(&fixture, 2, INGEST_REPLACED);
    for (int i = 0; i < 33; i++) {
        char uid[UID_SIZE];
        snprintf(uid, sizeof(uid), "1.5.1.%d", i);
        const struct object other = { .study = "1.5",
                                      .series = "1.5.1",
                                      .instance = uid,
                                      .patient_id = "B",
                                      .modality = "CT",
                                      .pixels = 100000 };
        CHECK_INT(put(&fixture, &other), INGEST_STORED);
    }
    CHECK_OK(archive_delete(fixture.archive, "1.5", NULL, NULL, &count, &err), err);
    unsigned turn = 0; /* space is given back a moment after a deletion */
    do
        CHECK_OK(archive_compact(fixture.archive, &options, NULL, &report, &err), err);
    while (!report.moved && test_wait(&turn));
    CHECK_INT(report.moved, 2);
    CHECK_INT(report.removed, 0);
    check_present(&fixture, 2);
    CHECK_TEXT(versions_text(&fixture), "1");
    CHECK_INT(fixture_findings(&fixture), 0);
    rebuild(&fixture, &rebuilt);
    CHECK_INT(rebuilt.versions, 1);
    check_present(&fixture, 2);
    fixture_close(&fixture);
}

/* What a reader has opened stays of one version. */
TEST(STO_08_header_and_bytes_of_a_reader_are_never_of_two_versions)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct instance *late, *early;
    const struct dataset *header;
    struct file_range range;
    struct element element;
    open_replacing(&fixture);
    put_version(&fixture, 1, INGEST_STORED);
    CHECK_OK(instance_open(fixture.archive, ct.study, ct.series, ct.instance, &early, &err), err);
    CHECK_OK(instance_open(fixture.archive, ct.study, ct.series, ct.instance, &late, &err), err);
    CHECK_OK(instance_header(early, &header, &err), err);
    put_version(&fixture, 2, INGEST_REPLACED);
    CHECK_OK(instance_dataset(early, &range, &err), err);
    CHECK(dataset_find(header, TAG_PIXEL_DATA, &element));
    CHECK_INT(element.size, 3100);
    CHECK(range.size > 3100 && range.size < element.offset + 3100 + 2);
    CHECK(!instance_header(late, &header, &err));
    CHECK_INT(err.code, ERROR_GONE);
    struct slice table;
    CHECK(!instance_frames(late, &table, &err));
    instance_close(early);
    instance_close(late);
    fixture_close(&fixture);
}

TEST(STO_08_a_retrieve_that_was_open_gives_what_took_the_place)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct retrieve *retrieve;
    struct instance *instance;
    const struct selection selection = { .studies = ct.study };
    open_replacing(&fixture);
    put_version(&fixture, 1, INGEST_STORED);
    CHECK_OK(retrieve_open(fixture.archive, &selection, &retrieve, &err), err);
    CHECK_INT(retrieve_count(retrieve), 1);
    put_version(&fixture, 2, INGEST_REPLACED);
    CHECK_OK(retrieve_next(retrieve, &instance, &err), err);
    CHECK(instance != NULL);
    retrieve_close(retrieve);
    fixture_close(&fixture);
}

/* What a crash leaves between the blob of a replacement and the transaction that refers to it. */
static void leave_blob(struct fixture *fixture, int number)
{
    struct error err = { 0 };
    struct blob_writer *writer = NULL;
    struct blob_id id;
    struct key key;
    struct object object = version_of(number);
    struct buffer file = buffer_up_to(1 << 20);
    const struct file_meta meta = { CT_IMAGE_STORAGE, "1.1.1.1", UID_EXPLICIT_LITTLE_ENDIAN, "CT",
                                    0 };
    const struct identity place = { .study = "1.1", .series = "1.1.1", .instance = "1.1.1.1" };
    const struct blob_facts facts = { .stored_at_us = clock_unix_us() + 2000, .replaces = true };
    file_meta_write(&meta, &file);
    object_encode(&object, &file);
    blob_key_encode(&key, &place, &facts);
    CHECK_OK(blob_writer_open(fixture->storage, key_slice(&key), &writer, &err), err);
    CHECK_OK(blob_writer_write(writer, buffer_slice(&file), &err), err);
    CHECK_OK(blob_writer_finish(writer, &id, &err), err);
    blob_writer_close(writer);
    buffer_release(&file);
}

TEST(STO_08_a_replacement_that_never_came_to_its_end_is_left_over_until_a_rebuild_takes_it)
{
    struct fixture fixture;
    struct rebuild_report report;
    open_replacing(&fixture);
    put_version(&fixture, 1, INGEST_STORED);
    leave_blob(&fixture, 2);
    check_present(&fixture, 1);
    CHECK_TEXT(versions_text(&fixture), "");
    CHECK_INT(fixture_findings(&fixture), 1); /* a leftover, which is no damage */
    rebuild(&fixture, &report);
    CHECK_INT(report.versions, 1);
    check_present(&fixture, 2);
    CHECK_TEXT(versions_text(&fixture), "1");
    CHECK_INT(fixture_findings(&fixture), 0);
    fixture_close(&fixture);
}

struct storer {
    struct fixture *fixture;
    int number;
    int stored;
};

static void *store_versions(void *argument)
{
    struct storer *storer = argument;
    for (int i = 0; i < 5; i++) {
        struct error err = { 0 };
        enum ingest_outcome outcome;
        char description[32];
        struct object object = ct;
        snprintf(description, sizeof(description), "version %d", storer->number * 5 + i);
        object.description = description;
        object.fill = (uint8_t)(storer->number * 5 + i);
        object.pixels = 3000 + 100 * (size_t)object.fill;
        if (object_store(storer->fixture->archive, &object, &outcome, &err))
            storer->stored++;
        else
            CHECK_INT(err.code, ERROR_BUSY);
    }
    return NULL;
}

TEST(STO_08_many_at_once_leave_one_and_the_index_made_anew_has_the_same)
{
    enum { STORERS = 6 };
    struct fixture fixture;
    struct storer storers[STORERS];
    pthread_t threads[STORERS];
    struct rebuild_report report;
    struct error err = { 0 };
    struct instance *instance;
    char versions[256];
    int stored = 0;
    open_replacing(&fixture);
    for (int i = 0; i < STORERS; i++) {
        storers[i] = (struct storer){ &fixture, i, 0 };
        CHECK_INT(pthread_create(&threads[i], NULL, store_versions, &storers[i]), 0);
    }
    for (int i = 0; i < STORERS; i++) {
        pthread_join(threads[i], NULL);
        stored += storers[i].stored;
    }
    CHECK(stored >= STORERS);
    CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
    CHECK_INT(fixture_findings(&fixture), 0);
    CHECK_OK(instance_open(fixture.archive, ct.study, ct.series, ct.instance, &instance, &err),
             err);
    uint32_t before = instance_checksum(instance);
    instance_close(instance);
    snprintf(versions, sizeof(versions), "%s", versions_text(&fixture));
    rebuild(&fixture, &report);
    CHECK_INT(report.versions, KEPT);
    CHECK_OK(instance_open(fixture.archive, ct.study, ct.series, ct.instance, &instance, &err),
             err);
    CHECK_INT(instance_checksum(instance), before);
    instance_close(instance);
    CHECK_TEXT(versions_text(&fixture), versions);
    fixture_close(&fixture);
}
