/* SPDX-License-Identifier: MIT */
#include "archive/rebuild.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/blob_key.h"
#include "archive/changes.h"
#include "archive/core.h"
#include "archive/delete.h"
#include "archive/records.h"
#include "archive/retrieve.h"
#include "archive/tombstone.h"
#include "base/clock.h"
#include "dicom/encode.h"
#include "storage/blob.h"
#include "storage/transaction.h"
#include "tests/archive/fixture.h"

/* What the index says, table by table, but for the numbers of changes and the tombstones: those are
 * not in the segments. */

static bool is_left_out(enum table table, struct slice key)
{
    return table == TABLE_RECORD && key.data[0] == RECORD_TOMBSTONE;
}

static void add_study(struct slice value, struct buffer *out)
{
    struct error err = { 0 };
    struct study_record record;
    study_record_init(&record);
    CHECK_OK(study_record_decode(value, &record, &err), err);
    record.created = record.changed = 0;
    study_record_encode(&record, out);
    study_record_release(&record);
}

static void add_series(struct slice value, struct buffer *out)
{
    struct error err = { 0 };
    struct series_record record;
    series_record_init(&record);
    CHECK_OK(series_record_decode(value, &record, &err), err);
    record.created = record.changed = 0;
    series_record_encode(&record, out);
    series_record_release(&record);
}

static void add_instance(struct slice value, struct buffer *out)
{
    struct error err = { 0 };
    struct instance_record record;
    instance_record_init(&record);
    CHECK_OK(instance_record_decode(value, &record, &err), err);
    record.created = 0;
    instance_record_encode(&record, out);
    instance_record_release(&record);
}

static void add_value(enum table table, struct slice key, struct slice value, struct buffer *out)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    if (table == TABLE_RECORD && key.data[0] == RECORD_STUDY)
        add_study(value, &bytes);
    else if (table == TABLE_RECORD && key.data[0] == RECORD_SERIES)
        add_series(value, &bytes);
    else if (table == TABLE_RECORD && key.data[0] == RECORD_INSTANCE)
        add_instance(value, &bytes);
    else
        buffer_append(&bytes, value);
    buffer_append_u32le(out, (uint32_t)key.size);
    buffer_append_u32le(out, (uint32_t)bytes.size);
    buffer_append(out, key);
    buffer_append(out, buffer_slice(&bytes));
    buffer_release(&bytes);
}

struct dump {
    size_t keys;
    struct buffer bytes;
};

static struct dump dump_index(struct fixture *fixture)
{
    static const enum table tables[] = { TABLE_RECORD, TABLE_DOCUMENT, TABLE_TERM };
    struct dump dump = { 0, buffer_up_to(64 << 20) };
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        struct storage_cursor *cursor = NULL;
        struct slice key, value;
        struct error err = { 0 };
        bool found;
        CHECK_OK(storage_cursor_open_prefix(fixture->storage, tables[i], slice_of(NULL, 0), &cursor,
                                            &err),
                 err);
        while (storage_cursor_next(cursor, &key, &value, &found, &err) && found) {
            if (is_left_out(tables[i], key))
                continue;
            add_value(tables[i], key, value, &dump.bytes);
            dump.keys++;
        }
        CHECK_INT(err.code, ERROR_NONE);
        storage_cursor_close(cursor);
        buffer_append_byte(&dump.bytes, (uint8_t)i);
    }
    CHECK(!dump.bytes.overflowed);
    return dump;
}

static void check_same(struct dump *before, struct dump *after)
{
    CHECK_INT(after->keys, before->keys);
    CHECK(slice_equal(buffer_slice(&after->bytes), buffer_slice(&before->bytes)));
    buffer_release(&before->bytes);
    buffer_release(&after->bytes);
}

