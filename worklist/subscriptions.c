/* SPDX-License-Identifier: MIT */
#include "worklist/subscriptions.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fields.h"
#include "worklist/changes.h"
#include "worklist/core.h"
#include "worklist/events.h"
#include "worklist/notices.h"
#include "worklist/search.h"
#include "worklist/workitem_parts.h"
#include "worklist/workitem_tags.h"

enum {
    SUBSCRIPTION_VERSION = 1,
    FORGOTTEN_AFTER_MS = 60 * 60 * 1000,
    REMOVED_IN_TURN = 256,
};

/* Links: a subscription has the first two, the note of a subscriber (which stands on the other
 * shelf, so that no walk over subscriptions meets it) the third, its door. */
enum { BY_ITEM = 'i', BY_SUBSCRIBER = 'a', BY_DOOR = 'n' };

/* When deletion locks of many items were released: an object beside the subscriptions, on the other
 * shelf, so that no walk over subscriptions meets it. */
#define UNLOCKED_KEY "unlocked"

static const uint32_t not_keys[] = { TAG_DELETION_LOCK, TAG_RECEIVING_AE, TAG_REQUESTING_AE };

struct subscription {
    bool subscribed; /* false: this item is taken out of what the subscriber has of all */
    bool lock;
    bool suspended;
    uint64_t since; /* the feed's number of its beginning; 0: the revision is */
    uint64_t upto;  /* suspended: items that were there by then */
};

void subscriber_name(enum subscriber_door door, const char *ae_title, char name[SUBSCRIBER_SIZE])
{
    snprintf(name, SUBSCRIBER_SIZE, "%c\\%.16s", (char)door, ae_title);
}

static void make_key(const char *subscriber, const char *uid, char key[OBJECT_KEY_SIZE])
{
    snprintf(key, OBJECT_KEY_SIZE, "%.19s\\%.64s", subscriber, uid);
}

static bool is_global(const char *uid)
{
    return strcmp(uid, UID_UPS_GLOBAL) == 0 || strcmp(uid, UID_UPS_FILTERED) == 0;
}

static void write_own(const struct subscription *subscription, struct object *object)
{
    buffer_clear(&object->own);
    buffer_append_byte(&object->own, SUBSCRIPTION_VERSION);
    buffer_append_byte(&object->own, subscription->subscribed);
    buffer_append_byte(&object->own, subscription->lock);
    buffer_append_byte(&object->own, subscription->suspended);
    buffer_append_u64le(&object->own, subscription->since);
}

static bool read_own(const struct object *object, struct subscription *subscription,
                     struct error *err)
{
    struct fields fields = { buffer_slice(&object->own), false };
    uint8_t version = fields_u8(&fields);
    subscription->subscribed = fields_u8(&fields);
    subscription->lock = fields_u8(&fields);
    subscription->suspended = fields_u8(&fields);
    subscription->since = fields_u64(&fields);
    if (version != SUBSCRIPTION_VERSION || fields.broken)
        return error_set(err, ERROR_CORRUPT, "a subscription cannot be read");
    if (!subscription->since)
        subscription->since = object->revision;
    subscription->upto = object->revision;
    return true;
}

static bool get(struct worklist *worklist, const char *subscriber, const char *uid,
                struct object *object, struct subscription *subscription, bool *found,
                struct error *err)
{
    char key[OBJECT_KEY_SIZE];
    make_key(subscriber, uid, key);
    return object_get(worklist, OBJECT_SUBSCRIPTION, key, object, found, err) &&
           (!*found || read_own(object, subscription, err));
}

/* --- who is subscribed --------------------------------------------------------------------- */

/* An item that is about to be created has no number yet: it comes behind all. */
static bool created_of(const struct object *item, uint64_t *created, struct error *err)
{
    struct workitem_own own;
    *created = UINT64_MAX;
    if (!item->own.size)
        return true;
    if (!workitem_own_read(item, &own, err))
        return false;
    *created = own.created ? own.created : item->revision ? item->revision : UINT64_MAX;
    return true;
}

/* *filter NULL: it has none. */
static bool filter_open(const struct object *object, struct search **filter, struct error *err)
{
    struct dataset *keys = NULL;
    *filter = NULL;
    if (!object->dataset.size)
        return true;
    *filter = search_new(OBJECT_WORKITEM);
    bool ok = object_dataset(object, &keys, err) &&
              search_add_dataset(*filter, keys, not_keys, sizeof(not_keys) / sizeof(not_keys[0]),
                                 err);
    dataset_close(keys);
    return ok;
}

