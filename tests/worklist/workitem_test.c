/* SPDX-License-Identifier: MIT */
#include "worklist/workitem.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fault.h"
#include "tests/worklist/fixture.h"
#include "worklist/changes.h"
#include "worklist/core.h"
#include "worklist/events.h"
#include "worklist/search.h"
#include "worklist/subscriptions.h"
#include "worklist/workitem_tags.h"

#define UID     "1.2.3.4"
#define LOCK    "1.2.3.99"
#define WATCHER "d\\WATCHER"

#define NEW_ITEM                                                                                   \
    "00100010 Doe^Jane\n00100020 P1\n00404005 20260102030405\n00404041 READY\n"                    \
    "00741000 SCHEDULED\n00741200 HIGH\n00741204 Read\n"
#define RESULTS                                                                                    \
    "00741216 [\n00404019 [\n00080100 1\n00080104 x\n]\n00404028 [\n00080100 1\n00080104 x\n]\n"   \
    "00404033 [\n]\n00404050 20260102030405\n00404051 20260102030406\n]\n"

static int create(struct fixture *fixture, const char *lines, const char *uid)
{
    struct workitem_outcome outcome;
    struct error err;
    CHECK_OK(workitem_create(fixture->worklist, dataset_of(lines), uid, &outcome, &err), err);
    return outcome.code;
}

static int change(struct fixture *fixture, enum workitem_state state, const char *transaction)
{
    struct workitem_outcome outcome;
    struct error err;
    CHECK_OK(workitem_change_state(fixture->worklist, UID, state, transaction, "PERFORMER",
                                   &outcome, &err),
             err);
    return outcome.code;
}

static int set(struct fixture *fixture, const char *lines)
{
    struct workitem_outcome outcome;
    struct error err;
    CHECK_OK(workitem_set(fixture->worklist, UID, dataset_of(lines), NULL, &outcome, &err), err);
    return outcome.code;
}

static int request_cancel(struct fixture *fixture, const char *lines)
{
    struct workitem_outcome outcome;
    struct error err;
    CHECK_OK(
        workitem_request_cancel(fixture->worklist, UID, dataset_of(lines), "ASKER", &outcome, &err),
        err);
    return outcome.code;
}

static int subscribe(struct fixture *fixture, const char *who, const char *uid, bool lock,
                     const char *filter)
{
    struct workitem_outcome outcome;
    struct error err;
    CHECK_OK(subscription_add(fixture->worklist, who, uid, lock, filter ? dataset_of(filter) : NULL,
                              &outcome, &err),
             err);
    return outcome.code;
}

static bool unsubscribe(struct fixture *fixture, const char *who, const char *uid)
{
    struct workitem_outcome outcome;
    struct error err;
    bool found = false;
    CHECK_OK(subscription_remove(fixture->worklist, who, uid, &found, &outcome, &err), err);
    return found;
}

/* What a subscriber hears by now and takes, "1 1.2.3.4 SCHEDULED;..." */
static const char *hear(struct fixture *fixture, const char *who)
{
    static char text[64 << 10];
    struct event_follower *follower = NULL;
    struct workitem_heard heard = { .type = 0 };
    struct error err;
    bool found = true;
    size_t size = 0;
    text[0] = '\0';
    CHECK_OK(event_follower_open(fixture->worklist, who, &follower, &err), err);
    while (found) {
        struct dataset *dataset = NULL;
        char state[17] = "";
        CHECK_OK(event_follower_next(follower, &heard, &found, &err), err);
        if (!found)
            break;
        CHECK_OK(dataset_open(buffer_slice(&heard.bytes),
                              transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                              &dataset, &err),
                 err);
        dataset_string(dataset, heard.type == 4 ? TAG_SCP_STATUS : TAG_PROCEDURE_STEP_STATE, state,
                       sizeof(state));
        dataset_close(dataset);
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%d %s %s;", heard.type,
                                 heard.uid, state);
        CHECK_OK(event_follower_take(follower, &err), err);
    }
    workitem_heard_release(&heard);
    event_follower_close(follower);
    return text;
}

static enum workitem_state look(struct fixture *fixture, struct object *object)
{
    enum workitem_state state;
    struct error err;
    CHECK_OK(workitem_get(fixture->worklist, UID, object, &state, &err), err);
    return state;
}