/* SOP Instance UIDs of what is there, in the order of its changes. */
static const char *feed_text(struct fixture *fixture)
{
    static char text[4096];
    struct error err = { 0 };
    struct changes *changes;
    struct change change;
    enum change_state state;
    size_t size = 0;
    bool found;
    text[0] = '\0';
    CHECK_OK(changes_open(fixture->archive, 0, &changes, &err), err);
    while (changes_next(changes, &change, &found, &err) && found) {
        CHECK_OK(changes_state(fixture->archive, &change, &state, &err), err);
        if (change.action != CHANGE_CREATE || state != CHANGE_CURRENT)
            continue;
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s ", change.identity.instance);
    }
    CHECK_INT(err.code, ERROR_NONE);
    changes_close(changes);
    return text;
}

static void close_archive(struct fixture *fixture)
{
    archive_close(fixture->archive);
    storage_close(fixture->storage);
    fixture->archive = NULL;
    fixture->storage = NULL;
}

static bool try_rebuild(struct fixture *fixture, bool dry_run, struct rebuild_report *report,
                        struct error *err)
{
    const struct rebuild_options options = { .ae_title = "TESTARCHIVE", .dry_run = dry_run };
    return archive_rebuild(fixture->folder, &options, NULL, report, err);
}

static void rebuild(struct fixture *fixture, struct rebuild_report *report)
{
    struct error err = { 0 };
    CHECK_OK(try_rebuild(fixture, false, report, &err), err);
}

static void shell(const char *format, const char *folder)
{
    char command[512];
    snprintf(command, sizeof(command), format, folder, folder, folder);
    CHECK(system(command) == 0);
}

/* How many names in the folder begin with `prefix`. */
static int count_names(const char *folder, const char *prefix)
{
    int count = 0;
    DIR *names = opendir(folder);
    CHECK(names != NULL);
    for (struct dirent *entry; (entry = readdir(names));)
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(names);
    return count;
}

/* What is stored. */

static void store_frames(struct fixture *fixture, const char *instance)
{
    struct error err = { 0 };
    enum ingest_outcome outcome;
    struct object object = {
        .study = "1.3", .series = "1.3.1", .instance = instance, .patient_id = "F", .modality = "US"
    };
    struct buffer dataset = buffer_up_to(1 << 20);
    struct encoder encoder = { &dataset, true };
    uint8_t pixels[3 * 16] = { 1, 2, 3 };
    object_encode(&object, &dataset);
    encode_u16(&encoder, 0x00280002, 1);
    encode_text(&encoder, 0x00280008, VR_IS, "3");
    encode_u16(&encoder, 0x00280010, 4);
    encode_u16(&encoder, 0x00280011, 4);
    encode_u16(&encoder, 0x00280100, 8);
    encode_bytes(&encoder, TAG_PIXEL_DATA, VR_OB, slice_of(pixels, sizeof(pixels)));
    CHECK_OK(bytes_store(fixture->archive, buffer_slice(&dataset), CT_IMAGE_STORAGE, instance,
                         &outcome, &err),
             err);
    buffer_release(&dataset);
}

static void next_millisecond(void)
{
    for (int64_t now = clock_unix_ms(); clock_unix_ms() == now;)
        ;
}

static void remove_place(struct fixture *fixture, const char *study, const char *series,
                         const char *instance)
{
    struct error err = { 0 };
    uint64_t count;
    CHECK_OK(archive_delete(fixture->archive, study, series, instance, &count, &err), err);
}

static void store_ct(struct fixture *fixture, const char *instance, size_t pixels)
{
    const struct object object = { .study = "1.1",
                                   .series = "1.1.1",
                                   .instance = instance,
                                   .patient_id = "A",
                                   .patient_name = "DOE^JOHN",
                                   .study_date = "20260101",
                                   .modality = "CT",
                                   .instance_number = "1",
                                   .pixels = pixels };
    store(fixture, &object);
}