static bool filter_matches(const struct object *object, const struct dataset *dataset,
                           bool *matches, struct error *err)
{
    struct search *filter = NULL;
    bool ok = filter_open(object, &filter, err);
    *matches = ok && (!filter || search_matches(filter, dataset));
    search_free(filter);
    return ok;
}

/* Of all items, or of those that match. */
static bool covers_generally(struct worklist *worklist, const char *subscriber, const char *uid,
                             uint64_t created, const struct dataset *dataset, bool *covers,
                             struct subscription *subscription, struct error *err)
{
    struct object object = object_init();
    bool found = false;
    *covers = false;
    bool ok = get(worklist, subscriber, uid, &object, subscription, &found, err);
    if (ok && found && (!subscription->suspended || created <= subscription->upto))
        ok = filter_matches(&object, dataset, covers, err);
    object_release(&object);
    return ok;
}

bool subscription_covers(struct worklist *worklist, const char *subscriber,
                         const struct object *item, const struct dataset *dataset, bool *covers,
                         uint64_t *since, bool *locked, struct error *err)
{
    static const char *const general[] = { UID_UPS_GLOBAL, UID_UPS_FILTERED };
    struct object object = object_init();
    struct subscription own = { .since = 0 };
    struct subscription one = { .since = 0 };
    uint64_t created = 0;
    bool found = false;
    *covers = false;
    *locked = false;
    *since = UINT64_MAX;
    bool ok = get(worklist, subscriber, item->key, &object, &own, &found, err) &&
              created_of(item, &created, err);
    object_release(&object);
    if (ok && found && own.subscribed) {
        *covers = true;
        *locked = own.lock;
        *since = own.since;
        return true;
    }
    for (size_t i = 0; ok && i < 2; i++) {
        bool by_this = false;
        ok = covers_generally(worklist, subscriber, general[i], created, dataset, &by_this, &one,
                              err);
        /* What was unsubscribed by itself comes back by a later subscription to all. */
        if (!ok || !by_this || (found && own.since > one.since))
            continue;
        *covers = true;
        *locked |= one.lock;
        *since = one.since < *since ? one.since : *since;
    }
    return ok;
}

/* Those that name this UID, one after the other: their subscribers. */
static bool next_of(struct object_walk *walk, struct object *object, char name[SUBSCRIBER_SIZE],
                    bool *found, struct error *err)
{
    struct slice value;
    if (!object_walk_next(walk, object, found, err))
        return false;
    if (*found && object_linked(object, BY_SUBSCRIBER, 0, &value) && value.size < SUBSCRIBER_SIZE) {
        memcpy(name, value.data, value.size);
        name[value.size] = '\0';
    }
    return true;
}

/* *any: somebody covers the item (with a deletion lock). */
static bool look(struct worklist *worklist, const struct object *item,
                 const struct dataset *dataset, bool with_lock, bool *any, struct error *err)
{
    const char *uids[] = { item->key, UID_UPS_GLOBAL, UID_UPS_FILTERED };
    struct object object = object_init();
    bool ok = true;
    *any = false;
    for (size_t i = 0; ok && !*any && i < 3; i++) {
        const struct object_range range = { .kind = OBJECT_SUBSCRIPTION,
                                            .shelf = OBJECT_LIVE,
                                            .index = BY_ITEM,
                                            .value = slice_text(uids[i]) };
        struct object_walk *walk = NULL;
        char name[SUBSCRIBER_SIZE] = "";
        bool found = true;
        ok = object_walk_open(worklist, &range, &walk, err);
        while (ok && !*any) {
            uint64_t since;
            bool covers = false;
            bool locked = false;
            ok = next_of(walk, &object, name, &found, err);
            if (!ok || !found)
                break;
            ok = subscription_covers(worklist, name, item, dataset, &covers, &since, &locked, err);
            *any = covers && (locked || !with_lock);
        }
        object_walk_close(walk);
    }
    object_release(&object);
    return ok;
}

bool subscription_any(struct worklist *worklist, const struct object *item,
                      const struct dataset *dataset, bool *any, struct error *err)
{
    return look(worklist, item, dataset, false, any, err);
}

