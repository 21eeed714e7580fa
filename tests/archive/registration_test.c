/* SPDX-License-Identifier: MIT */
#include "archive/registration.h"

#include <stdio.h>
#include <time.h>

#include "archive/changes.h"
#include "archive/rebuild.h"
#include "archive/records.h"
#include "archive/registration_records.h"
#include "archive/retrieve.h"
#include "archive/terms.h"
#include "archive/verify.h"
#include "base/fault.h"
#include "dicom/part10.h"
#include "tests/archive/fixture.h"

static const struct object ct = {
    .study = "1.1",
    .series = "1.1.1",
    .instance = "1.1.1.1",
    .patient_id = "TEMP1",
    .patient_name = "UNKNOWN^TRAUMA",
    .modality = "CT",
    .series_number = "1",
    .pixels = 3000,
};

static struct object object_of(const char *study, const char *series, const char *instance,
                               const char *patient_id, const char *name)
{
    struct object object = ct;
    object.study = study;
    object.series = series;
    object.instance = instance;
    object.patient_id = patient_id;
    object.patient_name = name;
    return object;
}

static enum registration_outcome change(struct fixture *fixture, const char *id, const char *issuer,
                                        const char *survivor, const char *name, int64_t at_ms)
{
    struct error err = { 0 };
    enum registration_outcome outcome;
    const struct registration_change change = {
        .patient = { slice_text(id), slice_text(issuer) },
        .survivor = { slice_text(survivor), slice_text(*survivor ? issuer : "") },
        .told = { .name = slice_text(name) },
        .at_ms = at_ms,
    };
    CHECK_OK(registration_take(fixture->archive, &change, &outcome, &err), err);
    return outcome;
}

/* What the thread does. Returns how many instances were amended. */
static uint64_t settle(struct fixture *fixture)
{
    struct buffer token = buffer_up_to(64);
    struct error err = { 0 };
    char study[UID_SIZE];
    uint64_t amended, left, all = 0;
    bool more = true;
    while (more) {
        study[0] = '\0';
        CHECK_OK(amend_work_next(fixture->archive, study, &token, &more, &err), err);
        if (!more)
            break;
        CHECK_OK(amend_study(fixture->archive, study, amend_work_looks_back(buffer_slice(&token)),
                             NULL, NULL, &amended, &left, &err),
                 err);
        CHECK_INT(left, 0);
        CHECK_OK(amend_work_done(fixture->archive, study, buffer_slice(&token), &err), err);
        all += amended;
    }
    buffer_release(&token);
    return all;
}

static const char *studies_of(struct fixture *fixture, const char *id)
{
    return query_list(query_by(fixture, LEVEL_STUDY, TAG_PATIENT_ID, id), TAG_STUDY_INSTANCE_UID);
}

static const char *name_in(struct fixture *fixture, const char *study)
{
    struct query *query = query_by(fixture, LEVEL_STUDY, TAG_STUDY_INSTANCE_UID, study);
    query_key(query, TAG_PATIENT_NAME, "");
    return query_list(query, TAG_PATIENT_NAME);
}

/* The stored data set, as it is retrieved. */
static void read_dataset(struct fixture *fixture, const struct object *object, struct buffer *out)
{
    struct error err = { 0 };
    struct instance *instance;
    struct file_range range;
    CHECK_OK(instance_open(fixture->archive, object->study, object->series, object->instance,
                           &instance, &err),
             err);
    CHECK_OK(instance_dataset(instance, &range, &err), err);
    struct space space = buffer_reserve(out, (size_t)range.size);
    CHECK_OK(instance_read(instance, 0, space, &err), err);
    buffer_advance(out, (size_t)range.size);
    instance_close(instance);
}

static bool holds(const struct buffer *bytes, const char *text)
{
    return memmem(bytes->data, bytes->size, text, strlen(text)) != NULL;
}

static size_t version_count(struct fixture *fixture)
{
    struct error err = { 0 };
    struct storage_cursor *cursor = NULL;
    uint8_t kind = RECORD_OLD_VERSION;
    bool found = true;
    size_t count = 0;
    CHECK_OK(storage_cursor_open_prefix(fixture->storage, TABLE_RECORD, slice_of(&kind, 1), &cursor,
                                        &err),
             err);
    for (; storage_cursor_next(cursor, NULL, NULL, &found, &err) && found; count++)
        ;
    storage_cursor_close(cursor);
    return count;
}

