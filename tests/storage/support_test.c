/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/storage/support.h"

static void watched_close(struct keyvalue *keyvalue)
{
    struct watched *watched = (struct watched *)keyvalue;
    watched->inner->operations->close(watched->inner);
    free(watched);
}

static bool watched_get(struct keyvalue *keyvalue, enum table table, struct slice key,
                        struct buffer *value, bool *found, struct error *err)
{
    struct keyvalue *inner = ((struct watched *)keyvalue)->inner;
    return inner->operations->get(inner, table, key, value, found, err);
}

static bool watched_write(struct keyvalue *keyvalue, const struct keyvalue_write *writes,
                          size_t count, struct error *err)
{
    struct watched *watched = (struct watched *)keyvalue;
    if (atomic_load(&watched->fail_write))
        return error_set(err, ERROR_NO_SPACE, "full");
    return watched->inner->operations->write(watched->inner, writes, count, err);
}

static bool watched_sync(struct keyvalue *keyvalue, struct error *err)
{
    struct watched *watched = (struct watched *)keyvalue;
    int ms = atomic_load(&watched->sync_ms);
    atomic_fetch_add(&watched->syncs, 1);
    if (ms)
        nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000L }, NULL);
    if (atomic_load(&watched->fail_sync))
        return error_set(err, ERROR_IO, "broken");
    return true;
}

static bool watched_cursor_open(struct keyvalue *keyvalue, enum table table, struct slice lower,
                                struct slice upper, bool backwards, struct keyvalue_cursor **out,
                                struct error *err)
{
    struct keyvalue *inner = ((struct watched *)keyvalue)->inner;
    return inner->operations->cursor_open(inner, table, lower, upper, backwards, out, err);
}

static const struct keyvalue_operations operations = {
    .close = watched_close,
    .get = watched_get,
    .write = watched_write,
    .sync = watched_sync,
    .cursor_open = watched_cursor_open, /* what it opens knows its own operations */
};

/* next and close of a cursor are called through the keyvalue's operations when opening. */
struct keyvalue *watched_open(struct watched **out)
{
    static struct keyvalue_operations complete;
    struct watched *watched = calloc(1, sizeof(*watched));
    watched->inner = memory_keyvalue_open();
    complete = operations;
    complete.cursor_next = watched->inner->operations->cursor_next;
    complete.cursor_close = watched->inner->operations->cursor_close;
    watched->base.operations = &complete;
    *out = watched;
    return &watched->base;
}

struct storage *open_watched(const char *path, struct watched **out)
{
    struct error err = { 0 };
    struct storage *storage = NULL;
    struct storage_options options = { .path = path, .segment_size = SMALL_SEGMENT };
    CHECK_OK(storage_open_with(&options, watched_open(out), &storage, &err), err);
    return storage;
}

void child_enter(const char *name, void (*work)(struct storage *))
{
    struct error err = { 0 };
    struct storage *storage = NULL;
    const char *wanted = getenv("STORAGE_TEST_CHILD");
    if (!wanted || strcmp(wanted, name) != 0)
        return;
    struct storage_options options = {
        .path = getenv("STORAGE_TEST_PATH"),
        .segment_size = SMALL_SEGMENT,
        .index_in_memory = getenv("STORAGE_TEST_IN_MEMORY") != NULL,
    };
    if (storage_open(&options, &storage, &err))
        work(storage);
    else
        fprintf(stderr, "%s: %s\n", name, err.message);
    raise(SIGKILL);
}

/* The child begins anew with exec, because this process may have threads. */
pid_t child_start(const char *name, const char *path, bool in_memory, const char *fault)
{
    fflush(stdout);
    setenv("STORAGE_TEST_CHILD", name, 1);
    setenv("STORAGE_TEST_PATH", path, 1);
    if (in_memory)
        setenv("STORAGE_TEST_IN_MEMORY", "1", 1);
    if (fault)
        setenv("HOUNSFIELD_FAULT", fault, 1);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "storage_tests", (char *)NULL);
        _exit(1);
    }
    unsetenv("STORAGE_TEST_CHILD");
    unsetenv("STORAGE_TEST_PATH");
    unsetenv("STORAGE_TEST_IN_MEMORY");
    unsetenv("HOUNSFIELD_FAULT");
    return child;
}

void child_wait(pid_t child)
{
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

void child_run(const char *name, const char *path, bool in_memory)
{
    child_wait(child_start(name, path, in_memory, NULL));
}
