/* SPDX-License-Identifier: MIT */
#include "worklist/verify.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/bytes.h"
#include "worklist/core.h"
#include "worklist/kinds.h"

enum {
    PAGE_KEYS = 1000, /* read at a time: no snapshot is held for long */
    KEY_LIMIT = 1 << 10,
    TERMS_LIMIT = OBJECT_TERMS_MAX * (TERM_KEY_SIZE + 2),
};

struct verify {
    struct worklist *worklist;
    const struct worklist_verify_options *options;
    struct job *job;
    struct worklist_verify_report *report;
    struct object object;
    struct buffer record;
    struct buffer terms;
};

static void find(struct verify *verify, enum worklist_finding_kind kind, struct slice key,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Other keys than UIDs may name a patient. */
static void find(struct verify *verify, enum worklist_finding_kind kind, struct slice key,
                 const char *format, ...)
{
    char message[256], uid[UID_SIZE] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (!uid_copy(key, uid))
        uid[0] = '\0';
    verify->report->findings[kind]++;
    if (verify->options->finding)
        verify->options->finding(verify->options->context, kind, uid, message);
}

/* A table's keys of the worklist, page by page: each as its 16-bit size and its bytes. */

struct page {
    struct verify *verify;
    enum table table;
    struct buffer after; /* empty: the first page */
    struct buffer keys;
    struct slice rest;
    bool is_last;
};

static struct page page_init(struct verify *verify, enum table table)
{
    return (struct page){ .verify = verify,
                          .table = table,
                          .after = buffer_up_to(KEY_LIMIT + 1),
                          .keys = buffer_up_to(PAGE_KEYS * (KEY_LIMIT + 2)) };
}

static void page_release(struct page *page)
{
    buffer_release(&page->after);
    buffer_release(&page->keys);
}

static bool page_read(struct page *page, struct error *err)
{
    static const uint8_t first[] = { WORKLIST_BYTE }, behind[] = { WORKLIST_BYTE + 1 };
    struct slice lower = page->after.size ? buffer_slice(&page->after) : slice_of(first, 1);
    struct storage_cursor *cursor = NULL;
    struct slice key = slice_of(NULL, 0);
    bool found = true;
    bool ok = storage_cursor_open(page->verify->worklist->storage, page->table, lower,
                                  slice_of(behind, 1), &cursor, err);
    buffer_clear(&page->keys);
    for (size_t i = 0; ok && found && i < PAGE_KEYS; i++) {
        ok = storage_cursor_next(cursor, &key, NULL, &found, err);
        if (!ok || !found)
            break;
        /* None of ours is so long: what is found of it is its beginning. */
        struct slice kept = slice_take(key, KEY_LIMIT);
        buffer_append_u16le(&page->keys, (uint16_t)kept.size);
        buffer_append(&page->keys, kept);
        buffer_clear(&page->after);
        buffer_append(&page->after, kept);
    }
    /* The next key that there can be. */
    buffer_append_byte(&page->after, 0);
    page->is_last = !found;
    page->rest = buffer_slice(&page->keys);
    storage_cursor_close(cursor);
    return ok;
}

static bool page_next(struct page *page, struct slice *key, bool *found, struct error *err)
{
    if (!page->rest.size && !page->is_last && !page_read(page, err))
        return false;
    *found = page->rest.size > 0;
    if (!*found)
        return true;
    size_t size = get_u16le(page->rest.data);
    *key = slice_take(slice_skip(page->rest, 2), size);
    page->rest = slice_skip(page->rest, 2 + size);
    return true;
}

/* Looks. */

enum look { LOOK_WELL, LOOK_GONE, LOOK_CORRUPT };

static const char *name_of(struct slice key)
{
    const struct object_kind_row *row = key.size > 1
                                            ? object_kind_row((enum object_kind)key.data[1])
                                            : NULL;
    return row ? row->name : "unknown kind";
}

/* The object of a record's key, with its terms. */
static bool look_at_object(struct verify *verify, struct slice key, enum look *look,
                           struct error *err)
{
    char text[OBJECT_KEY_SIZE];
    struct error why = { 0 };
    bool found = false;
    *look = LOOK_CORRUPT;
    if (key.size < 3 || key.size - 2 >= sizeof(text) || memchr(key.data, 0, key.size))
        return true;
    memcpy(text, key.data + 2, key.size - 2);
    text[key.size - 2] = '\0';
    if (!storage_get(verify->worklist->storage, TABLE_RECORD, key, &verify->record, &found, err))
        return false;
    object_clear(&verify->object);
    buffer_clear(&verify->terms);
    if (!found)
        *look = LOOK_GONE;
    else if (object_record_decode(buffer_slice(&verify->record), (enum object_kind)key.data[1],
                                  text, &verify->object, &why) &&
             object_terms(&verify->object, &verify->terms, &why))
        *look = LOOK_WELL;
    return true;
}

/* *missing: the letter of an index that has not what the object has; 0: none. */
static bool look_for_terms(struct verify *verify, char *missing, uint64_t *count, struct error *err)
{
    struct buffer nothing = buffer_up_to(KEY_LIMIT);
    struct slice list = buffer_slice(&verify->terms);
    struct slice term;
    bool ok = true, found = true;
    *missing = 0;
    *count = 0;
    while (ok && found && object_terms_next(&list, &term)) {
        ok = storage_get(verify->worklist->storage, TABLE_TERM, term, &nothing, &found, err);
        *missing = (char)(ok && !found ? term.data[3] : 0);
        ++*count;
    }
    buffer_release(&nothing);
    return ok;
}

/* The write turn: nobody changes anything until it is closed. *turn NULL when the disk has failed:
 * then nobody does anyway. */
static bool open_turn(struct verify *verify, struct transaction **turn, struct error *err)
{
    struct storage_figures figures;
    *turn = NULL;
    if (transaction_open(verify->worklist->storage, turn, err))
        return true;
    *turn = NULL;
    storage_figures(verify->worklist->storage, &figures);
    return figures.failed;
}

/* What was seen wrong, seen in the turn. */
static bool confirm_object(struct verify *verify, struct slice key, struct error *err)
{
    struct transaction *turn = NULL;
    enum look look;
    uint64_t count;
    char missing = 0;
    bool ok = open_turn(verify, &turn, err) && look_at_object(verify, key, &look, err) &&
              (look != LOOK_WELL || look_for_terms(verify, &missing, &count, err));
    transaction_close(turn);
    if (ok && look == LOOK_CORRUPT)
        find(verify, WORKLIST_OBJECT_CORRUPT, slice_skip(key, 2),
             "an object of the worklist (%s) that cannot be read", name_of(key));
    else if (ok && missing)
        find(verify, WORKLIST_TERM_MISSING, slice_skip(key, 2),
             "an object of the worklist (%s) has no term (index %c)", name_of(key), missing);
    return ok;
}

static bool check_object(struct verify *verify, struct slice key, struct error *err)
{
    enum look look;
    uint64_t count = 0;
    char missing = 0;
    bool ok = look_at_object(verify, key, &look, err) &&
              (look != LOOK_WELL || look_for_terms(verify, &missing, &count, err));
    verify->report->objects += ok && look != LOOK_GONE;
    verify->report->terms += count;
    return ok && ((look != LOOK_CORRUPT && !missing) || confirm_object(verify, key, err));
}

/* Is the term one of the object that it leads to? */
static bool look_at_term(struct verify *verify, struct slice term, bool *wrong, struct error *err)
{
    uint8_t key[2 + OBJECT_KEY_SIZE] = { WORKLIST_BYTE };
    struct slice stamp, object, other;
    enum look look;
    *wrong = true;
    if (!object_term_split(term, SIZE_MAX, &stamp, &object))
        return true;
    key[1] = term.data[1];
    memcpy(key + 2, object.data, object.size);
    if (!look_at_object(verify, slice_of(key, 2 + object.size), &look, err))
        return false;
    /* One that cannot be read was found already. */
    *wrong = look == LOOK_GONE;
    if (look != LOOK_WELL)
        return true;
    *wrong = true;
    for (struct slice list = buffer_slice(&verify->terms);
         *wrong && object_terms_next(&list, &other);)
        *wrong = !slice_equal(term, other);
    return true;
}

static bool confirm_term(struct verify *verify, struct slice term, struct error *err)
{
    struct transaction *turn = NULL;
    struct buffer nothing = buffer_up_to(KEY_LIMIT);
    struct slice stamp, key = slice_of(NULL, 0);
    bool found = false, wrong = false;
    bool ok = open_turn(verify, &turn, err) &&
              storage_get(verify->worklist->storage, TABLE_TERM, term, &nothing, &found, err) &&
              (!found || look_at_term(verify, term, &wrong, err));
    transaction_close(turn);
    buffer_release(&nothing);
    if (ok && found && wrong) {
        object_term_split(term, SIZE_MAX, &stamp, &key);
        find(verify, WORKLIST_TERM_UNKNOWN, key, "a term of the worklist (%s) that is no object's",
             name_of(term));
    }
    return ok;
}

static bool check_term(struct verify *verify, struct slice term, struct error *err)
{
    bool wrong;
    return look_at_term(verify, term, &wrong, err) && (!wrong || confirm_term(verify, term, err));
}

static bool check_table(struct verify *verify, enum table table, const char *unit,
                        bool (*check)(struct verify *verify, struct slice key, struct error *err),
                        struct error *err)
{
    struct page page = page_init(verify, table);
    struct slice key;
    uint64_t done = 0;
    bool found = true;
    bool ok = true;
    while (ok && (ok = page_next(&page, &key, &found, err)) && found)
        ok = check(verify, key, err) &&
             job_step(verify->job, "checking the worklist", unit, ++done, 0, 0, err);
    page_release(&page);
    return ok;
}

bool worklist_verify(struct worklist *worklist, const struct worklist_verify_options *options,
                     struct job *job, struct worklist_verify_report *report, struct error *err)
{
    struct verify verify = { .worklist = worklist,
                             .options = options,
                             .job = job,
                             .report = report,
                             .object = object_init(),
                             .record = buffer_up_to(OBJECT_RECORD_LIMIT),
                             .terms = buffer_up_to(TERMS_LIMIT) };
    memset(report, 0, sizeof(*report));
    bool ok = check_table(&verify, TABLE_RECORD, "objects", check_object, err) &&
              check_table(&verify, TABLE_TERM, "terms", check_term, err);
    object_release(&verify.object);
    buffer_release(&verify.record);
    buffer_release(&verify.terms);
    return ok;
}
