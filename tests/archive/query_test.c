/* SPDX-License-Identifier: MIT */
#include "archive/query.h"

#include <stdio.h>
#include <stdlib.h>

#include "archive/delete.h"
#include "archive/query_scan.h"
#include "archive/row.h"
#include "base/memory.h"
#include "tests/archive/fixture.h"

/* Three studies of two patients. */
static const struct object objects[] = {
    { .study = "1.1",
      .series = "1.1.1",
      .instance = "1.1.1.1",
      .patient_id = "A",
      .patient_name = "Yamada^Tarou=\xE5\xB1\xB1\xE7\x94\xB0^\xE5\xA4\xAA\xE9\x83\x8E",
      .charset = "ISO_IR 192",
      .accession = "ACC1",
      .study_date = "20260105",
      .study_time = "2230",
      .study_id = "S1",
      .referring = "House^Gregory",
      .description = "Head",
      .modality = "CT",
      .series_number = "2",
      .instance_number = "2",
      .step_id = "STEP1\\STEP2",
      .procedure_id = "PROC1\\PROC2" },
    { .study = "1.1",
      .series = "1.1.1",
      .instance = "1.1.1.2",
      .patient_id = "A",
      .patient_name = "Yamada^Tarou",
      .study_date = "20260105",
      .study_time = "2230",
      .modality = "CT",
      .series_number = "2",
      .instance_number = "1" },
    { .study = "1.1",
      .series = "1.1.2",
      .instance = "1.1.2.1",
      .sop_class = "1.2.840.10008.5.1.4.1.1.88.67",
      .patient_id = "A",
      .study_date = "20260105",
      .modality = "SR",
      .series_number = "1",
      .instance_number = "1" },
    { .study = "1.2",
      .series = "1.2.1",
      .instance = "1.2.1.1",
      .patient_id = "A",
      .patient_name = "Yamada^Tarou",
      .accession = "ACC2",
      .study_date = "20260301",
      .study_time = "080000",
      .study_id = "007",
      .modality = "MR",
      .series_number = "1",
      .instance_number = "1" },
    { .study = "1.3",
      .series = "1.3.1",
      .instance = "1.3.1.1",
      .patient_id = "B",
      .patient_name = "M\xFCller^J\xF6rg",
      .charset = "ISO_IR 100",
      .accession = "acc1",
      .study_date = "20260105",
      .study_time = "100000",
      .modality = "CR",
      .series_number = "1",
      .instance_number = "1" },
};

static void open_sample(struct fixture *fixture)
{
    fixture_open(fixture, true);
    for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++)
        store(fixture, &objects[i]);
}

static const char *find(struct fixture *fixture, enum level level, uint32_t tag, const char *value)
{
    static const uint32_t uids[] = { TAG_PATIENT_ID, TAG_STUDY_INSTANCE_UID,
                                     TAG_SERIES_INSTANCE_UID, TAG_SOP_INSTANCE_UID };
    return query_list(query_by(fixture, level, tag, value), uids[level]);
}

static const char *find_studies(struct fixture *fixture, uint32_t tag, const char *value)
{
    return find(fixture, LEVEL_STUDY, tag, value);
}

TEST(studies_come_newest_first)
{
    struct fixture fixture;
    open_sample(&fixture);
    CHECK_TEXT(find_studies(&fixture, TAG_STUDY_INSTANCE_UID, ""), "1.2,1.1,1.3");
    fixture_close(&fixture);
}