bool subscription_locks(struct worklist *worklist, const struct object *item,
                        const struct dataset *dataset, bool *locked, struct error *err)
{
    return look(worklist, item, dataset, true, locked, err);
}

bool subscription_unlocked_ms(struct worklist *worklist, int64_t *at_ms, struct error *err)
{
    struct object object = object_init();
    bool found = false;
    bool ok = object_get(worklist, OBJECT_SUBSCRIPTION, UNLOCKED_KEY, &object, &found, err);
    *at_ms = ok && found ? object.changed_ms : 0;
    object_release(&object);
    return ok;
}

bool subscriber_exists(struct worklist *worklist, const char *subscriber, bool *exists,
                       struct error *err)
{
    const struct object_range range = { .kind = OBJECT_SUBSCRIPTION,
                                        .shelf = OBJECT_LIVE,
                                        .index = BY_SUBSCRIBER,
                                        .value = slice_text(subscriber) };
    size_t count = 0;
    bool ok = object_walk_count(worklist, &range, 1, &count, err);
    *exists = count > 0;
    return ok;
}

bool subscriber_next(struct worklist *worklist, enum subscriber_door door, const char *after,
                     char subscriber[SUBSCRIBER_SIZE], bool *found, struct error *err)
{
    const char name[] = { (char)door };
    const struct object_range range = { .kind = OBJECT_SUBSCRIPTION,
                                        .shelf = OBJECT_DONE,
                                        .index = BY_DOOR,
                                        .value = slice_of(name, sizeof(name)),
                                        .after = after };
    struct object_walk *walk = NULL;
    const char *key = NULL;
    bool ok = object_walk_open(worklist, &range, &walk, err) &&
              object_walk_next_key(walk, &key, err);
    *found = ok && key;
    if (*found)
        snprintf(subscriber, SUBSCRIBER_SIZE, "%s", key);
    object_walk_close(walk);
    return ok;
}

bool subscriber_forget(struct worklist *worklist, const char *subscriber, struct error *err)
{
    struct turn *turn = NULL;
    bool exists = false;
    bool found = false;
    struct object object = object_init();
    bool ok = turn_open(worklist, &turn, err) &&
              subscriber_exists(worklist, subscriber, &exists, err) &&
              turn_get(turn, OBJECT_SUBSCRIPTION, subscriber, &object, &found, err);
    /* One that was just told of may be about to subscribe. */
    if (ok && !exists && found && clock_unix_ms() - object.changed_ms > FORGOTTEN_AFTER_MS) {
        events_end(turn, subscriber);
        ok = turn_delete(turn, OBJECT_SUBSCRIPTION, subscriber, &found, err) &&
             turn_commit(turn, err);
    }
    turn_close(turn);
    object_release(&object);
    return ok;
}

/* Anybody may name itself as it likes. */
static bool check_room(struct turn *turn, const char *subscriber, struct error *err)
{
    const struct object_range range = { .kind = OBJECT_SUBSCRIPTION,
                                        .shelf = OBJECT_DONE,
                                        .index = BY_DOOR,
                                        .value = slice_of(subscriber, 1) };
    size_t limit = worklist_options(turn_worklist(turn))->subscriber_limit;
    size_t count = 0;
    return object_walk_count(turn_worklist(turn), &range, limit, &count, err) &&
           (count < limit || error_set(err, ERROR_LIMIT, "there are too many subscribers"));
}

static bool note_subscriber(struct turn *turn, const char *subscriber, struct error *err)
{
    struct object object = object_init();
    bool found = false;
    bool ok = turn_get(turn, OBJECT_SUBSCRIPTION, subscriber, &object, &found, err) &&
              (found || check_room(turn, subscriber, err));
    if (ok && !found) {
        object_clear(&object);
        object.kind = OBJECT_SUBSCRIPTION;
        object.shelf = OBJECT_DONE;
        snprintf(object.key, sizeof(object.key), "%s", subscriber);
        ok = object_link(&object, BY_DOOR, slice_of(subscriber, 1), err) &&
             turn_put(turn, &object, 0, err);
    }
    object_release(&object);
    return ok;
}

