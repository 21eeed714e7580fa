/* SPDX-License-Identifier: MIT */
#include "archive/changes.h"

#include <pthread.h>
#include <stdio.h>

#include "archive/delete.h"
#include "base/clock.h"
#include "storage/store.h"
#include "tests/archive/fixture.h"

static const struct object object = {
    .study = "1.1", .series = "1.1.1", .instance = "1.1.1.1", .patient_id = "A"
};

static void delete_study(struct fixture *fixture)
{
    struct error err = { 0 };
    uint64_t count;
    CHECK_OK(archive_delete(fixture->archive, "1.1", NULL, NULL, &count, &err), err);
}

static enum change_state state_of(struct fixture *fixture, uint64_t sequence)
{
    struct error err = { 0 };
    struct change change;
    enum change_state state;
    bool found;
    CHECK_OK(changes_get(fixture->archive, sequence, &change, &found, &err), err);
    CHECK(found);
    CHECK_OK(changes_state(fixture->archive, &change, &state, &err), err);
    return state;
}

TEST(each_change_tells_what_when_and_what_became_of_it)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct changes *changes;
    struct change change;
    bool found;
    int64_t before = clock_unix_ms();
    fixture_open(&fixture, true);
    CHECK_INT(changes_latest(fixture.archive), 0);
    store(&fixture, &object);
    CHECK_INT(state_of(&fixture, 1), CHANGE_CURRENT);
    delete_study(&fixture);
    CHECK_INT(state_of(&fixture, 1), CHANGE_DELETED);
    CHECK_INT(state_of(&fixture, 2), CHANGE_DELETED);
    store(&fixture, &object);
    CHECK_INT(state_of(&fixture, 1), CHANGE_REPLACED);
    CHECK_INT(state_of(&fixture, 2), CHANGE_REPLACED);
    CHECK_INT(state_of(&fixture, 3), CHANGE_CURRENT);

    static const enum change_action actions[] = { CHANGE_CREATE, CHANGE_DELETE, CHANGE_CREATE };
    CHECK_OK(changes_open(fixture.archive, 0, &changes, &err), err);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(changes_next(changes, &change, &found, &err), err);
        CHECK(found);
        CHECK_INT(change.sequence, i + 1);
        CHECK_INT(change.action, actions[i]);
        CHECK_TEXT(change.identity.study, "1.1");
        CHECK_TEXT(change.identity.series, "1.1.1");
        CHECK_TEXT(change.identity.instance, "1.1.1.1");
        CHECK_TEXT(change.identity.sop_class, CT_IMAGE_STORAGE);
        CHECK(change.at_ms >= before && change.at_ms <= clock_unix_ms());
    }
    CHECK_OK(changes_next(changes, &change, &found, &err), err);
    CHECK(!found);
    changes_close(changes);
    CHECK_OK(changes_get(fixture.archive, 4, &change, &found, &err), err);
    CHECK(!found);
    fixture_close(&fixture);
}

TEST(a_cursor_begins_after_the_number_it_is_given)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct changes *changes;
    struct change change;
    bool found;
    fixture_open(&fixture, true);
    store(&fixture, &object);
    delete_study(&fixture);
    CHECK_OK(changes_open(fixture.archive, 1, &changes, &err), err);
    CHECK_OK(changes_next(changes, &change, &found, &err), err);
    CHECK(found);
    CHECK_INT(change.sequence, 2);
    CHECK_OK(changes_next(changes, &change, &found, &err), err);
    CHECK(!found);
    changes_close(changes);
    fixture_close(&fixture);
}

TEST(the_last_change_is_found_though_the_numbers_go_on_behind_it)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct change change;
    bool found;
    fixture_open(&fixture, true);
    CHECK_OK(changes_last(fixture.archive, &change, &found, &err), err);
    CHECK(!found);
    store(&fixture, &object);
    delete_study(&fixture);
    CHECK_OK(changes_last(fixture.archive, &change, &found, &err), err);
    CHECK(found);
    CHECK_INT(change.sequence, 2);
    CHECK_INT(change.action, CHANGE_DELETE);
    /* As a restore does it. */
    feed_advance(fixture.storage, 1000000);
    CHECK_INT(changes_latest(fixture.archive), 1000000);
    CHECK_OK(changes_last(fixture.archive, &change, &found, &err), err);
    CHECK(found);
    CHECK_INT(change.sequence, 2);
    CHECK_TEXT(change.identity.instance, "1.1.1.1");
    fixture_close(&fixture);
}

static void *store_later(void *argument)
{
    struct fixture *fixture = argument;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    object_store(fixture->archive, &object, &outcome, &err);
    return NULL;
}