TEST(each_index_finds_its_studies)
{
    struct fixture fixture;
    open_sample(&fixture);
    CHECK_TEXT(find_studies(&fixture, TAG_STUDY_INSTANCE_UID, "1.3\\1.1\\1.9"), "1.1,1.3");
    CHECK_TEXT(find_studies(&fixture, TAG_PATIENT_ID, "A"), "1.2,1.1");
    CHECK_TEXT(find_studies(&fixture, TAG_PATIENT_ID, " B "), "1.3");
    CHECK_TEXT(find_studies(&fixture, TAG_PATIENT_ID, "a"), "");
    CHECK_TEXT(find_studies(&fixture, TAG_PATIENT_ID, "?"), "1.2,1.1,1.3");
    CHECK_TEXT(find_studies(&fixture, TAG_ACCESSION_NUMBER, "ACC1"), "1.1");
    CHECK_TEXT(find_studies(&fixture, TAG_ACCESSION_NUMBER, "ACC*"), "1.2,1.1");
    CHECK_TEXT(find_studies(&fixture, TAG_STUDY_ID, "007"), "1.2");
    CHECK_TEXT(find_studies(&fixture, TAG_STUDY_ID, "7"), "");
    CHECK_TEXT(find_studies(&fixture, TAG_REFERRING_PHYSICIAN_NAME, "HOUSE*"), "1.1");
    CHECK_TEXT(find_studies(&fixture, TAG_STUDY_DATE, "20260105"), "1.1,1.3");
    CHECK_TEXT(find_studies(&fixture, TAG_STUDY_DATE, "20260106-"), "1.2");
    CHECK_TEXT(find_studies(&fixture, TAG_STUDY_DATE, "-20260105"), "1.1,1.3");
    CHECK_TEXT(find_studies(&fixture, TAG_STUDY_DATE, "20260105-20260301"), "1.2,1.1,1.3");
    CHECK_TEXT(find_studies(&fixture, TAG_STUDY_TIME, "223000"), "1.1");
    CHECK_TEXT(find_studies(&fixture, TAG_MODALITIES_IN_STUDY, "SR"), "1.1");
    CHECK_TEXT(find_studies(&fixture, TAG_STUDY_DESCRIPTION, "He*"), "1.1");
    CHECK_TEXT(find_studies(&fixture, TAG_NUMBER_OF_STUDY_RELATED_SERIES, "2"), "1.1");
    CHECK_TEXT(find(&fixture, LEVEL_SERIES, TAG_SERIES_INSTANCE_UID, "1.3.1\\1.1.2"),
               "1.1.2,1.3.1");
    CHECK_TEXT(find(&fixture, LEVEL_INSTANCE, TAG_SOP_INSTANCE_UID, "1.1.1.1"), "1.1.1.1");
    CHECK_TEXT(find(&fixture, LEVEL_INSTANCE, TAG_SOP_INSTANCE_UID, "1.3.1.1\\1.1.1.1"),
               "1.1.1.1,1.3.1.1");
    CHECK_TEXT(find(&fixture, LEVEL_PATIENT, TAG_PATIENT_ID, "B"), "B");
    CHECK_TEXT(find(&fixture, LEVEL_PATIENT, TAG_PATIENT_ID, ""), "A,B");
    fixture_close(&fixture);
}

TEST(names_are_found_in_any_case_accent_and_component_group)
{
    struct fixture fixture;
    open_sample(&fixture);
    CHECK_TEXT(find_studies(&fixture, TAG_PATIENT_NAME, "yamada*"), "1.2,1.1");
    CHECK_TEXT(find_studies(&fixture, TAG_PATIENT_NAME, "YAMADA^TAROU"), "1.2,1.1");
    CHECK_TEXT(find_studies(&fixture, TAG_PATIENT_NAME, "\xE5\xB1\xB1\xE7\x94\xB0*"), "1.1");
    CHECK_TEXT(find_studies(&fixture, TAG_PATIENT_NAME, "muller^jorg"), "1.3");
    CHECK_TEXT(find_studies(&fixture, TAG_PATIENT_NAME, "M\xC3\xBCller*"), "1.3");
    CHECK_TEXT(find_studies(&fixture, TAG_PATIENT_NAME, "*tarou"), "1.2,1.1");
    CHECK_TEXT(find(&fixture, LEVEL_PATIENT, TAG_PATIENT_NAME, "yamada^tarou"), "A");
    fixture_close(&fixture);
}