bool subscriber_claim(struct worklist *worklist, const char *subscriber, const char *user,
                      bool makes_it, bool *is_theirs, struct error *err)
{
    struct turn *turn = NULL;
    struct object object = object_init();
    struct slice owner = slice_text(user);
    bool found = false;
    bool ok = turn_open(worklist, &turn, err) &&
              turn_get(turn, OBJECT_SUBSCRIPTION, subscriber, &object, &found, err);
    if (!ok)
        goto out;
    *is_theirs = !found || !object.own.size || slice_equal(buffer_slice(&object.own), owner);
    if (*is_theirs && makes_it && owner.size && !object.own.size) {
        ok = note_subscriber(turn, subscriber, err) &&
             turn_get(turn, OBJECT_SUBSCRIPTION, subscriber, &object, &found, err);
        buffer_append(&object.own, owner);
        ok = ok && turn_put(turn, &object, 0, err) && turn_commit(turn, err);
    }
out:
    turn_close(turn);
    object_release(&object);
    return ok;
}

/* --- subscribing --------------------------------------------------------------------------- */

/* To one subscriber alone, as the item stands: what is heard first (PS3.4 CC.2.3.3). */
static bool tell_state(struct turn *turn, const char *subscriber, const struct object *item,
                       struct error *err)
{
    struct notice notice = { .type = WORKITEM_EVENT_STATE };
    struct dataset *dataset = NULL;
    snprintf(notice.uid, sizeof(notice.uid), "%.64s", item->key);
    snprintf(notice.to, sizeof(notice.to), "%s", subscriber);
    bool ok = object_dataset(item, &dataset, err) &&
              notice_write(turn, &notice, dataset, NULL, err);
    dataset_close(dataset);
    return ok;
}

static bool tell_states(struct turn *turn, const char *subscriber,
                        const struct object *subscription, struct error *err)
{
    const struct object_range range = { .kind = OBJECT_WORKITEM, .shelf = OBJECT_LIVE };
    struct object_walk *walk = NULL;
    struct search *filter = NULL;
    struct object item = object_init();
    bool found = true;
    bool ok = filter_open(subscription, &filter, err) &&
              object_walk_open(turn_worklist(turn), &range, &walk, err);
    for (size_t i = 0; ok && i < SUBSCRIPTION_FIRST; i++) {
        struct dataset *dataset = NULL;
        ok = object_walk_next(walk, &item, &found, err);
        if (!ok || !found)
            break;
        ok = object_dataset(&item, &dataset, err) &&
             ((filter && !search_matches(filter, dataset)) ||
              tell_state(turn, subscriber, &item, err));
        dataset_close(dataset);
    }
    object_walk_close(walk);
    search_free(filter);
    object_release(&item);
    return ok;
}

/* It begins to follow the feed here, if it did not follow it yet: in the turn, so that nobody
 * forgets it in between, nor begins anew. */
static bool begin_to_follow(struct turn *turn, const char *subscriber, struct error *err)
{
    bool exists = false;
    bool ok = subscriber_exists(turn_worklist(turn), subscriber, &exists, err) &&
              note_subscriber(turn, subscriber, err);
    if (ok && !exists)
        events_begin(turn, subscriber);
    return ok;
}

/* One that is replaced is counted twice: near the limit they are counted anew, as they are behind a
 * removal. */
static bool has_room(struct worklist *worklist, bool *room, struct error *err)
{
    const struct object_range range = { .kind = OBJECT_SUBSCRIPTION, .shelf = OBJECT_LIVE };
    int64_t known = atomic_load(&worklist->subscriptions);
    size_t count = known < 0 ? 0 : (size_t)known;
    bool ok = known >= 0 || object_walk_count(worklist, &range, SUBSCRIPTIONS_MAX, &count, err);
    if (ok)
        atomic_store(&worklist->subscriptions, (int64_t)count + 1);
    *room = count < SUBSCRIPTIONS_MAX;
    return ok;
}

/* Of those to all, and of those with a filter: each is looked at, the suspended ones as well,
 * before somebody's request to cancel an item is answered. */