TEST(HL7_05_a_name_that_is_told_shows_in_queries_and_copies_with_the_original_kept)
{
    struct fixture fixture;
    struct buffer copy = buffer_up_to(1 << 20), original = buffer_up_to(1 << 20);
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "TEMP1", "", "", "DOE^JANE", 1000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(name_in(&fixture, "1.1"), "DOE^JANE");
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_STUDY, TAG_PATIENT_NAME, "DOE*"),
                          TAG_STUDY_INSTANCE_UID),
               "1.1");
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_STUDY, TAG_PATIENT_NAME, "UNKNOWN*"),
                          TAG_STUDY_INSTANCE_UID),
               "");
    read_dataset(&fixture, &ct, &copy);
    CHECK(holds(&copy, "DOE^JANE"));
    CHECK(holds(&copy, "UNKNOWN^TRAUMA")); /* in Original Attributes Sequence */
    CHECK(holds(&copy, "COERCE"));
    /* The pixels are those that came. */
    object_encode(&ct, &original);
    CHECK(copy.size > original.size);
    CHECK(memcmp(copy.data + copy.size - 3000, original.data + original.size - 3000, 3000) == 0);
    CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
    CHECK_INT((long long)version_count(&fixture), 1);
    CHECK_INT(fixture_findings(&fixture), 0);
    buffer_release(&copy);
    buffer_release(&original);
    fixture_close(&fixture);
}

TEST(HL7_05_an_older_message_that_comes_late_changes_nothing)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "TEMP1", "", "", "DOE^JANE", 2000), REGISTRATION_CHANGED);
    CHECK_INT(change(&fixture, "TEMP1", "", "", "DOE^JOAN", 1000), REGISTRATION_STALE);
    CHECK_INT(change(&fixture, "TEMP1", "", "", "DOE^JANE", 2000), REGISTRATION_SAME);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(name_in(&fixture, "1.1"), "DOE^JANE");
    CHECK_INT(change(&fixture, "TEMP1", "", "", "DOE^JANE^", 3000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 0); /* the same name, written otherwise */
    fixture_close(&fixture);
}