TEST(keys_of_upper_levels_filter_and_are_returned_at_every_level)
{
    struct fixture fixture;
    open_sample(&fixture);
    CHECK_TEXT(find(&fixture, LEVEL_SERIES, TAG_PATIENT_ID, "A"), "1.2.1,1.1.2,1.1.1");
    CHECK_TEXT(find(&fixture, LEVEL_INSTANCE, TAG_ACCESSION_NUMBER, "ACC1"),
               "1.1.2.1,1.1.1.2,1.1.1.1");
    struct query *query = query_by(&fixture, LEVEL_INSTANCE, TAG_MODALITY, "CT");
    query_key(query, TAG_STUDY_DATE, "20260101-");
    query_key(query, TAG_ACCESSION_NUMBER, "");
    CHECK_TEXT(query_list(query, TAG_ACCESSION_NUMBER), "ACC1,ACC1");
    fixture_close(&fixture);
}

TEST(computed_attributes_match_and_are_returned)
{
    struct fixture fixture;
    struct error err = { 0 };
    uint64_t count;
    open_sample(&fixture);
    static const struct {
        enum level level;
        uint32_t tag;
        const char *values;
    } expected[] = {
        { LEVEL_PATIENT, TAG_NUMBER_OF_PATIENT_RELATED_STUDIES, "2,1" },
        { LEVEL_PATIENT, TAG_NUMBER_OF_PATIENT_RELATED_SERIES, "3,1" },
        { LEVEL_PATIENT, TAG_NUMBER_OF_PATIENT_RELATED_INSTANCES, "4,1" },
        { LEVEL_STUDY, TAG_NUMBER_OF_STUDY_RELATED_SERIES, "1,2,1" },
        { LEVEL_STUDY, TAG_NUMBER_OF_STUDY_RELATED_INSTANCES, "1,3,1" },
        { LEVEL_STUDY, TAG_MODALITIES_IN_STUDY, "MR,CT\\SR,CR" },
        { LEVEL_STUDY, TAG_SOP_CLASSES_IN_STUDY,
          CT_IMAGE_STORAGE "," CT_IMAGE_STORAGE
                           "\\1.2.840.10008.5.1.4.1.1.88.67," CT_IMAGE_STORAGE },
        { LEVEL_STUDY, TAG_INSTANCE_AVAILABILITY, "ONLINE,ONLINE,ONLINE" },
        { LEVEL_STUDY, TAG_RETRIEVE_AE_TITLE, "TESTARCHIVE,TESTARCHIVE,TESTARCHIVE" },
        { LEVEL_SERIES, TAG_NUMBER_OF_SERIES_RELATED_INSTANCES, "1,1,2,1" },
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        CHECK_TEXT(
            query_list(query_by(&fixture, expected[i].level, expected[i].tag, ""), expected[i].tag),
            expected[i].values);
    CHECK_OK(archive_delete(fixture.archive, "1.1", "1.1.2", NULL, &count, &err), err);
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_STUDY, TAG_MODALITIES_IN_STUDY, ""),
                          TAG_MODALITIES_IN_STUDY),
               "MR,CT,CR");
    CHECK_TEXT(find_studies(&fixture, TAG_MODALITIES_IN_STUDY, "SR"), "");
    fixture_close(&fixture);
}

static struct query *request_query(struct fixture *fixture, const char *step, const char *procedure)
{
    struct error err = { 0 };
    struct query *query = query_new(fixture->archive, LEVEL_SERIES);
    uint32_t step_path[] = { TAG_REQUEST_ATTRIBUTES_SEQUENCE, TAG_SCHEDULED_PROCEDURE_STEP_ID };
    uint32_t procedure_path[] = { TAG_REQUEST_ATTRIBUTES_SEQUENCE, TAG_REQUESTED_PROCEDURE_ID };
    CHECK_OK(query_add_key(query, step_path, 2, slice_text(step), &err), err);
    CHECK_OK(query_add_key(query, procedure_path, 2, slice_text(procedure), &err), err);
    return query;
}