static bool has_general_room(struct worklist *worklist, const char *subscriber, const char *uid,
                             bool *room, struct error *err)
{
    const struct object_range range = { .kind = OBJECT_SUBSCRIPTION,
                                        .shelf = OBJECT_LIVE,
                                        .index = BY_ITEM,
                                        .value = slice_text(uid) };
    struct object object = object_init();
    struct subscription own;
    bool exists = false;
    size_t count = 0;
    bool ok = get(worklist, subscriber, uid, &object, &own, &exists, err) &&
              (exists ||
               object_walk_count(worklist, &range, SUBSCRIPTION_GENERAL_MAX, &count, err));
    *room = count < SUBSCRIPTION_GENERAL_MAX;
    object_release(&object);
    return ok;
}

/* As it is to stand. */
static bool compose(const char *subscriber, const char *uid, bool lock,
                    const struct dataset *filter, struct object *object, struct error *err)
{
    const struct subscription subscription = { .subscribed = true, .lock = lock };
    object_clear(object);
    object->kind = OBJECT_SUBSCRIPTION;
    object->shelf = OBJECT_LIVE;
    make_key(subscriber, uid, object->key);
    write_own(&subscription, object);
    return object_link(object, BY_ITEM, slice_text(uid), err) &&
           object_link(object, BY_SUBSCRIBER, slice_text(subscriber), err) &&
           (!filter || object_set_dataset(object, filter, err));
}

/* Are the keys of a filter such that can be matched? */
static bool check_filter(const struct dataset *filter, struct workitem_outcome *outcome)
{
    struct error err = { .code = ERROR_NONE };
    struct search *search = search_new(OBJECT_WORKITEM);
    bool ok = filter && search_add_dataset(search, filter, not_keys,
                                           sizeof(not_keys) / sizeof(not_keys[0]), &err);
    search_free(search);
    if (ok)
        return true;
    outcome->code = WORKITEM_WRONG_ACTION;
    if (err.tag)
        outcome_add(outcome, err.tag);
    return false;
}

/* One that is there goes on from its own beginning, so that what was not delivered of it yet still
 * is. *repeated: it is to all, and nothing but its lock changes. */
static bool take_over(struct turn *turn, bool general, struct object *object, bool *repeated,
                      struct error *err)
{
    struct object before = object_init();
    struct subscription old = { .since = 0 };
    struct subscription own = { .since = 0 };
    bool found = false;
    *repeated = false;
    bool ok = turn_get(turn, OBJECT_SUBSCRIPTION, object->key, &before, &found, err) &&
              (!found || read_own(&before, &old, err)) && read_own(object, &own, err);
    if (ok && found && old.subscribed) {
        own.since = old.since;
        write_own(&own, object);
        *repeated = general && !old.suspended &&
                    slice_equal(buffer_slice(&before.dataset), buffer_slice(&object->dataset));
    }
    object_release(&before);
    return ok;
}

bool subscription_add(struct worklist *worklist, const char *subscriber, const char *uid, bool lock,
                      const struct dataset *filter, struct workitem_outcome *outcome,
                      struct error *err)
{
    struct turn *turn = NULL;
    struct object object = object_init();
    struct object item = object_init();
    bool general = is_global(uid);
    bool is_filtered = strcmp(uid, UID_UPS_FILTERED) == 0;
    bool granted = lock && !worklist_options(worklist)->refuse_deletion_locks;
    bool found = true;
    bool room = false;
    bool repeated = false;
    *outcome = (struct workitem_outcome){ .code = WORKITEM_OK };
    snprintf(outcome->uid, sizeof(outcome->uid), "%.64s", uid);
    bool ok = true;
    if (is_filtered && !check_filter(filter, outcome))
        goto out;
    ok = has_room(worklist, &room, err);
    if (ok && !room)
        atomic_store(&worklist->subscriptions, -1);
    if (ok && room && general)
        ok = has_general_room(worklist, subscriber, uid, &room, err);
    if (ok && !room)
        ok = error_set(err, ERROR_LIMIT, "there are too many subscriptions");
    ok = ok && turn_open(worklist, &turn, err) &&
         (general || turn_get(turn, OBJECT_WORKITEM, uid, &item, &found, err));
    if (ok && !general && (!found || item.state == WORKITEM_GONE)) {
        outcome->code = WORKITEM_UNKNOWN;
        goto out;
    }
    ok = ok && compose(subscriber, uid, granted, is_filtered ? filter : NULL, &object, err) &&
         take_over(turn, general, &object, &repeated, err) &&
         begin_to_follow(turn, subscriber, err) && turn_put(turn, &object, 0, err) &&
         (repeated  ? true
          : general ? tell_states(turn, subscriber, &object, err)
                    : tell_state(turn, subscriber, &item, err)) &&
         turn_commit(turn, err);
    if (lock && !granted)
        outcome->code = WORKITEM_LOCK_NOT_GRANTED;
out:
    turn_close(turn);
    object_release(&object);
    object_release(&item);
    return ok;
}