TEST(UPS_01_an_item_is_made_with_what_it_must_have)
{
    struct fixture fixture;
    struct object object = object_init();
    fixture_open(&fixture, true);
    CHECK_INT(create(&fixture, NEW_ITEM, UID), 0);
    CHECK_INT(look(&fixture, &object), WORKITEM_SCHEDULED);
    CHECK_TEXT(text_of(&object, TAG_SOP_INSTANCE_UID), UID);
    CHECK_TEXT(text_of(&object, TAG_WORKLIST_LABEL), "WORKLIST");
    CHECK_INT(create(&fixture, NEW_ITEM, UID), 0x0111);
    CHECK_INT(create(&fixture,
                     "00404005 20260102\n00404041 READY\n00741000 IN PROGRESS\n00741200 HIGH\n"
                     "00741204 a\n",
                     ""),
              0xC309);
    CHECK_INT(
        create(&fixture, "00404041 READY\n00741000 SCHEDULED\n00741200 HIGH\n00741204 a\n", ""),
        0x0120);
    CHECK_INT(create(&fixture,
                     "00404005 20260102\n00404041 READY\n00741000 SCHEDULED\n00741200 HIGH\n"
                     "00741204\n",
                     ""),
              0x0121);
    CHECK_INT(create(&fixture,
                     "00404005 20260102\n00404041 READY\n00741000 SCHEDULED\n00741200 SOON\n"
                     "00741204 a\n",
                     ""),
              0x0106);
    CHECK_INT(create(&fixture,
                     "00404005 20260102\n00404041 ready\n00741000 SCHEDULED\n00741200 HIGH\n"
                     "00741204 a\n" RESULTS,
                     "1.2.3.5"),
              0xB300);
    object_release(&object);
    fixture_close(&fixture);
}

TEST(UPS_03_UPS_04_an_item_goes_from_scheduled_to_completed_by_who_holds_it)
{
    struct fixture fixture;
    struct object object = object_init();
    fixture_open(&fixture, true);
    CHECK_INT(change(&fixture, WORKITEM_IN_PROGRESS, LOCK), 0xC307);
    CHECK_INT(create(&fixture, NEW_ITEM, UID), 0);
    CHECK_INT(change(&fixture, WORKITEM_IN_PROGRESS, ""), 0xC301);
    CHECK_INT(change(&fixture, WORKITEM_COMPLETED, LOCK), 0xC310);
    CHECK_INT(change(&fixture, WORKITEM_IN_PROGRESS, LOCK), 0);
    CHECK_INT(change(&fixture, WORKITEM_IN_PROGRESS, LOCK), 0xC302);
    CHECK_INT(change(&fixture, WORKITEM_IN_PROGRESS, "1.2.3.98"), 0xC301);
    CHECK_INT(change(&fixture, WORKITEM_COMPLETED, LOCK), 0xC304);
    CHECK_INT(set(&fixture, RESULTS), 0xC301);
    CHECK_INT(set(&fixture, "00081195 " LOCK "\n" RESULTS), 0);
    CHECK_INT(change(&fixture, WORKITEM_COMPLETED, LOCK), 0);
    CHECK_INT(change(&fixture, WORKITEM_COMPLETED, LOCK), 0xB306);
    CHECK_INT(change(&fixture, WORKITEM_CANCELED, LOCK), 0xC300);
    CHECK_INT(change(&fixture, WORKITEM_SCHEDULED, LOCK), 0xC303);
    CHECK_INT(set(&fixture, "00081195 " LOCK "\n"), 0xC300);
    CHECK_INT(look(&fixture, &object), WORKITEM_COMPLETED);
    CHECK_TEXT(text_of(&object, TAG_PROCEDURE_STEP_STATE), "COMPLETED");
    CHECK_TEXT(text_of(&object, TAG_TRANSACTION_UID), "(absent)");
    object_release(&object);
    fixture_close(&fixture);
}