TEST(keys_of_a_sequence_must_match_within_one_item)
{
    struct fixture fixture;
    struct error err = { 0 };
    const struct dataset *match;
    open_sample(&fixture);
    CHECK_TEXT(query_list(request_query(&fixture, "STEP2", "PROC2"), TAG_SERIES_INSTANCE_UID),
               "1.1.1");
    CHECK_TEXT(query_list(request_query(&fixture, "STEP1", "PROC2"), TAG_SERIES_INSTANCE_UID), "");
    CHECK_TEXT(query_list(request_query(&fixture, "", ""), TAG_SERIES_INSTANCE_UID),
               "1.2.1,1.1.2,1.1.1,1.3.1");
    struct query *query = request_query(&fixture, "STEP2", "");
    CHECK_OK(query_next(query, &match, &err), err);
    CHECK_INT(dataset_item_count(match, TAG_REQUEST_ATTRIBUTES_SEQUENCE), 2);
    struct dataset *item = dataset_item(match, TAG_REQUEST_ATTRIBUTES_SEQUENCE, 1);
    char text[20];
    dataset_string(item, TAG_REQUESTED_PROCEDURE_ID, text, sizeof(text));
    CHECK_TEXT(text, "PROC2");
    dataset_close(item);
    query_close(query);

    /* By one key alone the items hold just that; with the sequence itself asked for, all. */
    uint32_t path[] = { TAG_REQUEST_ATTRIBUTES_SEQUENCE, TAG_SCHEDULED_PROCEDURE_STEP_ID };
    for (int whole = 0; whole < 2; whole++) {
        struct element element;
        query = query_new(fixture.archive, LEVEL_SERIES);
        CHECK_OK(query_add_key(query, path, 2, slice_text("STEP1"), &err), err);
        if (whole)
            CHECK_OK(query_add_return(query, path[0], &err), err);
        CHECK_OK(query_next(query, &match, &err), err);
        item = dataset_item(match, TAG_REQUEST_ATTRIBUTES_SEQUENCE, 0);
        CHECK(dataset_find(item, TAG_SCHEDULED_PROCEDURE_STEP_ID, &element));
        CHECK(dataset_find(item, TAG_REQUESTED_PROCEDURE_ID, &element) == whole);
        dataset_close(item);
        query_close(query);
    }
    fixture_close(&fixture);
}

TEST(any_stored_attribute_can_be_key_and_return)
{
    struct fixture fixture;
    struct error err = { 0 };
    const struct dataset *match;
    struct element element;
    char text[32];
    open_sample(&fixture);
    CHECK_TEXT(find(&fixture, LEVEL_INSTANCE, 0x00189004, "PRODUCT"),
               "1.2.1.1,1.1.2.1,1.1.1.2,1.1.1.1,1.3.1.1");
    CHECK_TEXT(find_studies(&fixture, 0x00189004, "RESEARCH"), "");
    CHECK_TEXT(find_studies(&fixture, 0x00091001, "PRIVATE*"), "1.2,1.1,1.3");
    struct query *query = query_by(&fixture, LEVEL_STUDY, TAG_STUDY_INSTANCE_UID, "1.1");
    CHECK_OK(query_add_return(query, 0x00091001, &err), err);
    CHECK_OK(query_add_return(query, TAG_PATIENT_SEX, &err), err);
    CHECK_OK(query_next(query, &match, &err), err);
    dataset_string(match, 0x00091001, text, sizeof(text));
    CHECK_TEXT(text, "PRIVATE VALUE");
    dataset_string(match, 0x00090010, text, sizeof(text));
    CHECK_TEXT(text, "HOUNSFIELD TEST");
    CHECK(dataset_find(match, TAG_PATIENT_SEX, &element)); /* asked for, and not known */
    CHECK_INT(element.size, 0);
    CHECK(!dataset_find(match, TAG_PATIENT_ID, &element)); /* not asked for */
    query_close(query);
    fixture_close(&fixture);
}

TEST(a_match_says_its_character_set_only_when_it_must)
{
    struct fixture fixture;
    struct error err = { 0 };
    const struct dataset *match;
    struct element element;
    struct buffer name = buffer_up_to(100);
    open_sample(&fixture);
    struct query *query = query_by(&fixture, LEVEL_STUDY, TAG_PATIENT_NAME, "");
    CHECK_OK(query_next(query, &match, &err), err);
    CHECK(!dataset_find(match, TAG_SPECIFIC_CHARACTER_SET, &element));
    CHECK_OK(query_next(query, &match, &err), err);
    CHECK_OK(query_next(query, &match, &err), err);
    CHECK(dataset_find(match, TAG_SPECIFIC_CHARACTER_SET, &element));
    CHECK(dataset_text(match, TAG_PATIENT_NAME, &name));
    CHECK_TEXT(buffer_text(&name), "M\xC3\xBCller^J\xC3\xB6rg");
    buffer_release(&name);
    query_close(query);
    fixture_close(&fixture);
}