/* Of everything something, with deletions, and with what comes back. */
static void fill(struct fixture *fixture)
{
    static const struct object objects[] = {
        { .study = "1.2",
          .series = "1.2.1",
          .instance = "1.2.1.1",
          .patient_id = "B",
          .issuer = "HOSPITAL",
          .patient_name = "Yamada^Tarou=\xe5\xb1\xb1\xe7\x94\xb0^\xe5\xa4\xaa\xe9\x83\x8e",
          .charset = "ISO_IR 192",
          .accession = "ACC1",
          .referring = "M\xc3\x9cLLER^EVA",
          .modality = "MR",
          .pixels = 100000 },
        { .study = "1.2",
          .series = "1.2.2",
          .instance = "1.2.2.1",
          .patient_id = "B",
          .issuer = "HOSPITAL",
          .sop_class = "1.2.826.0.1.3680043.2.1143.9.1", /* private */
          .description = "ADDED BY THE SECOND SERIES",
          .study_id = "S2",
          .modality = "OT",
          .step_id = "A\\B",
          .procedure_id = "P\\Q" },
        { .study = "1.4", .series = "1.4.1", .instance = "1.4.1.1", .modality = "SR" },
        { .study = "1.5", .series = "1.5.1", .instance = "1.5.1.1", .patient_id = "GONE" },
    };
    const struct object *again = &objects[0];
    struct object other = *again;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    store_ct(fixture, "1.1.1.1", 5000);
    for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++)
        store(fixture, &objects[i]);
    store_frames(fixture, "1.3.1.1");
    store_ct(fixture, "1.1.1.3", (size_t)34 << 20);
    store_ct(fixture, "1.1.1.2", 3000);
    store_frames(fixture, "1.3.1.2");
    CHECK_OK(object_store(fixture->archive, again, &outcome, &err), err);
    CHECK_INT(outcome, INGEST_DUPLICATE);
    other.fill = 9;
    CHECK(!object_store(fixture->archive, &other, &outcome, &err));
    CHECK_INT(err.code, ERROR_CONFLICT);
    remove_place(fixture, "1.1", "1.1.1", "1.1.1.2");
    remove_place(fixture, "1.4", NULL, NULL);
    store_ct(fixture, "1.1.1.2", 4000);
    store(fixture, &objects[2]);
    remove_place(fixture, "1.5", NULL, NULL);
}

TEST(a_rebuilt_index_equals_the_lost_one)
{
    struct fixture fixture;
    struct rebuild_report report;
    struct archive_counts counts;
    struct error err = { 0 };
    char feed[4096];
    fixture_open(&fixture, false);
    fill(&fixture);
    struct dump before = dump_index(&fixture);
    snprintf(feed, sizeof(feed), "%s", feed_text(&fixture));
    close_archive(&fixture);
    shell("rm -r %s/index", fixture.folder);
    rebuild(&fixture, &report);
    CHECK_INT(report.records, 8);
    CHECK_INT(report.instances, 8);
    CHECK_INT(report.corrupt + report.refused, 0);
    fixture_reopen(&fixture);
    struct dump after = dump_index(&fixture);
    check_same(&before, &after);
    CHECK_TEXT(feed_text(&fixture), feed);
    CHECK_OK(archive_count(fixture.archive, &counts, &err), err);
    CHECK_INT(counts.bytes, report.bytes);
    fixture_close(&fixture);
}