TEST(UPS_05_a_change_is_done_wholly_or_not_at_all)
{
    struct fixture fixture;
    struct object object = object_init();
    fixture_open(&fixture, true);
    CHECK_INT(set(&fixture, "00741204 x\n"), 0xC307);
    create(&fixture, NEW_ITEM, UID);
    CHECK_INT(set(&fixture, "00741200 low\n"), 0xB305);
    CHECK_INT(set(&fixture, "00741000 COMPLETED\n00741204 other\n"), 0x0106);
    CHECK_INT(set(&fixture, "00741200 NEVER\n00741204 other\n"), 0x0106);
    look(&fixture, &object);
    CHECK_TEXT(text_of(&object, TAG_PROCEDURE_STEP_LABEL), "Read");
    CHECK_TEXT(text_of(&object, TAG_SCHEDULED_PROCEDURE_STEP_PRIORITY), "LOW");
    CHECK_TEXT(text_of(&object, TAG_PATIENT_NAME), "Doe^Jane");
    object_release(&object);
    fixture_close(&fixture);
}

TEST(UPS_06_a_cancelled_item_says_why_and_both_steps_are_told)
{
    struct fixture fixture;
    struct object object = object_init();
    fixture_open(&fixture, true);
    create(&fixture, NEW_ITEM, UID);
    CHECK_INT(subscribe(&fixture, WATCHER, UID, false, NULL), 0);
    CHECK_TEXT(hear(&fixture, WATCHER), "1 " UID " SCHEDULED;");
    CHECK_INT(request_cancel(&fixture, "00741238 not needed\n"), 0);
    CHECK_TEXT(hear(&fixture, WATCHER), "1 " UID " IN PROGRESS;1 " UID " CANCELED;");
    CHECK_INT(look(&fixture, &object), WORKITEM_CANCELED);
    CHECK_TEXT(
        text_in(&object, TAG_STEP_PROGRESS_INFORMATION_SEQUENCE, TAG_REASON_FOR_CANCELLATION),
        "not needed");
    CHECK(text_in(&object, TAG_STEP_PROGRESS_INFORMATION_SEQUENCE,
                  TAG_STEP_CANCELLATION_DATE_TIME)[0]);
    CHECK_INT(request_cancel(&fixture, ""), 0xB304);
    object_release(&object);
    fixture_close(&fixture);
}

TEST(UPS_06_who_performs_an_item_is_asked_to_cancel_it)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    create(&fixture, NEW_ITEM, UID);
    change(&fixture, WORKITEM_IN_PROGRESS, LOCK);
    CHECK_INT(request_cancel(&fixture, ""), 0xC312);
    subscribe(&fixture, WATCHER, UID, false, NULL);
    CHECK_INT(request_cancel(&fixture, "00741238 please\n"), 0);
    CHECK_TEXT(hear(&fixture, WATCHER), "1 " UID " IN PROGRESS;2 " UID " ;");
    set(&fixture, "00081195 " LOCK "\n" RESULTS);
    change(&fixture, WORKITEM_COMPLETED, LOCK);
    CHECK_INT(request_cancel(&fixture, ""), 0xC311);
    fixture_close(&fixture);
}

TEST(UPS_09_each_change_is_told_once_and_in_order_over_a_restart)
{
    struct fixture fixture;
    struct error err;
    fixture_open(&fixture, false);
    create(&fixture, NEW_ITEM, UID);
    subscribe(&fixture, WATCHER, UID, false, NULL);
    change(&fixture, WORKITEM_IN_PROGRESS, LOCK);
    set(&fixture, "00081195 " LOCK "\n00741002 [\n00741004 50\n]\n");
    fixture_reopen(&fixture);
    CHECK_OK(events_announce(fixture.worklist, "RESTARTED", &err), err);
    set(&fixture, "00081195 " LOCK "\n00404025 [\n00080100 1\n]\n");
    set(&fixture, "00081195 " LOCK "\n00404041 UNAVAILABLE\n");
    set(&fixture, "00081195 " LOCK "\n00741204 other\n");
    CHECK_TEXT(hear(&fixture, WATCHER),
               "1 " UID " SCHEDULED;1 " UID " IN PROGRESS;3 " UID " ;4 " UID_UPS_GLOBAL
               " RESTARTED;5 " UID " ;1 " UID " IN PROGRESS;");
    CHECK_TEXT(hear(&fixture, WATCHER), "");
    CHECK_OK(events_tidy(fixture.worklist, &err), err);
    const struct object_range range = { .kind = OBJECT_NOTICE, .shelf = OBJECT_LIVE };
    CHECK_TEXT(walk_list(&fixture, &range), "");
    fixture_close(&fixture);
}

