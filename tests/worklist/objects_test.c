/* SPDX-License-Identifier: MIT */
#include "worklist/objects.h"

#include <pthread.h>
#include <stdio.h>

#include "storage/feed.h"
#include "storage/transaction.h"
#include "tests/worklist/fixture.h"
#include "worklist/changes.h"

enum { STATE_ONE = 1, STATE_TWO = 2 };

static void put(struct fixture *fixture, enum object_kind kind, const char *key, const char *lines,
                enum object_shelf shelf)
{
    struct error err = { 0 };
    struct turn *turn = NULL;
    struct object object = object_init();
    object.kind = kind;
    object.shelf = shelf;
    object.state = STATE_ONE;
    snprintf(object.key, sizeof(object.key), "%s", key);
    CHECK_OK(object_set_dataset(&object, dataset_of(lines), &err), err);
    CHECK_OK(turn_open(fixture->worklist, &turn, &err), err);
    CHECK_OK(turn_put(turn, &object, 0, &err), err);
    CHECK_OK(turn_commit(turn, &err), err);
    turn_close(turn);
    object_release(&object);
}

static void put_step(struct fixture *fixture, const char *key, const char *name, const char *ae,
                     const char *date, const char *time)
{
    char lines[512];
    snprintf(lines, sizeof(lines),
             "00100010 %s\n00400100 [\n00080060 CT\n00400001 %s\n00400002 %s\n00400003 %s\n]", name,
             ae, date, time);
    put(fixture, OBJECT_STEP, key, lines, OBJECT_LIVE);
}

TEST(object_put_reads_back_after_a_restart_as_it_was)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct turn *turn = NULL;
    struct object object = object_init(), again = object_init();
    struct slice value;
    bool found;
    fixture_open(&fixture, false);
    object.kind = OBJECT_WORKITEM;
    object.shelf = OBJECT_DONE;
    object.state = 7;
    snprintf(object.key, sizeof(object.key), "1.2.3");
    buffer_append(&object.own, slice_of("a\0b", 3));
    CHECK_OK(object_link(&object, 'x', slice_text("one"), &err), err);
    CHECK_OK(object_link(&object, 'y', slice_text("two"), &err), err);
    CHECK_OK(object_link(&object, 'x', slice_text("three"), &err), err);
    CHECK_OK(
        object_set_dataset(&object, dataset_of("00100010 Müller^Jörg\n00741000 SCHEDULED"), &err),
        err);
    CHECK_OK(turn_open(fixture.worklist, &turn, &err), err);
    CHECK_OK(turn_put(turn, &object, 0, &err), err);
    CHECK_OK(turn_commit(turn, &err), err);
    turn_close(turn);
    fixture_reopen(&fixture);
    CHECK_OK(object_get(fixture.worklist, OBJECT_WORKITEM, "1.2.3", &again, &found, &err), err);
    CHECK(found);
    CHECK_INT(again.shelf, OBJECT_DONE);
    CHECK_INT(again.state, 7);
    CHECK_INT(again.revision, object.revision);
    CHECK_INT(again.created_ms, object.created_ms);
    CHECK(slice_equal(buffer_slice(&again.own), slice_of("a\0b", 3)));
    CHECK(object_linked(&again, 'x', 1, &value) && slice_equals_text(value, "three"));
    value = slice_text("untouched");
    CHECK(!object_linked(&again, 'x', 2, &value) && slice_equals_text(value, "untouched"));
    CHECK(object_is_linked(&again, 'y', slice_text("two")));
    CHECK_TEXT(text_of(&again, TAG_PATIENT_NAME), "Müller^Jörg");
    CHECK_OK(object_get(fixture.worklist, OBJECT_STEP, "1.2.3", &again, &found, &err), err);
    CHECK(!found);
    object_release(&object);
    object_release(&again);
    fixture_close(&fixture);
}