/* --- unsubscribing ------------------------------------------------------------------------- */

/* Items that were held are kept for a while from now on. */
static bool note_unlocked(struct turn *turn, struct error *err)
{
    struct object object = object_init();
    object.kind = OBJECT_SUBSCRIPTION;
    object.shelf = OBJECT_DONE;
    memcpy(object.key, UNLOCKED_KEY, sizeof(UNLOCKED_KEY));
    bool ok = turn_put(turn, &object, 0, err);
    object_release(&object);
    return ok;
}

/* The keys of a subscriber, or of an item, behind `after` ("": from the first on), one after the
 * other with their NULs: as many as go in a turn. `after` becomes the last of them. */
static bool gather(struct worklist *worklist, char index, const char *value,
                   char after[OBJECT_KEY_SIZE], struct buffer *keys, struct error *err)
{
    const struct object_range range = { .kind = OBJECT_SUBSCRIPTION,
                                        .shelf = OBJECT_LIVE,
                                        .index = index,
                                        .value = slice_text(value),
                                        .after = after[0] ? after : NULL };
    struct object_walk *walk = NULL;
    const char *key = "";
    bool ok = object_walk_open(worklist, &range, &walk, err);
    for (size_t i = 0; ok && key && i < REMOVED_IN_TURN; i++) {
        ok = object_walk_next_key(walk, &key, err);
        if (!ok || !key)
            break;
        buffer_append(keys, slice_of(key, strlen(key) + 1));
        snprintf(after, OBJECT_KEY_SIZE, "%s", key);
    }
    object_walk_close(walk);
    return ok && buffer_check(keys, "subscriptions", err);
}

static bool remove_those(struct worklist *worklist, struct slice keys, struct error *err)
{
    struct turn *turn = NULL;
    bool was_there;
    bool ok = turn_open(worklist, &turn, err);
    while (ok && keys.size) {
        const char *key = (const char *)keys.data;
        keys = slice_skip(keys, strlen(key) + 1);
        ok = turn_delete(turn, OBJECT_SUBSCRIPTION, key, &was_there, err);
    }
    ok = ok && turn_commit(turn, err);
    turn_close(turn);
    return ok;
}

/* Each key once: a term that damage has left without its object would lead there for ever. */
static bool remove_all(struct worklist *worklist, char index, const char *value, struct error *err)
{
    struct buffer keys = buffer_up_to(REMOVED_IN_TURN * OBJECT_KEY_SIZE);
    char after[OBJECT_KEY_SIZE] = "";
    bool ok = true;
    do {
        buffer_clear(&keys);
        ok = gather(worklist, index, value, after, &keys, err) &&
             (!keys.size || remove_those(worklist, buffer_slice(&keys), err));
    } while (ok && keys.size);
    buffer_release(&keys);
    atomic_store(&worklist->subscriptions, -1);
    return ok;
}

bool subscriptions_forget(struct worklist *worklist, const char *uid, struct error *err)
{
    return remove_all(worklist, BY_ITEM, uid, err);
}

/* All that the subscriber has. What makes it one to all items goes first: the marks that take
 * single items out of that must not go before it. */
static bool remove_subscriber(struct worklist *worklist, const char *subscriber, bool *found,
                              struct error *err)
{
    static const char *const general[] = { UID_UPS_GLOBAL, UID_UPS_FILTERED };
    struct turn *turn = NULL;
    bool ok = subscriber_exists(worklist, subscriber, found, err);
    if (!ok || !*found)
        return ok;
    ok = turn_open(worklist, &turn, err);
    for (size_t i = 0; ok && i < 2; i++) {
        char key[OBJECT_KEY_SIZE];
        bool was_there;
        make_key(subscriber, general[i], key);
        ok = turn_delete(turn, OBJECT_SUBSCRIPTION, key, &was_there, err);
    }
    ok = ok && note_unlocked(turn, err) && turn_commit(turn, err);
    turn_close(turn);
    atomic_store(&worklist->subscriptions, -1);
    return ok && remove_all(worklist, BY_SUBSCRIBER, subscriber, err);
}