TEST(UPS_10_a_subscription_to_all_covers_what_is_here_and_what_comes_until_it_is_suspended)
{
    struct fixture fixture;
    struct workitem_outcome outcome;
    struct error err;
    bool found = false;
    fixture_open(&fixture, true);
    create(&fixture, NEW_ITEM, UID);
    CHECK_INT(subscribe(&fixture, WATCHER, UID_UPS_GLOBAL, false, NULL), 0);
    create(&fixture, NEW_ITEM, "1.2.3.5");
    CHECK_TEXT(hear(&fixture, WATCHER), "1 " UID " SCHEDULED;1 1.2.3.5 SCHEDULED;");
    CHECK_OK(
        subscription_suspend(fixture.worklist, WATCHER, UID_UPS_GLOBAL, &found, &outcome, &err),
        err);
    CHECK(found);
    create(&fixture, NEW_ITEM, "1.2.3.6");
    change(&fixture, WORKITEM_IN_PROGRESS, LOCK);
    CHECK_TEXT(hear(&fixture, WATCHER), "1 " UID " IN PROGRESS;");
    /* one of them, by itself */
    CHECK(unsubscribe(&fixture, WATCHER, UID));
    CHECK(!unsubscribe(&fixture, WATCHER, UID));
    set(&fixture, "00081195 " LOCK "\n" RESULTS);
    change(&fixture, WORKITEM_COMPLETED, LOCK);
    CHECK_TEXT(hear(&fixture, WATCHER), "");
    CHECK(unsubscribe(&fixture, WATCHER, UID_UPS_GLOBAL));
    CHECK(!unsubscribe(&fixture, WATCHER, UID_UPS_GLOBAL));
    fixture_close(&fixture);
}

TEST(UPS_09_a_subscription_that_is_repeated_loses_nothing_that_was_not_told)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    create(&fixture, NEW_ITEM, UID);
    subscribe(&fixture, WATCHER, UID, false, NULL);
    subscribe(&fixture, "w\\OTHER", UID_UPS_GLOBAL, false, NULL);
    change(&fixture, WORKITEM_IN_PROGRESS, LOCK);
    subscribe(&fixture, WATCHER, UID, true, NULL);
    subscribe(&fixture, "w\\OTHER", UID_UPS_GLOBAL, false, NULL);
    CHECK_TEXT(hear(&fixture, WATCHER),
               "1 " UID " SCHEDULED;1 " UID " IN PROGRESS;1 " UID " IN PROGRESS;");
    CHECK_TEXT(hear(&fixture, "w\\OTHER"), "1 " UID " SCHEDULED;1 " UID " IN PROGRESS;");
    fixture_close(&fixture);
}

TEST(UPS_08_who_unsubscribes_from_all_has_none_left_however_many_there_were)
{
    enum { MANY = 600 }; /* more than one turn removes */
    struct fixture fixture;
    struct error err;
    char uid[32];
    size_t count = 1;
    const struct object_range range = { .kind = OBJECT_SUBSCRIPTION, .shelf = OBJECT_LIVE };
    fixture_open(&fixture, true);
    subscribe(&fixture, "d\\OTHER", UID_UPS_GLOBAL, false, NULL);
    for (int i = 0; i < MANY; i++) {
        snprintf(uid, sizeof(uid), "1.2.3.%d", i);
        create(&fixture, NEW_ITEM, uid);
        subscribe(&fixture, WATCHER, uid, false, NULL);
    }
    subscribe(&fixture, WATCHER, UID_UPS_GLOBAL, false, NULL);
    CHECK(unsubscribe(&fixture, WATCHER, UID_UPS_GLOBAL));
    CHECK(!unsubscribe(&fixture, WATCHER, UID_UPS_GLOBAL));
    CHECK_OK(object_walk_count(fixture.worklist, &range, 10, &count, &err), err);
    CHECK_INT(count, 1); /* the other one's */
    fixture_close(&fixture);
}