TEST(a_rebuilt_index_is_that_of_an_archive_which_nothing_else_was_ever_stored_into)
{
    struct fixture fixture, fresh;
    struct rebuild_report report;
    static const char *const uids[] = { "1.1.1.3", "1.1.1.1", "1.1.1.4", "1.1.1.2" };
    fixture_open(&fixture, false);
    fixture_open(&fresh, false);
    for (size_t i = 0; i < 4; i++)
        store_ct(&fixture, uids[i], 1000 * (i + 1));
    remove_place(&fixture, "1.1", "1.1.1", uids[0]); /* which the study's summary was made of */
    for (size_t i = 1; i < 4; i++)
        store_ct(&fresh, uids[i], 1000 * (i + 1));
    close_archive(&fixture);
    rebuild(&fixture, &report);
    fixture_reopen(&fixture);
    CHECK_TEXT(feed_text(&fixture), "1.1.1.1 1.1.1.4 1.1.1.2 ");
    struct study_record mine, other;
    struct error err = { 0 };
    struct key key;
    struct buffer value = buffer_up_to(RECORD_SIZE);
    bool found;
    study_record_init(&mine);
    study_record_init(&other);
    key_place(&key, RECORD_STUDY, "1.1", NULL, NULL);
    CHECK(storage_get(fixture.storage, TABLE_RECORD, key_slice(&key), &value, &found, &err));
    CHECK(found && study_record_decode(buffer_slice(&value), &mine, &err));
    CHECK(storage_get(fresh.storage, TABLE_RECORD, key_slice(&key), &value, &found, &err));
    CHECK(found && study_record_decode(buffer_slice(&value), &other, &err));
    CHECK_TEXT(mine.source_instance, other.source_instance);
    CHECK_TEXT(mine.source_instance, "1.1.1.1");
    CHECK_INT(mine.instances, other.instances);
    CHECK_INT(mine.bytes, other.bytes);
    CHECK(slice_equal(buffer_slice(&mine.summary.bytes), buffer_slice(&other.summary.bytes)));
    study_record_release(&mine);
    study_record_release(&other);
    buffer_release(&value);
    fixture_close(&fixture);
    fixture_close(&fresh);
}

TEST(numbers_of_the_change_feed_go_on_above_all_that_were_given_out)
{
    struct fixture fixture;
    struct rebuild_report report;
    fixture_open(&fixture, false);
    store_ct(&fixture, "1.1.1.1", 1000);
    int64_t before = clock_unix_us();
    uint64_t last = 0;
    for (int round = 0; round < 2; round++) {
        close_archive(&fixture);
        rebuild(&fixture, &report);
        fixture_reopen(&fixture);
        uint64_t latest = changes_latest(fixture.archive);
        CHECK(latest > (uint64_t)before && latest > last + 1);
        CHECK(latest < (uint64_t)1 << 53); /* a JSON number keeps it */
        last = latest;
        CHECK_TEXT(feed_text(&fixture), round ? "1.1.1.1 1.1.1.2 " : "1.1.1.1 ");
        if (round == 0)
            store_ct(&fixture, "1.1.1.2", 1000);
    }
    /* Also when nothing is left that a change could tell of. */
    remove_place(&fixture, "1.1", NULL, NULL);
    last = changes_latest(fixture.archive);
    close_archive(&fixture);
    rebuild(&fixture, &report);
    CHECK_INT(report.instances, 0);
    fixture_reopen(&fixture);
    CHECK(changes_latest(fixture.archive) > last);
    store_ct(&fixture, "1.1.1.3", 1000);
    CHECK(changes_latest(fixture.archive) > last);
    fixture_close(&fixture);
}

static struct blob_id blob_of(struct fixture *fixture, const char *instance)
{
    return fixture_blob_of(fixture, "1.1", "1.1.1", instance);
}

TEST(a_record_that_does_not_fit_its_checksum_is_left_out_and_kept)
{
    struct fixture fixture;
    struct rebuild_report report;
    fixture_open(&fixture, false);
    store_ct(&fixture, "1.1.1.1", 5000);
    store_ct(&fixture, "1.1.1.2", 5000);
    store_ct(&fixture, "1.1.1.3", 5000);
    struct blob_id id = blob_of(&fixture, "1.1.1.3"); /* the last one: not taken for half written */
    close_archive(&fixture);
    fixture_flip(&fixture, id.segment, id.offset + 640 + 3000);
    for (int round = 0; round < 2; round++) {
        rebuild(&fixture, &report);
        CHECK_INT(report.records, 3);
        CHECK_INT(report.instances, 2);
        CHECK_INT(report.corrupt, 1);
        CHECK_INT(report.refused, 0);
    }
    fixture_reopen(&fixture);
    CHECK_TEXT(feed_text(&fixture), "1.1.1.1 1.1.1.2 ");
    close_archive(&fixture);
    fixture_flip(&fixture, id.segment, id.offset + 640 + 3000);
    rebuild(&fixture, &report);
    CHECK_INT(report.instances, 3);
    fixture_reopen(&fixture);
    fixture_close(&fixture);
}