TEST(all_attributes_of_an_instance_are_those_of_its_header)
{
    struct fixture fixture;
    struct error err = { 0 };
    const struct dataset *match;
    struct element element;
    uint32_t last = 0;
    struct object object = objects[0];
    fixture_open(&fixture, true);
    object.pixels = 100;
    store(&fixture, &object);
    struct query *query = query_by(&fixture, LEVEL_INSTANCE, TAG_SOP_INSTANCE_UID, "1.1.1.1");
    query_return_all(query);
    CHECK_OK(query_next(query, &match, &err), err);
    CHECK(dataset_find(match, 0x00189004, &element));
    CHECK(dataset_find(match, 0x00091001, &element));
    CHECK(dataset_find(match, TAG_PATIENT_NAME, &element));
    CHECK(dataset_find(match, TAG_NUMBER_OF_STUDY_RELATED_INSTANCES, &element));
    CHECK(!dataset_find(match, TAG_PIXEL_DATA, &element));
    CHECK(!dataset_find(match, TAG_PATIENT_SEX, &element));
    struct walk walk = dataset_walk(match);
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (event == WALK_ELEMENT && walk.depth == 0) {
            CHECK(element.tag > last);
            last = element.tag;
        }
    }
    query_close(query);
    fixture_close(&fixture);
}

TEST(date_and_time_are_one_span_when_they_are_combined)
{
    struct fixture fixture;
    open_sample(&fixture);
    struct query *query = query_by(&fixture, LEVEL_STUDY, TAG_STUDY_DATE, "20260105-20260301");
    query_key(query, TAG_STUDY_TIME, "1100-0900");
    query_combine_date_time(query);
    CHECK_TEXT(query_list(query, TAG_STUDY_INSTANCE_UID), "1.2,1.1");
    query = query_by(&fixture, LEVEL_STUDY, TAG_STUDY_DATE, "20260105-20260301");
    query_key(query, TAG_STUDY_TIME, "0900-1100");
    CHECK_TEXT(query_list(query, TAG_STUDY_INSTANCE_UID), "1.3");
    fixture_close(&fixture);
}

TEST(keys_that_cannot_be_are_refused_with_their_tag)
{
    struct fixture fixture;
    struct error err = { 0 };
    uint32_t tag = TAG_STUDY_DATE;
    uint32_t deep[QUERY_MAX_DEPTH + 1] = { TAG_REQUEST_ATTRIBUTES_SEQUENCE };
    fixture_open(&fixture, true);
    struct query *query = query_new(fixture.archive, LEVEL_STUDY);
    CHECK(!query_add_key(query, &tag, 1, slice_text("20061301"), &err));
    CHECK_INT(err.code, ERROR_INVALID);
    CHECK_INT(err.tag, TAG_STUDY_DATE);
    CHECK(!query_add_key(query, deep, QUERY_MAX_DEPTH + 1, slice_text(""), &err));
    query_close(query);
    fixture_close(&fixture);
}

/* Random studies, and random queries: every index agrees with a walk through everything. */

enum { RANDOM_STUDIES = 40, RANDOM_QUERIES = 300 };

static const char *pick(const char *const *values, size_t count)
{
    return values[(size_t)rand() % count];
}
#define PICK(values) pick(values, sizeof(values) / sizeof(values[0]))

static const char *const names[] = { "Adams^John",
                                     "adams^john^",
                                     "ADAMS^Johanna",
                                     "Berg^Eva",
                                     "Berg^Eva=X^Y",
                                     "M\xC3\xBCller^Max",
                                     "Muller^Max",
                                     "=\xE5\xB1\xB1^A=",
                                     "",
                                     "Adams^^^Dr.",
                                     "A",
                                     "Adams" };