TEST(UPS_08_who_unsubscribes_from_all_does_so_beside_a_term_whose_object_damage_took)
{
    struct fixture fixture;
    struct error err;
    struct transaction *transaction = NULL;
    struct buffer key = buffer_up_to(1024);
    const struct object_range range = { .kind = OBJECT_SUBSCRIPTION, .shelf = OBJECT_LIVE };
    fixture_open(&fixture, true);
    create(&fixture, NEW_ITEM, UID);
    create(&fixture, NEW_ITEM, UID ".1");
    subscribe(&fixture, WATCHER, UID, false, NULL);
    subscribe(&fixture, WATCHER, UID ".1", false, NULL);
    object_record_key(OBJECT_SUBSCRIPTION, WATCHER "\\" UID, &key);
    CHECK_OK(transaction_open(fixture.storage, &transaction, &err), err);
    transaction_delete(transaction, TABLE_RECORD, buffer_slice(&key));
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
    CHECK(unsubscribe(&fixture, WATCHER, UID_UPS_GLOBAL));
    CHECK_TEXT(walk_list(&fixture, &range), WATCHER "\\" UID);
    buffer_release(&key);
    fixture_close(&fixture);
}

TEST(UPS_10_a_filtered_subscription_covers_what_matches_its_keys)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    CHECK_INT(subscribe(&fixture, WATCHER, UID_UPS_FILTERED, false, NULL), 0xC314);
    CHECK_INT(subscribe(&fixture, WATCHER, UID_UPS_FILTERED, false,
                        "00404018 [\n00080100 W1\n]\n00741200 LOW\n"),
              0);
    create(&fixture, NEW_ITEM, UID);
    create(&fixture,
           "00404005 20260102\n00404018 [\n00080100 W1\n00080102 L\n00080104 x\n]\n00404041 READY\n"
           "00741000 SCHEDULED\n00741200 LOW\n00741204 a\n",
           "1.2.3.5");
    CHECK_TEXT(hear(&fixture, WATCHER), "1 1.2.3.5 SCHEDULED;");
    fixture_close(&fixture);
}

TEST(UPS_11_a_final_item_stays_while_it_is_held_and_then_for_its_time)
{
    struct fixture fixture;
    struct object object = object_init();
    struct error err;
    size_t count = 0;
    const int64_t keep_ms = 1000000;
    fixture_open(&fixture, true);
    create(&fixture, NEW_ITEM, UID);
    CHECK_INT(subscribe(&fixture, WATCHER, UID, true, NULL), 0);
    request_cancel(&fixture, "");
    int64_t later_ms = 4000000000000;
    CHECK_OK(workitem_purge(fixture.worklist, later_ms, keep_ms, &count, &err), err);
    CHECK_INT(count, 0);
    CHECK(unsubscribe(&fixture, WATCHER, UID));
    look(&fixture, &object);
    CHECK_OK(
        workitem_purge(fixture.worklist, object.changed_ms + keep_ms - 1, keep_ms, &count, &err),
        err);
    CHECK_INT(count, 0);
    CHECK_OK(workitem_purge(fixture.worklist, later_ms, keep_ms, &count, &err), err);
    CHECK_INT(count, 1);
    CHECK_INT(look(&fixture, &object), WORKITEM_GONE);
    CHECK_INT(create(&fixture, NEW_ITEM, UID), 0x0111);
    CHECK_INT(change(&fixture, WORKITEM_IN_PROGRESS, LOCK), 0xC307);
    CHECK_OK(workitem_purge(fixture.worklist, later_ms, keep_ms, &count, &err), err);
    CHECK_INT(look(&fixture, &object), WORKITEM_NONE);
    object_release(&object);
    fixture_close(&fixture);
}

enum { CLAIMANTS = 16, ROUNDS = 8 };
struct claimant {
    struct fixture *fixture;
    pthread_barrier_t *barrier;
    int number;
    int code;
};

static void *claim(void *context)
{
    struct claimant *claimant = context;
    struct workitem_outcome outcome;
    struct error err;
    char transaction[UID_SIZE];
    snprintf(transaction, sizeof(transaction), "1.2.3.9.%d", claimant->number);
    pthread_barrier_wait(claimant->barrier);
    bool ok = workitem_change_state(claimant->fixture->worklist, UID, WORKITEM_IN_PROGRESS,
                                    transaction, "P", &outcome, &err);
    claimant->code = ok ? outcome.code : -1;
    return NULL;
}