/* A blob as a store leaves it that a crash ends before the index hears of it. */
static void write_blob(struct fixture *fixture, struct slice key, struct slice bytes)
{
    struct error err = { 0 };
    struct blob_writer *writer = NULL;
    struct blob_id id;
    CHECK_OK(blob_writer_open(fixture->storage, key, &writer, &err), err);
    CHECK_OK(blob_writer_write(writer, bytes, &err), err);
    CHECK_OK(blob_writer_finish(writer, &id, &err), err);
    blob_writer_close(writer);
}

static struct buffer file_of(struct fixture *fixture, const char *instance)
{
    struct error err = { 0 };
    struct blob *blob = NULL;
    struct blob_id id = blob_of(fixture, instance);
    struct buffer bytes = buffer_up_to(id.size);
    CHECK_OK(blob_open(fixture->storage, &id, &blob, &err), err);
    struct space space = buffer_reserve(&bytes, id.size);
    CHECK_OK(blob_read(blob, 0, space, &err), err);
    buffer_advance(&bytes, space.size);
    blob_close(blob);
    return bytes;
}

TEST(of_two_records_of_one_instance_the_first_is_taken)
{
    struct fixture fixture;
    struct rebuild_report report;
    struct key key;
    const struct identity place = { .study = "1.1", .series = "1.1.1", .instance = "1.1.1.1" };
    fixture_open(&fixture, false);
    store_ct(&fixture, "1.1.1.1", 5000);
    struct blob_id first = blob_of(&fixture, "1.1.1.1");
    struct buffer bytes = file_of(&fixture, "1.1.1.1");
    bytes.data[bytes.size - 1] ^= 1;
    const struct blob_facts facts = { .stored_at_us = clock_unix_us() };
    blob_key_encode(&key, &place, &facts);
    write_blob(&fixture, key_slice(&key), buffer_slice(&bytes));
    write_blob(&fixture, slice_text("no key of ours"), slice_text("and no DICOM"));
    buffer_release(&bytes);
    close_archive(&fixture);
    rebuild(&fixture, &report);
    CHECK_INT(report.records, 3);
    CHECK_INT(report.instances, 1);
    CHECK_INT(report.refused, 2);
    fixture_reopen(&fixture);
    struct blob_id id = blob_of(&fixture, "1.1.1.1");
    CHECK_INT(id.offset, first.offset);
    CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
    fixture_close(&fixture);
}

/* A store of 1.1.1.1 with other pixels, whole in its segment, that a crash cut off a while ago. */
static void leave_cut_off(struct fixture *fixture)
{
    struct key key;
    const struct identity place = { .study = "1.1", .series = "1.1.1", .instance = "1.1.1.1" };
    const struct blob_facts facts = { .stored_at_us = clock_unix_us() - 10000000 };
    struct buffer bytes = file_of(fixture, "1.1.1.1");
    bytes.data[bytes.size - 1] ^= 1;
    blob_key_encode(&key, &place, &facts);
    write_blob(fixture, key_slice(&key), buffer_slice(&bytes));
    buffer_release(&bytes);
}

static enum error_code code_of(struct fixture *fixture)
{
    struct error err = { 0 };
    struct instance *instance = NULL;
    instance_open(fixture->archive, "1.1", "1.1.1", "1.1.1.1", &instance, &err);
    instance_close(instance);
    return err.code;
}