TEST(HL7_06_all_studies_of_a_merged_patient_show_under_the_one_who_stays)
{
    struct fixture fixture;
    struct object other = object_of("1.2", "1.2.1", "1.2.1.1", "TEMP1", "UNKNOWN^TRAUMA");
    struct object second = object_of("1.2", "1.2.1", "1.2.1.2", "TEMP1", "UNKNOWN^TRAUMA");
    struct object stays = object_of("1.3", "1.3.1", "1.3.1.1", "P9", "DOE^JANE");
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    store(&fixture, &other);
    store(&fixture, &second);
    store(&fixture, &stays);
    CHECK_INT(change(&fixture, "TEMP1", "", "P9", "DOE^JANE", 1000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 3);
    CHECK_TEXT(studies_of(&fixture, "TEMP1"), "");
    CHECK_TEXT(studies_of(&fixture, "P9"), "1.1,1.2,1.3");
    CHECK_TEXT(counts_text(&fixture), "1 3 3 4");
    CHECK_INT(fixture_findings(&fixture), 0);
    /* Repeated: no change. */
    CHECK_INT(change(&fixture, "TEMP1", "", "P9", "DOE^JANE", 1000), REGISTRATION_SAME);
    CHECK_INT(settle(&fixture), 0);
    fixture_close(&fixture);
}

/* What an instance says of the issuer's entity now, and in its first Original Attributes item. */
static void check_entity(struct fixture *fixture, const struct object *object, const char *now,
                         const char *original)
{
    static const uint32_t qualifiers = TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE;
    const uint32_t present[] = { qualifiers, 0x00400032 };
    const uint32_t kept[] = { 0x04000561, 0x04000550, qualifiers, 0x00400032 };
    struct buffer bytes = buffer_up_to(1 << 20), text = buffer_up_to(1 << 10);
    struct error err = { 0 };
    struct dataset *dataset = NULL;
    struct element element;
    read_dataset(fixture, object, &bytes);
    CHECK_OK(dataset_open(buffer_slice(&bytes),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &dataset, &err),
             err);
    if (dataset_find_path(dataset, present, 2, &element))
        dataset_element_text(dataset, &element, &text);
    CHECK_TEXT(buffer_text(&text), now);
    buffer_clear(&text);
    if (dataset_find_path(dataset, kept, 4, &element))
        dataset_element_text(dataset, &element, &text);
    CHECK_TEXT(buffer_text(&text), original);
    dataset_close(dataset);
    buffer_release(&text);
    buffer_release(&bytes);
}

TEST(HL7_06_what_qualifies_the_old_issuer_does_not_stay_with_the_new_one)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct object moved = ct, stays = object_of("1.2", "1.2.1", "1.2.1.1", "TEMP2", "DOE^JANE");
    enum registration_outcome outcome;
    moved.issuer = stays.issuer = "OLD";
    moved.issuer_entity = stays.issuer_entity = "1.2.3";
    fixture_open(&fixture, true);
    store(&fixture, &moved);
    store(&fixture, &stays);
    const struct registration_change another = {
        .patient = { slice_text("TEMP1"), slice_text("OLD") },
        .survivor = { slice_text("P9"), slice_text("NEW") },
        .at_ms = 1000,
    };
    CHECK_OK(registration_take(fixture.archive, &another, &outcome, &err), err);
    CHECK_INT(change(&fixture, "TEMP2", "OLD", "P8", "", 1000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 2);
    check_entity(&fixture, &moved, "", "1.2.3");
    check_entity(&fixture, &stays, "1.2.3", "");
    CHECK_INT(settle(&fixture), 0);
    /* and comes back with it */
    CHECK_OK(registration_separate(fixture.archive, &another.patient, 2000, &outcome, &err), err);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(studies_of(&fixture, "TEMP1"), "1.1");
    check_entity(&fixture, &moved, "1.2.3", "1.2.3");
    CHECK_INT(fixture_findings(&fixture), 0);
    fixture_close(&fixture);
}

TEST(HL7_06_a_chain_of_merges_ends_at_its_end_also_for_what_comes_later)
{
    struct fixture fixture;
    struct object late = object_of("1.2", "1.2.1", "1.2.1.1", "TEMP1", "UNKNOWN^TRAUMA");
    struct object later = object_of("1.1", "1.1.1", "1.1.1.2", "TEMP1", "UNKNOWN^TRAUMA");
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "TEMP1", "", "B", "", 1000), REGISTRATION_CHANGED);
    CHECK_INT(change(&fixture, "B", "", "C", "DOE^JANE", 2000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    store(&fixture, &late);
    store(&fixture, &later); /* into a study that was amended already */
    CHECK_INT(settle(&fixture), 2);
    CHECK_TEXT(studies_of(&fixture, "C"), "1.1,1.2");
    CHECK_TEXT(name_in(&fixture, "1.2"), "DOE^JANE");
    CHECK_TEXT(counts_text(&fixture), "1 2 2 3");
    struct error err = { 0 };
    struct buffer id = buffer_up_to(100), issuer = buffer_up_to(100);
    const struct patient_identifier patient = { slice_text("TEMP1"), slice_text("") };
    bool merged;
    CHECK_OK(registration_survivor(fixture.archive, &patient, &id, &issuer, &merged, &err), err);
    CHECK(merged && slice_equal(buffer_slice(&id), slice_text("C")));
    buffer_release(&id);
    buffer_release(&issuer);
    CHECK_INT(fixture_findings(&fixture), 0);
    fixture_close(&fixture);
}

TEST(HOS_47_a_merge_back_takes_the_first_one_back_and_one_into_itself_is_refused)
{
    struct fixture fixture;
    struct error err = { 0 };
    enum registration_outcome outcome;
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "TEMP1", "", "B", "", 1000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    CHECK_INT(change(&fixture, "B", "", "TEMP1", "", 500), REGISTRATION_STALE);
    CHECK_INT(change(&fixture, "B", "", "TEMP1", "", 2000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(studies_of(&fixture, "TEMP1"), "1.1");
    CHECK_TEXT(studies_of(&fixture, "B"), "");
    CHECK_INT(settle(&fixture), 0);
    const struct registration_change self = { .patient = { slice_text("A"), slice_text("") },
                                              .survivor = { slice_text(" A "), slice_text("") } };
    CHECK(!registration_take(fixture.archive, &self, &outcome, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    const struct registration_change bad = { .patient = { slice_text("A\\B"), slice_text("") } };
    CHECK(!registration_take(fixture.archive, &bad, &outcome, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    fixture_close(&fixture);
}

/* B was merged on since A came to it: who survives then is merged into A, and nothing goes round.
 */
TEST(HOS_47_a_merge_into_one_of_its_own_chain_leaves_no_circle)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct object late = object_of("1.2", "1.2.1", "1.2.1.1", "B", "UNKNOWN^TRAUMA");
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "B", "", "C", "", 1000), REGISTRATION_CHANGED);
    CHECK_INT(change(&fixture, "TEMP1", "", "B", "", 2000), REGISTRATION_CHANGED);
    CHECK_INT(change(&fixture, "B", "", "TEMP1", "", 1500), REGISTRATION_STALE);
    CHECK_INT(change(&fixture, "B", "", "TEMP1", "", 3000), REGISTRATION_CHANGED);
    store(&fixture, &late);
    settle(&fixture);
    CHECK_TEXT(studies_of(&fixture, "TEMP1"), "1.1,1.2");
    struct buffer id = buffer_up_to(100), issuer = buffer_up_to(100);
    const struct patient_identifier patient = { slice_text("B"), slice_text("") };
    bool merged;
    CHECK_OK(registration_survivor(fixture.archive, &patient, &id, &issuer, &merged, &err), err);
    CHECK(merged && slice_equal(buffer_slice(&id), slice_text("TEMP1")));
    buffer_release(&id);
    buffer_release(&issuer);
    fixture_close(&fixture);
}

static enum registration_outcome separate(struct fixture *fixture, const char *id, int64_t at_ms)
{
    struct error err = { 0 };
    enum registration_outcome outcome;
    const struct patient_identifier patient = { slice_text(id), slice_text("") };
    CHECK_OK(registration_separate(fixture->archive, &patient, at_ms, &outcome, &err), err);
    return outcome;
}

TEST(HL7_11_what_comes_of_a_patient_after_the_merge_was_undone_is_its_own)
{
    struct fixture fixture;
    struct object late = object_of("1.2", "1.2.1", "1.2.1.1", "TEMP1", "DOE^GONE");
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_INT(separate(&fixture, "TEMP1", 500), REGISTRATION_SAME);
    CHECK_INT(change(&fixture, "TEMP1", "", "B", "ROE^STAYS", 1000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    CHECK_INT(separate(&fixture, "TEMP1", 900), REGISTRATION_STALE);
    CHECK_INT(separate(&fixture, "TEMP1", 2000), REGISTRATION_CHANGED);
    CHECK_INT(separate(&fixture, "TEMP1", 2000), REGISTRATION_SAME);
    store(&fixture, &late);
    CHECK_INT(settle(&fixture), 1); /* the first one: it is taken back */
    CHECK_TEXT(studies_of(&fixture, "TEMP1"), "1.1,1.2");
    CHECK_TEXT(name_in(&fixture, "1.2"), "DOE^GONE");
    CHECK_TEXT(studies_of(&fixture, "B"), "");
    /* The merge, heard late, is older. */
    CHECK_INT(change(&fixture, "TEMP1", "", "B", "", 1000), REGISTRATION_STALE);
    CHECK_INT(settle(&fixture), 0);
    fixture_close(&fixture);
}

TEST(HL7_11_what_was_amended_for_a_merge_that_was_undone_says_again_what_was_received)
{
    struct fixture fixture;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    struct object own = object_of("1.2", "1.2.1", "1.2.1.1", "B", "ROE^OWN");
    struct buffer bytes = buffer_up_to(1 << 20);
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    store(&fixture, &own);
    CHECK_INT(change(&fixture, "TEMP1", "", "B", "ROE^STAYS", 1000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 2);
    CHECK_TEXT(studies_of(&fixture, "B"), "1.1,1.2");
    CHECK_INT(separate(&fixture, "TEMP1", 2000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(studies_of(&fixture, "TEMP1"), "1.1");
    CHECK_TEXT(name_in(&fixture, "1.1"), "UNKNOWN^TRAUMA");
    CHECK_TEXT(studies_of(&fixture, "B"), "1.2");
    CHECK_TEXT(name_in(&fixture, "1.2"), "ROE^STAYS");
    read_dataset(&fixture, &ct, &bytes);
    CHECK(holds(&bytes, "ROE^STAYS")); /* among the Original Attributes */
    CHECK_INT((long long)version_count(&fixture), 2);
    CHECK_OK(object_store(fixture.archive, &ct, &outcome, &err), err);
    CHECK_INT(outcome, INGEST_DUPLICATE);
    CHECK_INT(settle(&fixture), 0);
    CHECK_INT(fixture_findings(&fixture), 0);
    buffer_release(&bytes);
    fixture_close(&fixture);
}

TEST(HL7_11_a_merge_in_the_middle_of_a_chain_that_was_undone_leaves_those_before_it)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "TEMP1", "", "B", "ROE^B", 1000), REGISTRATION_CHANGED);
    CHECK_INT(change(&fixture, "B", "", "C", "ROE^C", 2000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(studies_of(&fixture, "C"), "1.1");
    CHECK_INT(separate(&fixture, "B", 3000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(studies_of(&fixture, "B"), "1.1");
    CHECK_TEXT(name_in(&fixture, "1.1"), "ROE^B");
    /* Merged into another one: as if it had never been B's. */
    CHECK_INT(change(&fixture, "TEMP1", "", "D", "ROE^D", 4000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(studies_of(&fixture, "D"), "1.1");
    CHECK_TEXT(studies_of(&fixture, "B"), "");
    fixture_close(&fixture);
}

TEST(HL7_11_an_issuer_that_came_with_a_merge_goes_with_it_also_when_there_was_more_to_do)
{
    struct fixture fixture;
    struct error err = { 0 };
    enum registration_outcome outcome;
    const struct registration_change into = { .patient = { slice_text("TEMP1"), slice_text("") },
                                              .survivor = { slice_text("B"), slice_text("NORTH") },
                                              .at_ms = 1000 };
    struct object late = object_of("1.1", "1.1.1", "1.1.1.2", "TEMP1", "X");
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_OK(registration_take(fixture.archive, &into, &outcome, &err), err);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_STUDY, TAG_ISSUER_OF_PATIENT_ID, "NORTH"),
                          TAG_STUDY_INSTANCE_UID),
               "1.1");
    CHECK_INT(separate(&fixture, "TEMP1", 2000), REGISTRATION_CHANGED);
    store(&fixture, &late); /* the study is put to work once more, for less */
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(studies_of(&fixture, "TEMP1"), "1.1");
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_STUDY, TAG_ISSUER_OF_PATIENT_ID, "NORTH"),
                          TAG_STUDY_INSTANCE_UID),
               "");
    CHECK_INT(fixture_findings(&fixture), 0);
    fixture_close(&fixture);
}

TEST(HL7_07_one_number_of_two_authorities_stays_two_patients)
{
    struct fixture fixture;
    struct object a = ct, b = object_of("1.2", "1.2.1", "1.2.1.1", "TEMP1", "ROE^RICHARD");
    struct object bare = object_of("1.3", "1.3.1", "1.3.1.1", "TEMP1", "WHO^KNOWS");
    a.issuer = "EAST";
    b.issuer = "WEST";
    fixture_open(&fixture, true);
    store(&fixture, &a);
    store(&fixture, &b);
    CHECK_INT(change(&fixture, "TEMP1", "EAST", "", "DOE^JANE", 1000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(name_in(&fixture, "1.1"), "DOE^JANE");
    CHECK_TEXT(name_in(&fixture, "1.2"), "ROE^RICHARD");
    store(&fixture, &bare); /* without an issuer: of the only patient with this number, */
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(name_in(&fixture, "1.3"), "DOE^JANE");
    bare.instance = "1.3.1.2";
    CHECK_INT(change(&fixture, "TEMP1", "WEST", "", "ROE^RICK", 1000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    store(&fixture, &bare); /* and of nobody when there are two */
    CHECK_INT(settle(&fixture), 0);
    CHECK_TEXT(name_in(&fixture, "1.2"), "ROE^RICK");
    CHECK_INT(fixture_findings(&fixture), 0);
    fixture_close(&fixture);
}

TEST(MPP_07_a_name_that_the_instances_set_does_not_have_is_not_garbled)
{
    struct fixture fixture;
    struct object latin = object_of("1.2", "1.2.1", "1.2.1.1", "TEMP1", "M\xFCLLER");
    uint64_t amended, left;
    struct error err = { 0 };
    latin.charset = "ISO_IR 100";
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "TEMP1", "", "", "\xD0\x98\xD0\xB2\xD0\xB0\xD0\xBD", 1000),
              REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1); /* all of it was ASCII: it is ISO_IR 192 now */
    CHECK_TEXT(name_in(&fixture, "1.1"), "\xD0\x98\xD0\xB2\xD0\xB0\xD0\xBD");
    store(&fixture, &latin);
    CHECK_OK(amend_study(fixture.archive, "1.2", false, NULL, NULL, &amended, &left, &err), err);
    CHECK_INT(amended, 0);
    CHECK_INT(left, 1);
    CHECK_TEXT(name_in(&fixture, "1.2"), "M\xC3\xBCLLER");
    fixture_close(&fixture);
}

TEST(STO_06_what_came_first_is_a_duplicate_when_it_comes_again_after_an_amendment)
{
    struct fixture fixture;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "TEMP1", "", "", "DOE^JANE", 1000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    CHECK_OK(object_store(fixture.archive, &ct, &outcome, &err), err);
    CHECK_INT(outcome, INGEST_DUPLICATE);
    struct object other = ct;
    other.description = "another";
    CHECK(!object_store(fixture.archive, &other, &outcome, &err));
    CHECK_INT(err.code, ERROR_CONFLICT);
    /* Once more: what was made here in between is not kept. */
    CHECK_INT(change(&fixture, "TEMP1", "", "", "DOE^JOAN", 2000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    CHECK_INT((long long)version_count(&fixture), 1);
    CHECK_OK(object_store(fixture.archive, &ct, &outcome, &err), err);
    CHECK_INT(outcome, INGEST_DUPLICATE);
    CHECK_INT(fixture_findings(&fixture), 0);
    fixture_close(&fixture);
}

TEST(HL7_06_an_index_made_anew_keeps_what_was_amended)
{
    struct fixture fixture;
    struct rebuild_report report;
    const struct rebuild_options options = { .ae_title = "TESTARCHIVE" };
    struct error err = { 0 };
    fixture_open(&fixture, false);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "TEMP1", "", "P9", "DOE^JANE", 1000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    archive_close(fixture.archive);
    storage_close(fixture.storage);
    CHECK_OK(archive_rebuild(fixture.folder, &options, NULL, &report, &err), err);
    CHECK_INT(report.instances, 1);
    CHECK_INT(report.versions, 1);
    CHECK_INT(report.refused, 0);
    const struct storage_options storage = { .path = fixture.folder };
    const struct archive_options archive = { .ae_title = "TESTARCHIVE", .minimum_free_bytes = 1 };
    CHECK_OK(storage_open(&storage, &fixture.storage, &err), err);
    CHECK_OK(archive_open(fixture.storage, &archive, &fixture.archive, &err), err);
    CHECK_TEXT(studies_of(&fixture, "P9"), "1.1");
    CHECK_TEXT(name_in(&fixture, "1.1"), "DOE^JANE");
    enum ingest_outcome outcome;
    CHECK_OK(object_store(fixture.archive, &ct, &outcome, &err), err);
    CHECK_INT(outcome, INGEST_DUPLICATE);
    CHECK_INT(fixture_findings(&fixture), 0);
    /* and whom the registration told to be one: what comes later under the old identifier moves */
    CHECK(!report.others_lost);
    CHECK_INT(change(&fixture, "TEMP1", "", "P9", "DOE^JANE", 1000), REGISTRATION_SAME);
    const struct object later = object_of("1.2", "1.2.1", "1.2.1.1", "TEMP1", "UNKNOWN^TRAUMA");
    store(&fixture, &later);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(studies_of(&fixture, "P9"), "1.1,1.2");
    fixture_close(&fixture);
}

TEST(HL7_06_work_that_a_restart_cut_off_is_done_by_the_thread)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct amender *amender;
    uint64_t pending = 1;
    fixture_open(&fixture, false);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "TEMP1", "", "P9", "", 1000), REGISTRATION_CHANGED);
    fixture_reopen(&fixture);
    CHECK_OK(registration_pending(fixture.archive, &pending, &err), err);
    CHECK_INT(pending, 1);
    CHECK_OK(amender_open(fixture.archive, &amender, &err), err);
    for (unsigned turn = 0; pending && test_wait(&turn);)
        CHECK_OK(registration_pending(fixture.archive, &pending, &err), err);
    CHECK_INT(pending, 0);
    CHECK_TEXT(studies_of(&fixture, "P9"), "1.1");
    struct object late = object_of("1.2", "1.2.1", "1.2.1.1", "TEMP1", "X");
    store(&fixture, &late); /* wakes it */
    CHECK_SOON(strcmp(studies_of(&fixture, "P9"), "1.1,1.2") == 0);
    amender_close(amender);
    fixture_close(&fixture);
}

#ifdef HOUNSFIELD_FAULTS
TEST(HL7_06_a_study_that_cannot_be_amended_holds_up_no_other)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct amender *amender;
    uint64_t pending = 2;
    const struct object behind = object_of("1.2", "1.2.1", "1.2.1.1", "TEMP1", "X");
    fixture_open(&fixture, false);
    store(&fixture, &ct);
    store(&fixture, &behind);
    CHECK_INT(change(&fixture, "TEMP1", "", "P9", "", 1000), REGISTRATION_CHANGED);
    fixture_reopen(&fixture);
    fault_set("segment-write:1:EIO");
    CHECK_OK(amender_open(fixture.archive, &amender, &err), err);
    for (unsigned turn = 0; pending > 1 && test_wait(&turn);)
        CHECK_OK(registration_pending(fixture.archive, &pending, &err), err);
    CHECK_INT(pending, 1); /* the first is tried again after a while */
    CHECK_TEXT(studies_of(&fixture, "P9"), "1.2");
    amender_close(amender);
    fault_set(NULL);
    fixture_close(&fixture);
}

static void undo_merge(void *context)
{
    struct fixture *fixture = context;
    const struct patient_identifier temporary = { slice_text("TEMP1"), slice_text("") };
    enum registration_outcome outcome;
    struct error err = { 0 };
    CHECK_OK(registration_separate(fixture->archive, &temporary, 2000, &outcome, &err), err);
    CHECK_INT(outcome, REGISTRATION_CHANGED);
}

static void merge_elsewhere(void *context)
{
    CHECK_INT(change(context, "TEMP1", "", "P10", "", 2000), REGISTRATION_CHANGED);
}

TEST(HL7_11_a_merge_that_is_undone_while_an_instance_is_amended_leaves_none_behind)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "TEMP1", "", "P9", "DOE^JANE", 1000), REGISTRATION_CHANGED);
    fault_set_call("before-segment-write", undo_merge, &fixture);
    CHECK_INT(settle(&fixture), 2); /* there and back */
    CHECK_TEXT(studies_of(&fixture, "P9"), "");
    CHECK_TEXT(studies_of(&fixture, "TEMP1"), "1.1");
    fixture_close(&fixture);
}

TEST(
    HL7_06_a_patient_who_is_merged_into_another_one_while_an_instance_is_amended_leaves_none_behind)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "TEMP1", "", "P9", "DOE^JANE", 1000), REGISTRATION_CHANGED);
    fault_set_call("before-segment-write", merge_elsewhere, &fixture);
    CHECK_INT(settle(&fixture), 2);
    CHECK_TEXT(studies_of(&fixture, "P9"), "");
    CHECK_TEXT(studies_of(&fixture, "P10"), "1.1");
    fixture_close(&fixture);
}
#endif

