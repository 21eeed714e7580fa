/* SPDX-License-Identifier: MIT */
#include "archive/resume.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive/delete.h"
#include "tests/archive/fixture.h"

static void make_key(struct key *key, char kind, int number)
{
    char text[32];
    snprintf(text, sizeof(text), "%06d", number);
    key_start(key, kind);
    key_add(key, slice_text(text));
}

static struct walk_range make_range(char kind, uint64_t change)
{
    struct walk_range range = { .table = TABLE_TERM, .change = change };
    make_key(&range.lower, kind, 0);
    make_key(&range.upper, kind, 999999);
    return range;
}

static void note(struct resume *resume, char kind, uint64_t change, int passed)
{
    struct walk_range range = make_range(kind, change);
    struct key last;
    make_key(&last, kind, passed);
    resume_note(resume, &range, (uint64_t)passed, &last);
}

static uint64_t find(struct resume *resume, char kind, uint64_t change, uint64_t wanted)
{
    struct walk_range range = make_range(kind, change);
    struct key last, expected;
    uint64_t passed;
    resume_find(resume, &range, wanted, &last, &passed);
    if (passed) {
        make_key(&expected, kind, (int)passed);
        CHECK(slice_equal(key_slice(&last), key_slice(&expected)));
    }
    return passed;
}

TEST(a_walk_resumes_at_the_furthest_point_before_the_wanted_one)
{
    struct resume *resume = resume_new();
    note(resume, 'D', 5, 300);
    note(resume, 'D', 5, 700);
    note(resume, 'D', 5, 500);
    CHECK_INT(find(resume, 'D', 5, 299), 0);
    CHECK_INT(find(resume, 'D', 5, 300), 300);
    CHECK_INT(find(resume, 'D', 5, 699), 500);
    CHECK_INT(find(resume, 'D', 5, 100000), 700);
    resume_free(resume);
}

TEST(a_walk_of_another_change_or_range_has_points_of_its_own)
{
    struct resume *resume = resume_new();
    note(resume, 'D', 5, 300);
    CHECK_INT(find(resume, 'D', 6, 1000), 0);
    CHECK_INT(find(resume, 'D', 4, 1000), 0);
    CHECK_INT(find(resume, 'I', 5, 1000), 0);
    CHECK_INT(find(resume, 'D', 5, 1000), 300);
    resume_free(resume);
}

TEST(points_are_bounded_and_those_in_use_stay)
{
    struct resume *resume = resume_new();
    for (int i = 1; i <= 5000; i++) {
        note(resume, 'D', (uint64_t)i, 300);
        note(resume, 'I', 1, 400);
    }
    CHECK_INT(find(resume, 'I', 1, 400), 400);
    CHECK_INT(find(resume, 'D', 5000, 400), 300);
    CHECK_INT(find(resume, 'D', 1, 400), 0);
    resume_free(resume);
}

enum { STUDIES = 700, PAGE = 90 };

static void uid_of(int number, char uid[UID_SIZE])
{
    snprintf(uid, UID_SIZE, "1.2.%d", 5000 + number);
}

static void store_study(struct fixture *fixture, int number, const char *date)
{
    char study[UID_SIZE], series[UID_SIZE], instance[UID_SIZE];
    uid_of(number, study);
    snprintf(series, sizeof(series), "1.3.%d", 5000 + number);
    snprintf(instance, sizeof(instance), "1.4.%d", 5000 + number);
    const struct object object = { .study = study,
                                   .series = series,
                                   .instance = instance,
                                   .patient_id = study,
                                   .study_date = date };
    store(fixture, &object);
}

/* One page as a client asks for it, and how many are said to be left (up to 1000). */
static size_t read_page(struct fixture *fixture, enum level level, const char *date,
                        uint64_t offset, char (*uids)[UID_SIZE], uint64_t *rest)
{
    struct query *query = query_new(fixture->archive, level);
    const struct dataset *match;
    struct error err = { 0 };
    size_t count = 0;
    if (date)
        query_key(query, TAG_STUDY_DATE, date);
    query_set_page(query, offset, PAGE);
    for (;;) {
        CHECK_OK(query_next(query, &match, &err), err);
        if (!match)
            break;
        CHECK(dataset_uid(match, level == LEVEL_PATIENT ? TAG_PATIENT_ID : TAG_STUDY_INSTANCE_UID,
                          uids[count++]));
    }
    CHECK_OK(query_count_rest(query, 1000, rest, &err), err);
    query_close(query);
    return count;
}

/* All pages, in an order of the tester's: each match is on the page where it belongs. */
static void check_pages(struct fixture *fixture, enum level level, const char *date, int first,
                        int count)
{
    char uids[PAGE][UID_SIZE];
    int pages = (count + PAGE - 1) / PAGE;
    for (int round = 0; round < 2 * pages; round++) {
        int page = round < pages ? round : (round * 5) % pages;
        uint64_t rest;
        size_t found = read_page(fixture, level, date, (uint64_t)page * PAGE, uids, &rest);
        int left = count - page * PAGE;
        CHECK_INT(found, left < PAGE ? left : PAGE);
        CHECK_INT(rest, left < PAGE ? 0 : left - PAGE);
        for (size_t i = 0; i < found; i++) {
            char uid[UID_SIZE];
            uid_of(first + page * PAGE + (int)i, uid);
            CHECK_TEXT(uids[i], uid);
        }
    }
}

TEST(pages_by_offset_are_the_parts_of_the_whole_list_also_after_a_store_and_a_delete)
{
    static char uids[PAGE][UID_SIZE];
    struct fixture fixture;
    struct error err = { 0 };
    uint64_t rest, deleted;
    fixture_open(&fixture, true);
    for (int i = 0; i < STUDIES; i++)
        store_study(&fixture, i, "20240102");
    check_pages(&fixture, LEVEL_STUDY, NULL, 0, STUDIES);
    check_pages(&fixture, LEVEL_PATIENT, NULL, 0, STUDIES);
    check_pages(&fixture, LEVEL_STUDY, "20240101-20240103", 0, STUDIES);
    check_pages(&fixture, LEVEL_STUDY, "20240102", 0, STUDIES);
    store_study(&fixture, -1, "20240102");
    check_pages(&fixture, LEVEL_STUDY, NULL, -1, STUDIES + 1);
    CHECK_OK(archive_delete(fixture.archive, "1.2.5000", NULL, NULL, &deleted, &err), err);
    CHECK_OK(archive_delete(fixture.archive, "1.2.4999", NULL, NULL, &deleted, &err), err);
    check_pages(&fixture, LEVEL_STUDY, NULL, 1, STUDIES - 1);
    CHECK_INT(read_page(&fixture, LEVEL_STUDY, NULL, 100000, uids, &rest), 0);
    CHECK_INT(rest, 0);
    fixture_close(&fixture);
}

static void *walk_pages(void *context)
{
    for (int i = 0; i < 2; i++)
        check_pages(context, LEVEL_STUDY, NULL, 0, STUDIES);
    return NULL;
}

TEST(many_clients_page_at_once)
{
    struct fixture fixture;
    pthread_t threads[4];
    fixture_open(&fixture, true);
    for (int i = 0; i < STUDIES; i++)
        store_study(&fixture, i, "20240102");
    for (size_t i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, walk_pages, &fixture), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    fixture_close(&fixture);
}