/* HOS-49 */
TEST(what_was_deleted_stays_deleted_though_a_store_of_it_was_cut_off_before)
{
    struct fixture fixture;
    struct rebuild_report report;
    fixture_open(&fixture, false);
    store_ct(&fixture, "1.1.1.1", 5000);
    store_ct(&fixture, "1.1.1.2", 5000);
    leave_cut_off(&fixture);
    remove_place(&fixture, "1.1", "1.1.1", "1.1.1.1");
    for (int round = 0; round < 2; round++) {
        close_archive(&fixture);
        rebuild(&fixture, &report);
        CHECK_INT(report.instances, 1);
        CHECK_INT(report.deleted, 1);
        CHECK_INT(report.tombstones, 1);
        fixture_reopen(&fixture);
        CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
        CHECK_INT(code_of(&fixture), ERROR_GONE);
    }
    /* What is stored after that is there, and not the bytes from before the deletion. */
    next_millisecond();
    store_ct(&fixture, "1.1.1.1", 5000);
    struct blob_id id = blob_of(&fixture, "1.1.1.1");
    close_archive(&fixture);
    rebuild(&fixture, &report);
    CHECK_INT(report.instances, 2);
    CHECK_INT(report.deleted, 1);
    CHECK_INT(report.refused, 0);
    fixture_reopen(&fixture);
    CHECK_INT(blob_of(&fixture, "1.1.1.1").offset, id.offset);
    /* A study that is gone is so as a whole. */
    remove_place(&fixture, "1.1", NULL, NULL);
    close_archive(&fixture);
    rebuild(&fixture, &report);
    CHECK_INT(report.instances, 0);
    CHECK_INT(report.tombstones, 4);
    fixture_reopen(&fixture);
    struct error err = { 0 };
    CHECK(!archive_find(fixture.archive, "1.1", NULL, &err));
    CHECK_INT(err.code, ERROR_GONE);
    fixture_close(&fixture);
}

static void bury(struct fixture *fixture, int64_t at_ms)
{
    const struct identity place = { .study = "1.1", .series = "1.1.1", .instance = "1.1.1.1" };
    struct error err = { 0 };
    struct transaction *transaction = NULL;
    CHECK_OK(transaction_open(fixture->storage, &transaction, &err), err);
    tombstone_put(transaction, &place, at_ms);
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
}

TEST(an_instance_that_is_there_stays_though_the_clock_was_set_back_after_a_deletion)
{
    struct fixture fixture;
    struct rebuild_report report;
    fixture_open(&fixture, false);
    store_ct(&fixture, "1.1.1.1", 5000);
    bury(&fixture, clock_unix_ms() + 3600000); /* of what stood there an hour ago, or so it says */
    close_archive(&fixture);
    rebuild(&fixture, &report);
    CHECK_INT(report.instances, 1);
    CHECK_INT(report.deleted, 0);
    CHECK_INT(report.tombstones, 0);
    fixture_reopen(&fixture);
    CHECK_INT(code_of(&fixture), ERROR_NONE);
    fixture_close(&fixture);
}

TEST(a_record_with_a_key_of_the_first_form_is_older_than_those_behind_it)
{
    struct fixture fixture;
    struct rebuild_report report;
    struct key key;
    fixture_open(&fixture, false);
    store_ct(&fixture, "1.1.1.9", 5000);
    struct buffer bytes = file_of(&fixture, "1.1.1.9");
    remove_place(&fixture, "1.1", NULL, NULL);
    key_place(&key, RECORD_INSTANCE, "1.1", "1.1.1", "1.1.1.9");
    write_blob(&fixture, slice_skip(key_slice(&key), 1), buffer_slice(&bytes));
    buffer_release(&bytes);
    next_millisecond(); /* a deletion and what is as old as it are not told from each other */
    store_ct(&fixture, "1.1.1.1", 5000);
    close_archive(&fixture);
    rebuild(&fixture, &report);
    CHECK_INT(report.instances, 2);
    fixture_reopen(&fixture);
    CHECK_TEXT(feed_text(&fixture), "1.1.1.9 1.1.1.1 ");
    fixture_close(&fixture);
}