/* One item out of what there is of all leaves a mark. */
static bool remove_item(struct turn *turn, const char *subscriber, const struct object *item,
                        bool *found, struct error *err)
{
    struct worklist *worklist = turn_worklist(turn);
    struct object object = object_init();
    struct object general = object_init();
    struct dataset *dataset = NULL;
    struct subscription none = { .subscribed = false };
    char key[OBJECT_KEY_SIZE];
    bool is_general[2] = { false };
    bool locked = false;
    bool was_there = false;
    uint64_t since;
    make_key(subscriber, item->key, key);
    bool ok = object_dataset(item, &dataset, err) &&
              subscription_covers(worklist, subscriber, item, dataset, found, &since, &locked,
                                  err) &&
              get(worklist, subscriber, UID_UPS_GLOBAL, &general, &none, &is_general[0], err) &&
              get(worklist, subscriber, UID_UPS_FILTERED, &general, &none, &is_general[1], err);
    if (ok && *found && (is_general[0] || is_general[1])) {
        none = (struct subscription){ .subscribed = false };
        ok = compose(subscriber, item->key, false, NULL, &object, err);
        write_own(&none, &object);
        ok = ok && turn_put(turn, &object, 0, err);
    } else if (ok && *found) {
        ok = turn_delete(turn, OBJECT_SUBSCRIPTION, key, &was_there, err);
    }
    ok = ok && (!locked || note_unlocked(turn, err));
    dataset_close(dataset);
    object_release(&object);
    object_release(&general);
    return ok;
}

bool subscription_remove(struct worklist *worklist, const char *subscriber, const char *uid,
                         bool *found, struct workitem_outcome *outcome, struct error *err)
{
    struct turn *turn = NULL;
    struct object item = object_init();
    char key[OBJECT_KEY_SIZE];
    bool there = false;
    *found = false;
    *outcome = (struct workitem_outcome){ .code = WORKITEM_OK };
    snprintf(outcome->uid, sizeof(outcome->uid), "%.64s", uid);
    if (strcmp(uid, UID_UPS_GLOBAL) == 0)
        return remove_subscriber(worklist, subscriber, found, err);
    bool ok = turn_open(worklist, &turn, err);
    if (!ok)
        goto out;
    if (strcmp(uid, UID_UPS_FILTERED) == 0) {
        make_key(subscriber, uid, key);
        ok = turn_delete(turn, OBJECT_SUBSCRIPTION, key, found, err) &&
             (!*found || note_unlocked(turn, err));
    } else {
        ok = turn_get(turn, OBJECT_WORKITEM, uid, &item, &there, err);
        if (ok && (!there || item.state == WORKITEM_GONE))
            outcome->code = WORKITEM_UNKNOWN;
        else if (ok)
            ok = remove_item(turn, subscriber, &item, found, err);
    }
    ok = ok && turn_commit(turn, err);
out:
    turn_close(turn);
    object_release(&item);
    return ok;
}

bool subscription_suspend(struct worklist *worklist, const char *subscriber, const char *uid,
                          bool *found, struct workitem_outcome *outcome, struct error *err)
{
    struct turn *turn = NULL;
    struct object object = object_init();
    struct subscription subscription = { .since = 0 };
    char key[OBJECT_KEY_SIZE];
    bool ok = true;
    *found = false;
    *outcome = (struct workitem_outcome){ .code = WORKITEM_OK };
    snprintf(outcome->uid, sizeof(outcome->uid), "%.64s", uid);
    if (!is_global(uid)) {
        outcome->code = WORKITEM_WRONG_ACTION;
        goto out;
    }
    make_key(subscriber, uid, key);
    ok = turn_open(worklist, &turn, err) &&
         turn_get(turn, OBJECT_SUBSCRIPTION, key, &object, found, err);
    if (!ok || !*found)
        goto out;
    ok = read_own(&object, &subscription, err);
    /* Suspended a second time it keeps what it had at the first. */
    if (ok && !subscription.suspended) {
        subscription.suspended = true;
        write_own(&subscription, &object);
        ok = turn_put(turn, &object, 0, err) && turn_commit(turn, err);
    }
out:
    turn_close(turn);
    object_release(&object);
    return ok;
}