TEST(object_walk_goes_by_date_and_time_within_one_value)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    put_step(&fixture, "b", "Doe^Jane", "CT1", "20260102", "0900");
    put_step(&fixture, "a", "Doe^Jane", "CT1", "20260102", "1030");
    put_step(&fixture, "c", "Doe^Jane", "CT2", "20260102", "0800");
    put_step(&fixture, "d", "Roe^Jim", "CT1", "20260101", "2359");
    put_step(&fixture, "e", "Roe^Jim", "CT1", "20260103", "");
    put_step(&fixture, "f", "Roe^Jim", "CT1", "", "");
    put_step(&fixture, "g", "Roe^Jim", "CT11", "20260102", "09");
    struct object_range range = { .kind = OBJECT_STEP, .shelf = OBJECT_LIVE };
    CHECK_TEXT(walk_list(&fixture, &range), "d,c,b,g,a,e,f");
    range.index = 'E';
    range.value = slice_text("CT1");
    CHECK_TEXT(walk_list(&fixture, &range), "d,b,a,e,f");
    range.first = "20260102";
    range.last = "20260102";
    CHECK_TEXT(walk_list(&fixture, &range), "b,a");
    range.last = NULL;
    CHECK_TEXT(walk_list(&fixture, &range), "b,a,e");
    range.first = "202601020930";
    CHECK_TEXT(walk_list(&fixture, &range), "a,e");
    range.first = NULL;
    range.last = "20260102";
    CHECK_TEXT(walk_list(&fixture, &range), "d,b,a");
    range.prefix = true;
    CHECK_TEXT(walk_list(&fixture, &range), "d,b,a,g");
    range = (struct object_range){
        .kind = OBJECT_STEP, .shelf = OBJECT_LIVE, .index = 'N', .value = slice_text("doe^jane")
    };
    CHECK_TEXT(walk_list(&fixture, &range), "c,b,a");
    range.shelf = OBJECT_DONE;
    CHECK_TEXT(walk_list(&fixture, &range), "");
    range.kind = OBJECT_PERFORMED;
    CHECK_TEXT(walk_list(&fixture, &range), "");
    fixture_close(&fixture);
}

TEST(object_that_changes_leaves_no_term_behind)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct turn *turn = NULL;
    bool found;
    fixture_open(&fixture, true);
    put_step(&fixture, "a", "Doe^Jane", "CT1", "20260102", "0900");
    put(&fixture, OBJECT_STEP, "a", "00100010 Roe^Jim", OBJECT_DONE);
    struct object_range range = { .kind = OBJECT_STEP, .shelf = OBJECT_LIVE };
    CHECK_TEXT(walk_list(&fixture, &range), "");
    range.shelf = OBJECT_DONE;
    CHECK_TEXT(walk_list(&fixture, &range), "a");
    CHECK_OK(turn_open(fixture.worklist, &turn, &err), err);
    CHECK_OK(turn_delete(turn, OBJECT_STEP, "a", &found, &err), err);
    CHECK(found);
    CHECK_OK(turn_commit(turn, &err), err);
    turn_close(turn);
    struct storage_cursor *cursor = NULL;
    CHECK_OK(storage_cursor_open(fixture.storage, TABLE_TERM, slice_of(NULL, 0), slice_of(NULL, 0),
                                 &cursor, &err),
             err);
    CHECK_OK(storage_cursor_next(cursor, NULL, NULL, &found, &err), err);
    CHECK(!found);
    storage_cursor_close(cursor);
    fixture_close(&fixture);
}

TEST(object_change_of_state_has_one_winner)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct turn *turn = NULL;
    struct object object = object_init();
    bool found;
    fixture_open(&fixture, true);
    put(&fixture, OBJECT_WORKITEM, "1.2", "00741000 SCHEDULED", OBJECT_LIVE);
    CHECK_OK(turn_open(fixture.worklist, &turn, &err), err);
    CHECK_OK(turn_get(turn, OBJECT_WORKITEM, "1.2", &object, &found, &err), err);
    CHECK(found);
    object.state = STATE_TWO;
    CHECK_OK(turn_put(turn, &object, 3, &err), err);
    object_clear(&object);
    CHECK_OK(turn_get(turn, OBJECT_WORKITEM, "1.2", &object, &found, &err), err);
    CHECK_INT(object.state, STATE_TWO);
    turn_close(turn); /* not committed */
    CHECK_OK(object_get(fixture.worklist, OBJECT_WORKITEM, "1.2", &object, &found, &err), err);
    CHECK_INT(object.state, STATE_ONE);
    object_release(&object);
    fixture_close(&fixture);
}