TEST(UPS_12_of_many_who_claim_an_item_at_once_one_gets_it)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct fixture fixture;
        struct claimant claimants[CLAIMANTS];
        pthread_t threads[CLAIMANTS];
        pthread_barrier_t barrier;
        int winners = 0;
        fixture_open(&fixture, true);
        create(&fixture, NEW_ITEM, UID);
        pthread_barrier_init(&barrier, NULL, CLAIMANTS);
        for (int i = 0; i < CLAIMANTS; i++) {
            claimants[i] = (struct claimant){ &fixture, &barrier, i, -1 };
            CHECK(pthread_create(&threads[i], NULL, claim, &claimants[i]) == 0);
        }
        for (int i = 0; i < CLAIMANTS; i++) {
            pthread_join(threads[i], NULL);
            winners += claimants[i].code == 0;
            CHECK(claimants[i].code == 0 || claimants[i].code == 0xC301);
        }
        CHECK_INT(winners, 1);
        pthread_barrier_destroy(&barrier);
        fixture_close(&fixture);
    }
}

TEST(UPS_07_items_are_found_by_their_uids)
{
    struct fixture fixture;
    struct object object = object_init();
    struct search *search = search_new(OBJECT_WORKITEM);
    const struct dataset *match = NULL;
    const uint32_t path[] = { TAG_SOP_INSTANCE_UID };
    struct error err;
    size_t count = 0;
    fixture_open(&fixture, true);
    create(&fixture, NEW_ITEM, UID);
    create(&fixture, NEW_ITEM, "1.2.3.5");
    create(&fixture, NEW_ITEM, "1.2.3.6");
    CHECK_OK(search_add_key(search, path, 1, slice_text("1.2.3.6\\1.2.3.7\\" UID), &err), err);
    do {
        CHECK_OK(search_next(search, fixture.worklist, &object, &match, &err), err);
        count += match != NULL;
    } while (match);
    CHECK_INT(count, 2);
    search_free(search);
    object_release(&object);
    fixture_close(&fixture);
}

TEST(UPS_09_events_that_all_have_heard_are_forgotten_however_many_there_are)
{
    struct fixture fixture;
    struct error err;
    fixture_open(&fixture, true);
    create(&fixture, NEW_ITEM, UID);
    subscribe(&fixture, WATCHER, UID, false, NULL);
    subscribe(&fixture, "w\\SLOW", UID, false, NULL);
    for (int i = 0; i < 450; i++)
        set(&fixture, i % 2 ? "00404041 READY\n" : "00404041 UNAVAILABLE\n");
    const struct object_range range = { .kind = OBJECT_NOTICE, .shelf = OBJECT_LIVE };
    size_t count = 0;
    hear(&fixture, WATCHER);
    CHECK_OK(events_tidy(fixture.worklist, &err), err);
    CHECK_OK(object_walk_count(fixture.worklist, &range, 1000, &count, &err), err);
    CHECK(count >= 450);
    hear(&fixture, "w\\SLOW");
    CHECK_OK(events_tidy(fixture.worklist, &err), err);
    CHECK_OK(object_walk_count(fixture.worklist, &range, 1000, &count, &err), err);
    CHECK_INT(count, 0);
    fixture_close(&fixture);
}