static const char *const ids[] = { "1", "2", "3", "10", "1 ", "", "A*B" };
static const char *const dates[] = { "20260101", "20260102", "20251231", "2026.01.03", "", "x" };
static const char *const times[] = { "10", "1000", "235959.5", "", "10:30:00" };
static const char *const modalities[] = { "CT", "MR", "SR", "", "CT " };
static const char *const texts[] = { "ACC", "ACC1", "acc", "", "A\\B", "12" };

static void store_random(struct fixture *fixture)
{
    for (int s = 0; s < RANDOM_STUDIES; s++) {
        struct object object = { .charset = "ISO_IR 192",
                                 .patient_name = PICK(names),
                                 .patient_id = PICK(ids),
                                 .study_date = PICK(dates),
                                 .study_time = PICK(times),
                                 .accession = PICK(texts),
                                 .study_id = PICK(texts),
                                 .referring = PICK(names) };
        char study[20], series[40], instance[UID_SIZE], number[16];
        snprintf(study, sizeof(study), "1.%d", s + 1);
        object.study = study;
        for (int i = 0; i < rand() % 5 + 1; i++) {
            int of_series = rand() % 3 + 1;
            snprintf(series, sizeof(series), "%s.%d", study, of_series);
            snprintf(instance, sizeof(instance), "%s.%d", series, i + 1);
            snprintf(number, sizeof(number), "%d", rand() % 4);
            object.series = series;
            object.instance = instance;
            object.series_number = number + (of_series == 3);
            object.instance_number = number;
            object.modality = PICK(modalities);
            store(fixture, &object);
        }
    }
}

struct random_key {
    uint32_t tag;
    const char *value;
};

static const struct random_key random_keys[] = {
    { TAG_PATIENT_NAME, "adams*" },
    { TAG_PATIENT_NAME, "ADAMS^JOHN" },
    { TAG_PATIENT_NAME, "A*" },
    { TAG_PATIENT_NAME, "*max" },
    { TAG_PATIENT_NAME, "muller^max" },
    { TAG_PATIENT_NAME, "Berg^Eva=X*" },
    { TAG_PATIENT_NAME, "=\xE5\xB1\xB1*" },
    { TAG_PATIENT_NAME, "adams^*" },
    { TAG_PATIENT_NAME, "?" },
    { TAG_PATIENT_ID, "1" },
    { TAG_PATIENT_ID, "1*" },
    { TAG_PATIENT_ID, "?" },
    { TAG_PATIENT_ID, "3" },
    { TAG_STUDY_DATE, "20260101" },
    { TAG_STUDY_DATE, "20260101-" },
    { TAG_STUDY_DATE, "-20260101" },
    { TAG_STUDY_DATE, "20260102-20260103" },
    { TAG_STUDY_TIME, "1000" },
    { TAG_STUDY_TIME, "-12" },
    { TAG_ACCESSION_NUMBER, "ACC" },
    { TAG_ACCESSION_NUMBER, "ACC*" },
    { TAG_ACCESSION_NUMBER, "B" },
    { TAG_ACCESSION_NUMBER, "A\\B" },
    { TAG_STUDY_ID, "12" },
    { TAG_STUDY_ID, "a*" },
    { TAG_REFERRING_PHYSICIAN_NAME, "berg*" },
    { TAG_REFERRING_PHYSICIAN_NAME, "Adams" },
    { TAG_MODALITIES_IN_STUDY, "CT" },
    { TAG_MODALITIES_IN_STUDY, "?R" },
    { TAG_MODALITY, "CT" },
    { TAG_MODALITY, "SR" },
    { TAG_STUDY_INSTANCE_UID, "1.1" },
    { TAG_STUDY_INSTANCE_UID, "1.5\\1.6\\1.7\\1.8\\1.9" },
    { TAG_SERIES_INSTANCE_UID, "1.3.1" },
    { TAG_SERIES_INSTANCE_UID, "1.3.1\\1.3.2\\1.4.1\\1.5.3" },
    { TAG_SOP_INSTANCE_UID, "1.3.1.1" },
    { TAG_SOP_INSTANCE_UID, "1.3.1.1\\1.3.1.2\\1.4.1.1\\1.4.2.1\\1.4.3.1" },
    { TAG_INSTANCE_NUMBER, "1" },
    { TAG_SERIES_NUMBER, "2" },
    { TAG_NUMBER_OF_STUDY_RELATED_INSTANCES, "2" },
};

