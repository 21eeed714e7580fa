/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/space.h"
#include "tests/storage/support.h"

/* A disk of 96 MiB that only this process sees: it keeps 12 MiB back from blobs, 3 MiB from the
 * index. False where mounting is not allowed. */
static bool mount_small_disk(const char *path)
{
    mkdir(path, 0700);
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", path, "tmpfs", 0, "size=96m") == 0;
}

static bool insist(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "    not so: %s\n", what);
        _exit(1);
    }
    return condition;
}
#define INSIST(condition) insist(condition, #condition)

static bool commit_one(struct storage *storage, const char *value, struct error *err)
{
    struct transaction *transaction = NULL;
    if (!transaction_open(storage, &transaction, err))
        return false;
    transaction_put(transaction, TABLE_RECORD, slice_text("key"), slice_text(value));
    transaction_append_feed(transaction, slice_text(value));
    bool ok = transaction_commit(transaction, err);
    transaction_close(transaction);
    return ok;
}

static bool has_value(struct storage *storage, const char *expected)
{
    struct error err = { 0 };
    struct buffer value = buffer_up_to(1000);
    bool found = false;
    bool ok = storage_get(storage, TABLE_RECORD, slice_text("key"), &value, &found, &err) &&
              found && slice_equals_text(buffer_slice(&value), expected);
    buffer_release(&value);
    return ok;
}

/* Takes all but `left` bytes. */
static void fill_disk(const char *path, uint64_t left)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    uint64_t size = space_free(fd) - left;
    INSIST(fallocate(fd, 0, 0, (off_t)size) == 0);
    close(fd);
}

static void fill_with_blobs(struct storage *storage, struct blob_id *last)
{
    struct error err = { 0 };
    uint8_t *bytes = make_bytes(3 << 20, 1);
    int count = 0;
    while (write_blob(storage, "k", slice_of(bytes, 3 << 20), last, &err))
        INSIST(++count < 40);
    free(bytes);
    INSIST(err.code == ERROR_NO_SPACE);
    INSIST(count > 15);
}

CHILD(fill_a_disk)
{
    char disk[160];
    char data[180];
    char filler[180];
    struct error err = { 0 };
    struct blob_id last;
    struct storage *small = NULL;
    snprintf(disk, sizeof(disk), "%s/disk", getenv("STORAGE_TEST_PATH"));
    snprintf(data, sizeof(data), "%s/data", disk);
    snprintf(filler, sizeof(filler), "%s/filler", disk);
    storage_close(storage);
    if (!mount_small_disk(disk)) {
        printf("     (no permission to mount: nothing was tried)\n");
        fflush(stdout);
        return;
    }
    struct storage_options options = { .path = data, .segment_size = 16 << 20 };
    INSIST(storage_open(&options, &small, &err));
    fill_with_blobs(small, &last);
    INSIST(blob_equals(small, &last, 3 << 20, 1));
    /* The index goes on where blobs had to stop. */
    INSIST(commit_one(small, "one", &err));
    fill_disk(filler, 2 << 20);
    INSIST(!commit_one(small, "two", &err));
    INSIST(err.code == ERROR_NO_SPACE);
    INSIST(has_value(small, "one"));
    INSIST(feed_latest(small) == 1);
    unlink(filler);
    INSIST(commit_one(small, "three", &err));
    INSIST(feed_latest(small) == 2);
    /* Deleting makes room again. */
    struct transaction *transaction = NULL;
    INSIST(transaction_open(small, &transaction, &err));
    transaction_delete_blob(transaction, &last);
    INSIST(transaction_commit(transaction, &err));
    transaction_close(transaction);
    INSIST(wait_for_pending(small, 0));
    uint8_t *bytes = make_bytes(1 << 20, 2);
    INSIST(write_blob(small, "k", slice_of(bytes, 1 << 20), &last, &err));
    free(bytes);
    storage_close(small);
    INSIST(storage_open(&options, &small, &err));
    INSIST(has_value(small, "three"));
    INSIST(blob_equals(small, &last, 1 << 20, 2));
    storage_close(small);
}

TEST(full_disk_refuses_what_does_not_fit_and_goes_on_when_there_is_room)
{
    child_run("fill_a_disk", test_folder(), false);
}
