/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
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
    atomic_fetch_add(&watched->synced, 1);
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

static int open_first_segment(const char *path, size_t *size)
{
    char name[256];
    struct stat status;
    snprintf(name, sizeof(name), "%s/segments/0000000001.seg", path);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && fstat(fd, &status) == 0);
    *size = (size_t)status.st_size;
    return fd;
}

size_t cached_pages(const char *path)
{
    enum { PAGE = 4096 };
    size_t size, count = 0;
    int fd = open_first_segment(path, &size);
    void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(bytes != MAP_FAILED);
    unsigned char *cached = mem_alloc(size / PAGE + 1);
    CHECK_INT(mincore(bytes, size, cached), 0);
    for (size_t i = 0; i < size / PAGE; i++)
        count += cached[i] & 1;
    munmap(bytes, size);
    close(fd);
    free(cached);
    return count;
}

void drop_cached_pages(const char *path)
{
    size_t size;
    int fd = open_first_segment(path, &size);
    CHECK(fdatasync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    close(fd);
}