enum { RANDOM_KEYS = sizeof(random_keys) / sizeof(random_keys[0]) };

struct random_query {
    enum level level;
    const struct random_key *keys[3];
    size_t count;
    bool combine;
    uint64_t offset;
    uint64_t limit;
    size_t gather_max; /* 0: the default */
};

static struct query *open_random(struct fixture *fixture, const struct random_query *random)
{
    struct query *query = query_new(fixture->archive, random->level);
    for (size_t i = 0; i < random->count; i++)
        query_key(query, random->keys[i]->tag, random->keys[i]->value);
    if (random->combine)
        query_combine_date_time(query);
    query_set_page(query, random->offset, random->limit);
    return query;
}

static const uint32_t level_uid[] = { TAG_PATIENT_ID, TAG_STUDY_INSTANCE_UID,
                                      TAG_SERIES_INSTANCE_UID, TAG_SOP_INSTANCE_UID };

static uint64_t count_rest(struct query *query)
{
    struct error err = { 0 };
    const struct dataset *match = NULL;
    uint64_t count;
    do
        CHECK_OK(query_next(query, &match, &err), err);
    while (match);
    CHECK_OK(query_count_rest(query, 1000000, &count, &err), err);
    query_close(query);
    return count;
}

static void compare_random(struct fixture *fixture, const struct random_query *random)
{
    struct query *walk = open_random(fixture, random);
    query_limit_index(walk, 0);
    char *expected = mem_copy_text(query_list(walk, level_uid[random->level]));
    struct query *query = open_random(fixture, random);
    if (random->gather_max)
        query_limit_index(query, random->gather_max);
    const char *actual = query_list(query, level_uid[random->level]);
    if (strcmp(actual, expected) != 0) {
        for (size_t i = 0; i < random->count; i++)
            printf("    %08X %s\n", random->keys[i]->tag, random->keys[i]->value);
        test_fail(__FILE__, __LINE__, "level %d: %s, not %s", random->level, actual, expected);
    }
    free(expected);
    walk = open_random(fixture, random);
    query_limit_index(walk, 0);
    uint64_t rest = count_rest(walk);
    CHECK_INT(count_rest(open_random(fixture, random)), (long long)rest);
}

static void check_random(bool in_memory, unsigned seed)
{
    struct fixture fixture;
    srand(seed);
    fixture_open(&fixture, in_memory);
    store_random(&fixture);
    for (int i = 0; i < RANDOM_QUERIES; i++) {
        struct random_query random = { .level = (enum level)(rand() % 4),
                                       .count = (size_t)rand() % 4,
                                       .combine = rand() % 2,
                                       .gather_max = rand() % 4 ? 0 : (size_t)rand() % 20 };
        for (size_t k = 0; k < random.count; k++)
            random.keys[k] = &random_keys[rand() % RANDOM_KEYS];
        if (rand() % 2) {
            random.offset = (uint64_t)rand() % 20;
            random.limit = (uint64_t)rand() % 10;
        }
        compare_random(&fixture, &random);
    }
    fixture_close(&fixture);
}

TEST(every_index_finds_the_same_in_the_same_order_as_a_walk_through_everything)
{
    check_random(true, 1);
    check_random(true, 2);
    check_random(false, 3);
}

/* Pages put together are the whole, at every level and page size. */
static void check_pages(struct fixture *fixture, enum level level, uint64_t page)
{
    struct error err = { 0 };
    char *whole = mem_copy_text(
        query_list(query_by(fixture, level, TAG_STUDY_INSTANCE_UID, ""), level_uid[level]));
    struct buffer pages = buffer_up_to(1 << 20);
    uint64_t offset = 0;
    uint64_t rest = 1;
    while (rest) {
        struct query *query = query_by(fixture, level, TAG_STUDY_INSTANCE_UID, "");
        const struct dataset *match;
        query_set_page(query, offset, page);
        for (;;) {
            CHECK_OK(query_next(query, &match, &err), err);
            if (!match)
                break;
            if (pages.size)
                buffer_append_byte(&pages, ',');
            dataset_text(match, level_uid[level], &pages);
        }
        CHECK_OK(query_count_rest(query, 3, &rest, &err), err);
        CHECK(rest <= 3);
        query_close(query);
        offset += page;
    }
    CHECK_TEXT(buffer_text(&pages), whole);
    buffer_release(&pages);
    free(whole);
}