static void *claim(void *context)
{
    struct fixture *fixture = context;
    struct error err = { 0 };
    struct turn *turn = NULL;
    struct object object = object_init();
    bool found, won = false;
    if (turn_open(fixture->worklist, &turn, &err) &&
        turn_get(turn, OBJECT_WORKITEM, "1.2", &object, &found, &err) &&
        object.state == STATE_ONE) {
        object.state = STATE_TWO;
        won = turn_put(turn, &object, 0, &err) && turn_commit(turn, &err);
    }
    turn_close(turn);
    object_release(&object);
    return won ? fixture : NULL;
}

TEST(object_claimed_by_many_at_once_is_given_to_one)
{
    enum { MANY = 16 };
    struct fixture fixture;
    pthread_t threads[MANY];
    int winners = 0;
    fixture_open(&fixture, false);
    put(&fixture, OBJECT_WORKITEM, "1.2", "00741000 SCHEDULED", OBJECT_LIVE);
    for (int i = 0; i < MANY; i++)
        CHECK(pthread_create(&threads[i], NULL, claim, &fixture) == 0);
    for (int i = 0; i < MANY; i++) {
        void *won;
        pthread_join(threads[i], &won);
        winners += won != NULL;
    }
    CHECK_INT(winners, 1);
    fixture_close(&fixture);
}

TEST(object_changes_are_heard_of_by_followers_of_the_worklist_alone)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct object_changes *changes = NULL;
    struct object_change change;
    struct transaction *transaction = NULL;
    const uint8_t of_archive[] = { 1, 'x' };
    bool found;
    fixture_open(&fixture, false);
    CHECK_INT(object_changes_latest(fixture.worklist), 0);
    put(&fixture, OBJECT_WORKITEM, "1.2", "00741000 SCHEDULED", OBJECT_LIVE);
    put(&fixture, OBJECT_WORKITEM, "1.2", "00741000 SCHEDULED", OBJECT_DONE);
    CHECK_OK(transaction_open(fixture.storage, &transaction, &err), err);
    CHECK_INT(transaction_append_feed(transaction, slice_of(of_archive, 2)), 3);
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
    for (int again = 0; again < 2; again++) {
        CHECK_INT(object_changes_latest(fixture.worklist), 2);
        CHECK(!object_changes_wait(fixture.worklist, 2, 0));
        CHECK(object_changes_wait(fixture.worklist, 1, 0));
        CHECK_INT(object_changes_behind(fixture.worklist, 2), 0);
        CHECK_INT(feed_latest_of(fixture.storage, 1), 3);
        CHECK(!feed_wait_of(fixture.storage, 1, 3, 0));
        CHECK(feed_wait_of(fixture.storage, 1, 0, 0));
        CHECK_OK(object_changes_open(fixture.worklist, 0, &changes, &err), err);
        CHECK_OK(object_changes_next(changes, &change, &found, &err), err);
        CHECK(found && change.action == OBJECT_CREATED && change.kind == OBJECT_WORKITEM);
        CHECK_TEXT(change.key, "1.2");
        CHECK_OK(object_changes_next(changes, &change, &found, &err), err);
        CHECK(found && change.action == OBJECT_UPDATED && change.state_before == STATE_ONE);
        CHECK_OK(object_changes_next(changes, &change, &found, &err), err);
        CHECK(!found);
        object_changes_close(changes);
        fixture_reopen(&fixture); /* the ends of the streams are known after a start, too */
    }
    fixture_close(&fixture);
}

TEST(object_without_kind_or_key_is_refused)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct turn *turn = NULL;
    struct object object = object_init();
    fixture_open(&fixture, true);
    CHECK_OK(turn_open(fixture.worklist, &turn, &err), err);
    object.shelf = OBJECT_LIVE;
    object.kind = OBJECT_STEP;
    CHECK(!turn_put(turn, &object, 0, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    object.kind = (enum object_kind)'?';
    object.key[0] = 'k';
    CHECK(!turn_put(turn, &object, 0, &err));
    turn_close(turn);
    CHECK(!object_link(&object, 'x', slice_of("a\0b", 3), &err));
    object_release(&object);
    fixture_close(&fixture);
}
