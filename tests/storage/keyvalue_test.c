/* SPDX-License-Identifier: MIT */
#include "storage/keyvalue.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/storage/support.h"

/* Runs a test on both backends. */
static void on_both(void (*test)(struct keyvalue *))
{
    struct error err = { 0 };
    struct keyvalue *keyvalue = memory_keyvalue_open();
    test(keyvalue);
    keyvalue->operations->close(keyvalue);
    CHECK_OK(rocks_open(test_folder(), &keyvalue, &err), err);
    test(keyvalue);
    keyvalue->operations->close(keyvalue);
}

static void put(struct keyvalue *keyvalue, const char *key, const char *value)
{
    struct error err = { 0 };
    struct keyvalue_write write = { TABLE_RECORD, !value, slice_text(key), slice_text(value) };
    CHECK_OK(keyvalue->operations->write(keyvalue, &write, 1, &err), err);
}

static struct keyvalue_cursor *open_cursor(struct keyvalue *keyvalue, const char *lower,
                                           const char *upper, bool backwards)
{
    struct error err = { 0 };
    struct keyvalue_cursor *cursor = NULL;
    CHECK_OK(keyvalue->operations->cursor_open(keyvalue, TABLE_RECORD, slice_text(lower),
                                               slice_text(upper), backwards, &cursor, &err),
             err);
    return cursor;
}

/* The keys that the cursor shows, one behind the other; closes it. */
static const char *drain(struct keyvalue_cursor *cursor)
{
    static char text[256];
    struct error err = { 0 };
    struct slice key;
    struct slice value;
    bool found = true;
    size_t size = 0;
    for (;;) {
        CHECK_OK(cursor->operations->cursor_next(cursor, &key, &value, &found, &err), err);
        if (!found)
            break;
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%.*s=%.*s ", (int)key.size,
                                 (const char *)key.data, (int)value.size, (const char *)value.data);
    }
    CHECK_OK(cursor->operations->cursor_next(cursor, &key, &value, &found, &err), err);
    CHECK(!found);
    text[size] = '\0';
    cursor->operations->cursor_close(cursor);
    return text;
}

static void check_ranges(struct keyvalue *keyvalue)
{
    put(keyvalue, "b", "2");
    put(keyvalue, "a", "1");
    put(keyvalue, "c", "3");
    put(keyvalue, "bb", "4");
    put(keyvalue, "c", "5");
    put(keyvalue, "d", "6");
    put(keyvalue, "d", NULL);
    put(keyvalue, "never", NULL);
    CHECK_TEXT(drain(open_cursor(keyvalue, "", "", false)), "a=1 b=2 bb=4 c=5 ");
    CHECK_TEXT(drain(open_cursor(keyvalue, "", "", true)), "c=5 bb=4 b=2 a=1 ");
    CHECK_TEXT(drain(open_cursor(keyvalue, "b", "c", false)), "b=2 bb=4 ");
    CHECK_TEXT(drain(open_cursor(keyvalue, "b", "c", true)), "bb=4 b=2 ");
    CHECK_TEXT(drain(open_cursor(keyvalue, "ba", "", false)), "bb=4 c=5 ");
    CHECK_TEXT(drain(open_cursor(keyvalue, "x", "z", false)), "");
    CHECK_TEXT(drain(open_cursor(keyvalue, "c", "a", false)), "");
    CHECK_TEXT(drain(open_cursor(keyvalue, "c", "a", true)), "");
}

TEST(cursors_show_the_keys_of_a_range_in_order_both_ways)
{
    on_both(check_ranges);
}

static void check_snapshot(struct keyvalue *keyvalue)
{
    put(keyvalue, "a", "1");
    put(keyvalue, "b", "2");
    struct keyvalue_cursor *cursor = open_cursor(keyvalue, "", "", false);
    put(keyvalue, "a", "changed");
    put(keyvalue, "b", NULL);
    put(keyvalue, "c", "new");
    CHECK_TEXT(drain(cursor), "a=1 b=2 ");
    CHECK_TEXT(drain(open_cursor(keyvalue, "", "", false)), "a=changed c=new ");
}

TEST(cursor_shows_what_was_there_when_it_was_opened)
{
    on_both(check_snapshot);
}

static void check_value(struct keyvalue *keyvalue, const char *key, const char *expected)
{
    struct error err = { 0 };
    struct buffer value = buffer_up_to(100);
    bool found;
    CHECK_OK(
        keyvalue->operations->get(keyvalue, TABLE_RECORD, slice_text(key), &value, &found, &err),
        err);
    CHECK(found == (expected != NULL));
    if (expected)
        CHECK_TEXT(buffer_text(&value), expected);
    buffer_release(&value);
}