TEST(a_dry_run_tells_the_same_and_changes_nothing)
{
    struct fixture fixture;
    struct rebuild_report dry, report;
    struct error err = { 0 };
    fixture_open(&fixture, false);
    fill(&fixture);
    struct buffer bytes = file_of(&fixture, "1.1.1.1");
    write_blob(&fixture, slice_text("a second one"), buffer_slice(&bytes));
    buffer_release(&bytes);
    struct blob_id id = blob_of(&fixture, "1.1.1.2");
    close_archive(&fixture);
    fixture_flip(&fixture, id.segment, id.offset + 700);
    shell("(cd %s && find . -type f ! -name LOCK | sort | xargs sha256sum) > %s.before",
          fixture.folder);
    CHECK_OK(try_rebuild(&fixture, true, &dry, &err), err);
    shell("(cd %s && find . -type f ! -name LOCK | sort | xargs sha256sum) > %s.after",
          fixture.folder);
    shell("cmp %s.before %s.after && rm %s.before", fixture.folder);
    rebuild(&fixture, &report);
    CHECK_INT(dry.records, 9);
    CHECK_INT(dry.instances, 7);
    CHECK_INT(dry.refused, 1);
    CHECK_INT(dry.corrupt, 1);
    CHECK_INT(report.records, dry.records);
    CHECK_INT(report.instances, dry.instances);
    CHECK_INT(report.refused, dry.refused);
    CHECK_INT(report.corrupt, dry.corrupt);
    CHECK_INT(report.bytes, dry.bytes);
    fixture_reopen(&fixture);
    fixture_close(&fixture);
}

TEST(the_old_index_is_kept_under_another_name)
{
    struct fixture fixture;
    struct rebuild_report report;
    fixture_open(&fixture, false);
    store_ct(&fixture, "1.1.1.1", 1000);
    close_archive(&fixture);
    rebuild(&fixture, &report);
    rebuild(&fixture, &report);
    CHECK_INT(count_names(fixture.folder, "index.old-"), 2);
    CHECK_INT(count_names(fixture.folder, "index.new"), 0);
    shell("rm -r %s/index && mv \"$(ls -d %s/index.old-* | head -1)\" %s/index", fixture.folder);
    fixture_reopen(&fixture);
    CHECK_INT(changes_latest(fixture.archive), 1);
    fixture_close(&fixture);
}

TEST(a_directory_in_use_or_without_segments_is_not_rebuilt)
{
    struct fixture fixture;
    struct rebuild_report report;
    struct error err = { 0 };
    fixture_open(&fixture, false);
    store_ct(&fixture, "1.1.1.1", 1000);
    CHECK(!try_rebuild(&fixture, false, &report, &err));
    CHECK_INT(err.code, ERROR_BUSY);
    CHECK_INT(count_names(fixture.folder, "index.new"), 0);
    fixture_close(&fixture);
    snprintf(fixture.folder, sizeof(fixture.folder), "%s", test_folder());
    CHECK(!try_rebuild(&fixture, false, &report, &err));
    CHECK(access(fixture.folder, F_OK) != 0);
}

static bool is_cancelled(void *context)
{
    return --*(int *)context < 0;
}

TEST(a_cancelled_rebuild_leaves_the_index_as_it_was)
{
    struct fixture fixture;
    struct rebuild_report report;
    struct error err = { 0 };
    int steps = 0;
    struct job job = { .cancelled = is_cancelled, .context = &steps };
    const struct rebuild_options options = { .ae_title = "TESTARCHIVE" };
    fixture_open(&fixture, false);
    store_ct(&fixture, "1.1.1.1", 1000);
    close_archive(&fixture);
    CHECK(!archive_rebuild(fixture.folder, &options, &job, &report, &err));
    CHECK_INT(err.code, ERROR_STOPPED);
    CHECK_INT(count_names(fixture.folder, "index.new"), 0);
    CHECK_INT(count_names(fixture.folder, "index.old"), 0);
    fixture_reopen(&fixture);
    CHECK_INT(changes_latest(fixture.archive), 1);
    fixture_close(&fixture);
}

#ifdef HOUNSFIELD_FAULTS

/* A rebuild in a process of its own, which is killed on the way. It begins anew with exec, because
 * this one may have threads. */
__attribute__((constructor)) static void enter_child(void)
{
    const char *folder = getenv("REBUILD_TEST_CHILD");
    const struct rebuild_options options = { .ae_title = "TESTARCHIVE" };
    struct rebuild_report report;
    struct error err = { 0 };
    if (!folder)
        return;
    if (!archive_rebuild(folder, &options, NULL, &report, &err))
        fprintf(stderr, "%s\n", err.message);
    _exit(0);
}