/* Terms of studies that are not here: what is told of the patient puts them to work all the same.
 */
static void add_terms(struct fixture *fixture, const char *patient_id, int count)
{
    struct transaction *transaction;
    struct error err = { 0 };
    struct key patient, term;
    CHECK_OK(transaction_open(fixture->storage, &transaction, &err), err);
    key_patient(&patient, slice_text(patient_id), slice_text(""), "");
    for (int i = 0; i < count; i++) {
        char text[64];
        term_patient_key(&term, slice_skip(key_slice(&patient), 1));
        snprintf(text, sizeof(text), "000000000000002.%d", i); /* before those without a date */
        key_add(&term, slice_text(text));
        transaction_put(transaction, TABLE_TERM, key_slice(&term), slice_of(NULL, 0));
    }
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
}

static uint64_t pending(struct fixture *fixture)
{
    struct error err = { 0 };
    uint64_t studies = 0;
    CHECK_OK(registration_pending(fixture->archive, &studies, &err), err);
    return studies;
}

static bool spread(struct fixture *fixture)
{
    struct error err = { 0 };
    bool any = false;
    CHECK_OK(amend_work_spread(fixture->archive, &any, &err), err);
    return any;
}

TEST(HL7_06_very_many_studies_of_a_patient_get_to_work_some_at_a_time)
{
    enum { MANY = 2 * AMEND_WORK_AT_ONCE + 10 };
    struct fixture fixture;
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    add_terms(&fixture, "TEMP1", MANY);
    CHECK_INT(change(&fixture, "TEMP1", "", "", "DOE^JANE", 1000), REGISTRATION_CHANGED);
    CHECK_INT(pending(&fixture), AMEND_WORK_AT_ONCE + 1); /* and the rest */
    CHECK_INT(settle(&fixture), 0);                       /* it is the last one */
    CHECK(spread(&fixture));
    CHECK_INT(pending(&fixture), AMEND_WORK_AT_ONCE + 1);
    CHECK(spread(&fixture));
    CHECK_INT(pending(&fixture), AMEND_WORK_AT_ONCE + 11);
    CHECK(!spread(&fixture));
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(name_in(&fixture, "1.1"), "DOE^JANE");
    CHECK_INT(pending(&fixture), 0);
    fixture_close(&fixture);
}