static void check_view(struct keyvalue *keyvalue)
{
    put(keyvalue, "a", "1");
    put(keyvalue, "b", "2");
    struct keyvalue *view = keyvalue->operations->view(keyvalue);
    put(keyvalue, "a", "changed");
    put(keyvalue, "b", NULL);
    put(keyvalue, "c", "new");
    for (int i = 0; i < 2; i++) {
        check_value(view, "a", "1");
        check_value(view, "b", "2");
        check_value(view, "c", NULL);
        CHECK_TEXT(drain(open_cursor(view, "", "", false)), "a=1 b=2 ");
        CHECK_TEXT(drain(open_cursor(view, "", "", true)), "b=2 a=1 ");
        CHECK_TEXT(drain(open_cursor(view, "b", "", false)), "b=2 ");
    }
    view->operations->close(view);
    check_value(keyvalue, "a", "changed");
    check_value(keyvalue, "b", NULL);
}

TEST(a_view_shows_what_was_there_when_it_was_opened)
{
    on_both(check_view);
}

static void check_get(struct keyvalue *keyvalue)
{
    struct error err = { 0 };
    struct buffer value = buffer_up_to(4);
    bool found = true;
    put(keyvalue, "a", "1234");
    put(keyvalue, "empty", "");
    put(keyvalue, "long", "12345");
    const struct keyvalue_operations *operations = keyvalue->operations;
    for (int i = 0; i < 2; i++) { /* filled, not appended to */
        CHECK_OK(operations->get(keyvalue, TABLE_RECORD, slice_text("a"), &value, &found, &err),
                 err);
        CHECK(found);
        CHECK(slice_equals_text(buffer_slice(&value), "1234"));
    }
    CHECK_OK(operations->get(keyvalue, TABLE_RECORD, slice_text("empty"), &value, &found, &err),
             err);
    CHECK(found && value.size == 0);
    CHECK_OK(operations->get(keyvalue, TABLE_TERM, slice_text("a"), &value, &found, &err), err);
    CHECK(!found);
    CHECK(!operations->get(keyvalue, TABLE_RECORD, slice_text("long"), &value, &found, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    buffer_release(&value);
}

TEST(get_fills_the_value_and_tells_absent_from_empty)
{
    on_both(check_get);
}

static void check_batch(struct keyvalue *keyvalue)
{
    struct error err = { 0 };
    struct keyvalue_write writes[] = {
        { TABLE_RECORD, false, slice_text("a"), slice_text("1") },
        { TABLE_RECORD, true, slice_text("a"), slice_text("") },
        { TABLE_RECORD, true, slice_text("b"), slice_text("") },
        { TABLE_RECORD, false, slice_text("b"), slice_text("2") },
        { TABLE_RECORD, false, slice_text("b"), slice_text("3") },
    };
    CHECK_OK(keyvalue->operations->write(keyvalue, writes, 5, &err), err);
    CHECK_OK(keyvalue->operations->write(keyvalue, writes, 0, &err), err);
    CHECK_OK(keyvalue->operations->sync(keyvalue, &err), err);
    CHECK_TEXT(drain(open_cursor(keyvalue, "", "", false)), "b=3 ");
}

TEST(writes_of_a_batch_take_effect_in_their_order)
{
    on_both(check_batch);
}

TEST(rocks_keeps_every_table_over_a_restart)
{
    struct error err = { 0 };
    struct keyvalue *keyvalue = NULL;
    struct buffer value = buffer_up_to(1 << 20);
    bool found = false;
    char path[128];
    uint8_t *document = make_bytes(20000, 3);
    snprintf(path, sizeof(path), "%s", test_folder());
    CHECK_OK(rocks_open(path, &keyvalue, &err), err);
    for (int table = 0; table < TABLE_COUNT; table++) {
        struct keyvalue_write write = { (enum table)table, false, slice_text("key"),
                                        slice_of(document, 1000 * (size_t)(table + 1)) };
        CHECK_OK(keyvalue->operations->write(keyvalue, &write, 1, &err), err);
    }
    keyvalue->operations->close(keyvalue);
    CHECK_OK(rocks_open(path, &keyvalue, &err), err);
    for (int table = 0; table < TABLE_COUNT; table++) {
        CHECK_OK(keyvalue->operations->get(keyvalue, (enum table)table, slice_text("key"), &value,
                                           &found, &err),
                 err);
        CHECK(found);
        CHECK(slice_equal(buffer_slice(&value), slice_of(document, 1000 * (size_t)(table + 1))));
    }
    keyvalue->operations->close(keyvalue);
    buffer_release(&value);
    free(document);
}

TEST(rocks_that_cannot_open_says_so_and_holds_nothing)
{
    struct error err = { 0 };
    struct keyvalue *keyvalue = NULL;
    CHECK(!rocks_open("/proc/nothing/here", &keyvalue, &err));
    CHECK_INT(err.code, ERROR_IO);
    CHECK(!keyvalue);
}

/* HOS-49: another thread's write may be on its way to the disk when the log fails. */
TEST(a_sync_behind_a_write_that_failed_fails_and_does_not_end_the_process)
{
    struct error err = { 0 };
    struct keyvalue *keyvalue = NULL;
    struct rlimit whole;
    CHECK_OK(rocks_open(test_folder(), &keyvalue, &err), err);
    put(keyvalue, "a", "1");
    CHECK_OK(keyvalue->operations->sync(keyvalue, &err), err);
    put(keyvalue, "b", "2");

    uint8_t *large = make_bytes(100000, 3);
    struct keyvalue_write write = { TABLE_RECORD, false, slice_text("c"), slice_of(large, 100000) };
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &whole);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 50000, whole.rlim_max });
    CHECK(!keyvalue->operations->write(keyvalue, &write, 1, &err));
    CHECK_INT(err.code, ERROR_IO);
    setrlimit(RLIMIT_FSIZE, &whole);

    CHECK(!keyvalue->operations->sync(keyvalue, &err));
    CHECK_INT(err.code, ERROR_IO);
    CHECK_TEXT(drain(open_cursor(keyvalue, "", "", false)), "a=1 b=2 ");
    keyvalue->operations->close(keyvalue);
    free(large);
}