static void rebuild_until(struct fixture *fixture, const char *fault)
{
    int status = 0;
    fflush(stdout);
    setenv("REBUILD_TEST_CHILD", fixture->folder, 1);
    setenv("HOUNSFIELD_FAULT", fault, 1);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "archive_tests", (char *)NULL);
        _exit(1);
    }
    unsetenv("REBUILD_TEST_CHILD");
    unsetenv("HOUNSFIELD_FAULT");
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(a_rebuild_that_was_killed_can_be_begun_anew)
{
    static const char *const points[] = { "rebuild_batch:2", "rebuild_before_swap",
                                          "rebuild_between_renames", "rebuild_after_swap" };
    struct fixture fixture;
    struct rebuild_report report;
    fixture_open(&fixture, false);
    fill(&fixture);
    for (int i = 0; i < 300; i++) {
        char uid[32];
        snprintf(uid, sizeof(uid), "1.1.1.%d", 100 + i);
        store_ct(&fixture, uid, 10);
    }
    struct dump before = dump_index(&fixture);
    close_archive(&fixture);
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        const struct storage_options options = { .path = fixture.folder };
        struct storage *storage = NULL;
        struct error err = { 0 };
        rebuild_until(&fixture, points[i]);
        bool opened = storage_open(&options, &storage, &err);
        storage_close(storage);
        CHECK(opened == (strcmp(points[i], "rebuild_between_renames") != 0));
        CHECK(opened || strstr(err.message, "hounsfield rebuild"));
    }
    rebuild(&fixture, &report);
    CHECK_INT(report.instances, 308);
    CHECK_INT(count_names(fixture.folder, "index.new"), 0);
    fixture_reopen(&fixture);
    struct dump after = dump_index(&fixture);
    check_same(&before, &after);
    fixture_close(&fixture);
}

#endif

static void put_other(struct fixture *fixture, enum table table, const char *key, const char *value)
{
    struct error err = { 0 };
    struct transaction *transaction = NULL;
    CHECK_OK(transaction_open(fixture->storage, &transaction, &err), err);
    transaction_put(transaction, table, slice_text(key), slice_text(value));
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
}

static bool has_other(struct fixture *fixture, enum table table, const char *key)
{
    struct error err = { 0 };
    struct buffer value = buffer_up_to(1000);
    bool found;
    CHECK_OK(storage_get(fixture->storage, table, slice_text(key), &value, &found, &err), err);
    buffer_release(&value);
    return found;
}

TEST(what_others_keep_in_the_index_is_taken_over_from_the_old_one)
{
    struct fixture fixture;
    struct rebuild_report report;
    fixture_open(&fixture, false);
    store_ct(&fixture, "1.1.1.1", 1000);
    put_other(&fixture, TABLE_RECORD, "wSkey", "a step");
    put_other(&fixture, TABLE_TERM, "wSl*key", "");
    put_other(&fixture, TABLE_RECORD, "Zkey", "nobody's");
    close_archive(&fixture);
    rebuild(&fixture, &report);
    CHECK_INT(report.others, 2);
    CHECK_INT(report.instances, 1);
    fixture_reopen(&fixture);
    CHECK(has_other(&fixture, TABLE_RECORD, "wSkey"));
    CHECK(has_other(&fixture, TABLE_TERM, "wSl*key"));
    CHECK(!has_other(&fixture, TABLE_RECORD, "Zkey"));
    /* Without the old index there is nothing to take. */
    close_archive(&fixture);
    shell("rm -r %s/index", fixture.folder);
    rebuild(&fixture, &report);
    CHECK_INT(report.others, 0);
    CHECK_INT(report.instances, 1);
    fixture_reopen(&fixture);
    CHECK(!has_other(&fixture, TABLE_RECORD, "wSkey"));
    fixture_close(&fixture);
}