TEST(who_waits_for_changes_is_woken_by_one)
{
    struct fixture fixture;
    pthread_t thread;
    fixture_open(&fixture, true);
    CHECK(!changes_wait(fixture.archive, 0, 1));
    CHECK_INT(pthread_create(&thread, NULL, store_later, &fixture), 0);
    CHECK(changes_wait(fixture.archive, 0, 60000));
    CHECK_INT(changes_latest(fixture.archive), 1);
    pthread_join(thread, NULL);
    fixture_close(&fixture);
}

static void put(struct fixture *fixture, const char *follower, const char *key, const char *value)
{
    struct error err = { 0 };
    CHECK_OK(follower_put(fixture->archive, follower, key, slice_text(value), &err), err);
}

static void check_keys(struct fixture *fixture, const char *follower, const char *expected)
{
    struct error err = { 0 };
    struct buffer key = buffer_up_to(100);
    char list[200] = "", last[100] = "";
    bool found = true;
    for (;;) {
        CHECK_OK(follower_next_key(fixture->archive, follower, last, &key, &found, &err), err);
        if (!found)
            break;
        snprintf(last, sizeof(last), "%s", buffer_text(&key));
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s,", last);
    }
    CHECK_TEXT(list, expected);
    buffer_release(&key);
}

TEST(followers_have_a_position_and_a_state_of_their_own_that_last)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct buffer value = buffer_up_to(100);
    uint64_t position;
    bool found;
    fixture_open(&fixture, false);
    CHECK_OK(follower_position(fixture.archive, "cast", &position, &err), err);
    CHECK_INT(position, 0);
    CHECK_OK(follower_save(fixture.archive, "cast", 17, &err), err);
    put(&fixture, "cast", "parked/1.2", "reason");
    put(&fixture, "cast", "parked/1.10", "other");
    put(&fixture, "cast2", "key", "of another");
    fixture_reopen(&fixture);
    CHECK_OK(follower_position(fixture.archive, "cast", &position, &err), err);
    CHECK_INT(position, 17);
    CHECK_OK(follower_position(fixture.archive, "cast2", &position, &err), err);
    CHECK_INT(position, 0);
    CHECK_OK(follower_get(fixture.archive, "cast", "parked/1.2", &value, &found, &err), err);
    CHECK(found);
    CHECK_TEXT(buffer_text(&value), "reason");
    check_keys(&fixture, "cast", "parked/1.10,parked/1.2,");
    put(&fixture, "cast", "parked/1.10", "");
    check_keys(&fixture, "cast", "parked/1.2,");
    CHECK_OK(follower_get(fixture.archive, "cast", "parked/1.10", &value, &found, &err), err);
    CHECK(!found);
    CHECK_INT(changes_latest(fixture.archive), 0);
    buffer_release(&value);
    fixture_close(&fixture);
}

static void append_other(struct fixture *fixture)
{
    struct error err = { 0 };
    struct transaction *transaction = NULL;
    CHECK_OK(transaction_open(fixture->storage, &transaction, &err), err);
    transaction_append_feed(transaction, slice_text("w of the worklist"));
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
}

TEST(entries_of_others_in_the_feed_are_passed_over_and_wake_nobody)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct changes *changes = NULL;
    struct change change;
    bool found;
    fixture_open(&fixture, false);
    append_other(&fixture); /* 1 */
    CHECK(!changes_wait(fixture.archive, 0, 0));
    CHECK_INT(changes_behind(fixture.archive, 0), 0);
    store(&fixture, &object); /* 2 */
    append_other(&fixture);   /* 3 */
    for (int again = 0; again < 2; again++) {
        CHECK_INT(changes_latest(fixture.archive), 2);
        CHECK(changes_wait(fixture.archive, 1, 0));
        CHECK(!changes_wait(fixture.archive, 2, 0));
        CHECK_INT(changes_behind(fixture.archive, 2), 0);
        CHECK_OK(changes_get(fixture.archive, 1, &change, &found, &err), err);
        CHECK(!found);
        CHECK_OK(changes_last(fixture.archive, &change, &found, &err), err);
        CHECK(found && change.sequence == 2);
        CHECK_OK(changes_open(fixture.archive, 0, &changes, &err), err);
        CHECK_OK(changes_next(changes, &change, &found, &err), err);
        CHECK(found && change.sequence == 2);
        CHECK_OK(changes_next(changes, &change, &found, &err), err);
        CHECK(!found);
        changes_close(changes);
        fixture_reopen(&fixture);
    }
    fixture_close(&fixture);
}