/* HOS-49: RocksDB keeps a log of what it does, and a second line behind one that failed ended it.
 */
TEST(an_index_on_a_disk_that_takes_nothing_fails_and_does_not_end_the_process)
{
    struct error err = { 0 };
    struct keyvalue *keyvalue = NULL;
    struct rlimit whole;
    char folder[100], path[200];
    snprintf(folder, sizeof(folder), "%s", test_folder());
    CHECK_OK(rocks_open(folder, &keyvalue, &err), err);
    put(keyvalue, "a", "1");
    CHECK_OK(keyvalue->operations->sync(keyvalue, &err), err);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &whole);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 10, whole.rlim_max });
    CHECK(!keyvalue->operations->flush(keyvalue, &err));
    for (int i = 0; i < 3; i++) {
        struct keyvalue_write write = { TABLE_RECORD, false, slice_text("b"), slice_text("2") };
        CHECK(!keyvalue->operations->write(keyvalue, &write, 1, &err));
        CHECK(!keyvalue->operations->flush(keyvalue, &err));
        snprintf(path, sizeof(path), "%s/copy%d", folder, i);
        keyvalue->operations->checkpoint(keyvalue, path, &err);
    }
    CHECK_TEXT(drain(open_cursor(keyvalue, "", "", false)), "a=1 ");
    keyvalue->operations->close(keyvalue);
    snprintf(path, sizeof(path), "%s/LOG", folder);
    CHECK(access(path, F_OK) != 0);
    keyvalue = NULL;
    CHECK(!rocks_open(folder, &keyvalue, &err));
    setrlimit(RLIMIT_FSIZE, &whole);
    CHECK_OK(rocks_open(folder, &keyvalue, &err), err);
    CHECK_TEXT(drain(open_cursor(keyvalue, "", "", false)), "a=1 ");
    keyvalue->operations->close(keyvalue);
}

static void check_figures(struct keyvalue *keyvalue)
{
    static char big[100000];
    struct storage_table_figures figures;
    keyvalue->operations->figures(keyvalue, TABLE_RECORD, &figures);
    uint64_t empty = figures.disk_bytes + figures.memory_bytes;
    CHECK_INT(figures.keys, 0);
    memset(big, 'x', sizeof(big) - 1);
    put(keyvalue, "a", "1234");
    put(keyvalue, "b", big);
    keyvalue->operations->figures(keyvalue, TABLE_RECORD, &figures);
    CHECK_INT(figures.keys, 2);
    CHECK(figures.disk_bytes + figures.memory_bytes > empty);
    keyvalue->operations->figures(keyvalue, TABLE_TERM, &figures);
    CHECK_INT(figures.keys, 0);
}

TEST(a_table_tells_how_many_keys_it_has_and_what_they_take)
{
    on_both(check_figures);
}