TEST(subscriptions_to_all_or_with_a_filter_are_a_thousand_each_at_most_and_each_can_be_changed)
{
    static const char filter[] = "00741204 READERS\n";
    struct fixture fixture;
    struct workitem_outcome outcome;
    struct error err;
    char name[SUBSCRIBER_SIZE];
    fixture_open(&fixture, true);
    for (int i = 0; i < SUBSCRIPTION_GENERAL_MAX; i++) {
        snprintf(name, sizeof(name), "w\\S%d", i);
        CHECK_INT(subscribe(&fixture, name, UID_UPS_FILTERED, false, filter), 0);
    }
    CHECK(!subscription_add(fixture.worklist, "w\\MORE", UID_UPS_FILTERED, false,
                            dataset_of(filter), &outcome, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    CHECK_INT(subscribe(&fixture, "w\\S7", UID_UPS_FILTERED, true, filter), 0);
    CHECK_INT(subscribe(&fixture, "w\\MORE", UID_UPS_GLOBAL, false, NULL), 0);
    CHECK(unsubscribe(&fixture, "w\\S7", UID_UPS_FILTERED));
    CHECK_INT(subscribe(&fixture, "w\\MORE", UID_UPS_FILTERED, false, filter), 0);
    for (int i = 1; i < SUBSCRIPTION_GENERAL_MAX; i++) {
        snprintf(name, sizeof(name), "w\\S%d", i);
        CHECK_INT(subscribe(&fixture, name, UID_UPS_GLOBAL, false, NULL), 0);
    }
    CHECK(
        !subscription_add(fixture.worklist, "w\\S0", UID_UPS_GLOBAL, false, NULL, &outcome, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    CHECK_INT(subscribe(&fixture, "w\\MORE", UID_UPS_GLOBAL, true, NULL), 0);
    fixture_close(&fixture);
}

TEST(subscribers_of_a_door_are_gone_through_one_by_one)
{
    static const char *const names[] = { "d\\A", "d\\AA", "d\\B", "w\\A", "w\\C" };
    struct fixture fixture;
    struct error err;
    char next[SUBSCRIBER_SIZE];
    bool found;
    fixture_open(&fixture, true);
    for (int i = 0; i < 5; i++)
        CHECK_INT(subscribe(&fixture, names[i], UID_UPS_GLOBAL, false, NULL), 0);
    const char *after = "";
    for (int i = 0; i < 3; i++) {
        CHECK_OK(subscriber_next(fixture.worklist, SUBSCRIBER_DIMSE, after, next, &found, &err),
                 err);
        CHECK(found);
        CHECK_TEXT(next, names[i]);
        after = names[i];
    }
    CHECK_OK(subscriber_next(fixture.worklist, SUBSCRIBER_DIMSE, after, next, &found, &err), err);
    CHECK(!found);
    CHECK_OK(subscriber_next(fixture.worklist, SUBSCRIBER_WEB, "w\\B", next, &found, &err), err);
    CHECK(found);
    CHECK_TEXT(next, "w\\C"); /* behind one that is gone */
    fixture_close(&fixture);
}

TEST(HOS_31_who_may_subscribe_is_limited_and_who_is_refused_leaves_nothing)
{
    const struct worklist_options options = { .subscriber_limit = 2 };
    struct fixture fixture;
    struct workitem_outcome outcome;
    struct error err;
    bool is_theirs = false;
    uint64_t position = 1;
    fixture_open(&fixture, true);
    worklist_close(fixture.worklist);
    CHECK_OK(worklist_open(fixture.storage, &options, &fixture.worklist, &err), err);
    CHECK_OK(subscriber_claim(fixture.worklist, "w\\A", "alice", true, &is_theirs, &err), err);
    CHECK_OK(subscriber_claim(fixture.worklist, "w\\B", "alice", true, &is_theirs, &err), err);
    CHECK(!subscriber_claim(fixture.worklist, "w\\C", "alice", true, &is_theirs, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    CHECK(!subscription_add(fixture.worklist, "w\\C", UID_UPS_GLOBAL, false, NULL, &outcome, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    CHECK_OK(object_changes_position(fixture.worklist, "ups.w\\C", &position, &err), err);
    CHECK_INT(position, 0);
    /* Those that are known, and those at the other door. */
    CHECK_OK(subscriber_claim(fixture.worklist, "w\\A", "alice", true, &is_theirs, &err), err);
    CHECK(is_theirs);
    CHECK_INT(subscribe(&fixture, "w\\B", UID_UPS_GLOBAL, false, NULL), 0);
    CHECK_INT(subscribe(&fixture, "d\\C", UID_UPS_GLOBAL, false, NULL), 0);
    fixture_close(&fixture);
}

/* What is known of a subscriber is older than anything that is waited for. */
static void make_old(struct fixture *fixture, const char *who)
{
    struct turn *turn = NULL;
    struct object object = object_init();
    struct buffer key = buffer_up_to(256);
    struct buffer record = buffer_up_to(OBJECT_RECORD_LIMIT);
    struct error err;
    bool found = false;
    CHECK_OK(turn_open(fixture->worklist, &turn, &err), err);
    CHECK_OK(turn_get(turn, OBJECT_SUBSCRIPTION, who, &object, &found, &err), err);
    CHECK(found);
    object.changed_ms = clock_unix_ms() - (int64_t)24 * 60 * 60 * 1000;
    object_record_key(OBJECT_SUBSCRIPTION, who, &key);
    object_record_encode(&object, &record);
    transaction_put(turn->transaction, TABLE_RECORD, buffer_slice(&key), buffer_slice(&record));
    CHECK_OK(turn_commit(turn, &err), err);
    turn_close(turn);
    buffer_release(&key);
    buffer_release(&record);
    object_release(&object);
}

static uint64_t position_of(struct fixture *fixture, const char *follower)
{
    struct error err;
    uint64_t position = 0;
    CHECK_OK(object_changes_position(fixture->worklist, follower, &position, &err), err);
    return position;
}

static void forget_watcher(void *context)
{
    struct fixture *fixture = context;
    struct error err;
    CHECK_OK(subscriber_forget(fixture->worklist, WATCHER, &err), err);
}

TEST(UPS_09_who_is_told_while_it_is_forgotten_leaves_no_position)
{
    struct fixture fixture;
    struct error err;
    struct event_follower *follower = NULL;
    struct workitem_heard heard = { .type = 0 };
    bool found = false;
    fixture_open(&fixture, true);
    create(&fixture, NEW_ITEM, UID);
    subscribe(&fixture, WATCHER, UID, false, NULL);
    CHECK_OK(event_follower_open(fixture.worklist, WATCHER, &follower, &err), err);
    CHECK_OK(event_follower_next(follower, &heard, &found, &err), err);
    CHECK(found);
    CHECK(unsubscribe(&fixture, WATCHER, UID));
    make_old(&fixture, WATCHER);
    forget_watcher(&fixture);
    CHECK_INT(position_of(&fixture, "ups." WATCHER), 0);
    CHECK_OK(event_follower_take(follower, &err), err);
    CHECK_INT(position_of(&fixture, "ups." WATCHER), 0);
    /* It begins anew as anybody. */
    subscribe(&fixture, WATCHER, UID, false, NULL);
    CHECK_TEXT(hear(&fixture, WATCHER), "1 " UID " SCHEDULED;");
    workitem_heard_release(&heard);
    event_follower_close(follower);
    fixture_close(&fixture);
}

#ifdef HOUNSFIELD_FAULTS
/* It has heard of the item, subscribes to nothing any more, and is old enough to be forgotten. */
static void have_been_subscribed(struct fixture *fixture)
{
    create(fixture, NEW_ITEM, UID);
    subscribe(fixture, WATCHER, UID, false, NULL);
    CHECK_TEXT(hear(fixture, WATCHER), "1 " UID " SCHEDULED;");
    CHECK(unsubscribe(fixture, WATCHER, UID));
    make_old(fixture, WATCHER);
}

static void subscribe_watcher(void *context)
{
    subscribe(context, WATCHER, UID, false, NULL);
}

TEST(UPS_09_who_subscribes_just_after_it_was_forgotten_hears_nothing_of_before)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    have_been_subscribed(&fixture);
    fault_set_call("worklist-after-commit", subscribe_watcher, &fixture);
    forget_watcher(&fixture);
    CHECK(position_of(&fixture, "ups." WATCHER) > 0);
    CHECK_TEXT(hear(&fixture, WATCHER), "1 " UID " SCHEDULED;");
    fixture_close(&fixture);
}

TEST(UPS_09_who_is_forgotten_while_it_subscribes_hears_nothing_of_before)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    have_been_subscribed(&fixture);
    fault_set_call("after-commit", forget_watcher, &fixture);
    subscribe(&fixture, WATCHER, UID, false, NULL);
    CHECK(position_of(&fixture, "ups." WATCHER) > 0);
    CHECK_TEXT(hear(&fixture, WATCHER), "1 " UID " SCHEDULED;");
    fixture_close(&fixture);
}
#endif