TEST(pages_miss_nothing_and_repeat_nothing)
{
    struct fixture fixture;
    srand(11);
    fixture_open(&fixture, true);
    store_random(&fixture);
    for (int level = LEVEL_STUDY; level <= LEVEL_INSTANCE; level++) {
        check_pages(&fixture, (enum level)level, 1);
        check_pages(&fixture, (enum level)level, 7);
        check_pages(&fixture, (enum level)level, 1000);
    }
    fixture_close(&fixture);
}

TEST(a_query_is_of_the_archive_as_it_was_when_it_began)
{
    struct fixture fixture;
    struct error err = { 0 };
    const struct dataset *match;
    char all[200];
    uint64_t count;
    open_sample(&fixture);
    snprintf(all, sizeof(all), "%s", find(&fixture, LEVEL_INSTANCE, TAG_SOP_INSTANCE_UID, ""));
    struct query *query = query_by(&fixture, LEVEL_INSTANCE, TAG_SOP_INSTANCE_UID, "");
    CHECK_OK(query_next(query, &match, &err), err);
    CHECK_OK(archive_delete(fixture.archive, "1.1", NULL, NULL, &count, &err), err);
    CHECK_TEXT(query_list(query, TAG_SOP_INSTANCE_UID), strchr(all, ',') + 1);
    CHECK(strlen(find(&fixture, LEVEL_INSTANCE, TAG_SOP_INSTANCE_UID, "")) < strlen(all));
    fixture_close(&fixture);
}

TEST(a_patient_who_goes_with_the_study_just_read_is_not_there)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct row row;
    uint64_t count;
    bool found;
    open_sample(&fixture);
    row_init(&row, fixture.archive);
    CHECK_OK(row_load_study(&row, "1.1", &found, &err), err);
    CHECK(found);
    CHECK_OK(row_load_patient(&row, &found, &err), err);
    CHECK(found);
    CHECK_OK(row_load_study(&row, "1.1", &found, &err), err);
    CHECK_OK(archive_delete(fixture.archive, "1.1", NULL, NULL, &count, &err), err);
    CHECK_OK(row_load_patient(&row, &found, &err), err);
    CHECK(found); /* has another study */
    CHECK_OK(row_load_study(&row, "1.2", &found, &err), err);
    CHECK_OK(archive_delete(fixture.archive, "1.2", NULL, NULL, &count, &err), err);
    CHECK_OK(row_load_patient(&row, &found, &err), err);
    CHECK(!found);
    row_release(&row);
    fixture_close(&fixture);
}

static bool lose_patience(void *context, struct error *err)
{
    int *left = context;
    return --*left >= 0 || error_set(err, ERROR_STOPPED, "no more patience");
}

TEST(HOS_29_who_watches_a_query_can_end_it_where_nothing_matches)
{
    struct fixture fixture;
    struct error err = { 0 };
    const struct dataset *match;
    int patience = 0;
    open_sample(&fixture);
    for (int level = LEVEL_STUDY; level <= LEVEL_INSTANCE; level++) {
        struct query *query = query_by(&fixture, (enum level)level, TAG_STUDY_ID, "none of them");
        query_set_watch(query, lose_patience, &patience);
        CHECK(!query_next(query, &match, &err));
        CHECK_INT(err.code, ERROR_STOPPED);
        query_close(query);
    }
    patience = 1000;
    struct query *query = query_by(&fixture, LEVEL_STUDY, TAG_STUDY_ID, "none of them");
    query_set_watch(query, lose_patience, &patience);
    CHECK_OK(query_next(query, &match, &err), err);
    CHECK(!match);
    CHECK(patience < 1000);
    query_close(query);
    fixture_close(&fixture);
}