TEST(HL7_06_as_many_studies_as_get_to_work_at_once_leave_no_rest)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    add_terms(&fixture, "TEMP1", AMEND_WORK_AT_ONCE);
    CHECK_INT(change(&fixture, "TEMP1", "", "", "DOE^JANE", 1000), REGISTRATION_CHANGED);
    CHECK_INT(pending(&fixture), AMEND_WORK_AT_ONCE);
    CHECK(!spread(&fixture));
    fixture_close(&fixture);
}

TEST(HL7_06_what_is_told_while_studies_get_to_work_puts_all_of_them_once_more)
{
    enum { MANY = AMEND_WORK_AT_ONCE + 10 };
    struct fixture fixture;
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    add_terms(&fixture, "TEMP1", MANY);
    CHECK_INT(change(&fixture, "TEMP1", "", "", "DOE^JANE", 1000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 0);
    CHECK_INT(change(&fixture, "TEMP1", "", "", "DOE^JOAN", 2000), REGISTRATION_CHANGED);
    CHECK_INT(pending(&fixture), AMEND_WORK_AT_ONCE + 1);
    while (spread(&fixture))
        ;
    CHECK_INT(pending(&fixture), MANY + 1);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(name_in(&fixture, "1.1"), "DOE^JOAN");
    fixture_close(&fixture);
}

TEST(HL7_11_very_many_studies_of_a_merge_that_was_undone_all_look_back)
{
    struct fixture fixture;
    struct error err = { 0 };
    const struct patient_identifier temporary = { slice_text("TEMP1"), slice_text("") };
    enum registration_outcome outcome;
    fixture_open(&fixture, true);
    store(&fixture, &ct);
    CHECK_INT(change(&fixture, "TEMP1", "", "P9", "DOE^JANE", 1000), REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(studies_of(&fixture, "P9"), "1.1");
    add_terms(&fixture, "P9", AMEND_WORK_AT_ONCE + 10);
    CHECK_OK(registration_separate(fixture.archive, &temporary, 2000, &outcome, &err), err);
    CHECK_INT(outcome, REGISTRATION_CHANGED);
    CHECK_INT(settle(&fixture), 0);
    /* What is told of the other one meanwhile does not take that away. */
    CHECK_INT(change(&fixture, "P9", "", "", "DOE^JOAN", 3000), REGISTRATION_CHANGED);
    while (spread(&fixture))
        ;
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(studies_of(&fixture, "TEMP1"), "1.1");
    CHECK_INT(settle(&fixture), 0);
    fixture_close(&fixture);
}

TEST(HL7_06_the_rest_of_very_many_studies_gets_to_work_after_a_restart)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct amender *amender;
    fixture_open(&fixture, false);
    store(&fixture, &ct);
    add_terms(&fixture, "TEMP1", AMEND_WORK_AT_ONCE);
    CHECK_INT(change(&fixture, "TEMP1", "", "P9", "", 1000), REGISTRATION_CHANGED);
    fixture_reopen(&fixture);
    CHECK_INT(pending(&fixture), AMEND_WORK_AT_ONCE + 1);
    CHECK_OK(amender_open(fixture.archive, &amender, &err), err);
    CHECK_SOON(pending(&fixture) == 0);
    CHECK_TEXT(studies_of(&fixture, "P9"), "1.1");
    amender_close(amender);
    fixture_close(&fixture);
}

TEST(HL7_06_the_rest_of_very_many_studies_gets_to_work_in_an_index_made_anew)
{
    struct fixture fixture;
    struct rebuild_report report;
    const struct rebuild_options options = { .ae_title = "TESTARCHIVE" };
    struct error err = { 0 };
    fixture_open(&fixture, false);
    store(&fixture, &ct);
    add_terms(&fixture, "TEMP1", AMEND_WORK_AT_ONCE);
    CHECK_INT(change(&fixture, "TEMP1", "", "P9", "", 1000), REGISTRATION_CHANGED);
    archive_close(fixture.archive);
    storage_close(fixture.storage);
    CHECK_OK(archive_rebuild(fixture.folder, &options, NULL, &report, &err), err);
    const struct storage_options storage = { .path = fixture.folder };
    const struct archive_options archive = { .ae_title = "TESTARCHIVE", .minimum_free_bytes = 1 };
    CHECK_OK(storage_open(&storage, &fixture.storage, &err), err);
    CHECK_OK(archive_open(fixture.storage, &archive, &fixture.archive, &err), err);
    CHECK_INT(pending(&fixture), AMEND_WORK_AT_ONCE + 1);
    CHECK(spread(&fixture));
    CHECK(!spread(&fixture));
    CHECK_INT(settle(&fixture), 1);
    CHECK_TEXT(studies_of(&fixture, "P9"), "1.1");
    CHECK_INT(pending(&fixture), 0);
    fixture_close(&fixture);
}
