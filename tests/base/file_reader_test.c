/* SPDX-License-Identifier: MIT */
#include "base/file_reader.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/test.h"

enum { FILE_SIZE = FILE_READER_SMALL + 4096 };

/* A file without a name that begins with `mark`. */
static int file_that_begins(const char *mark)
{
    char path[] = "/tmp/file_reader_XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    unlink(path);
    CHECK_INT(pwrite(fd, mark, strlen(mark), 0), (long)strlen(mark));
    CHECK_INT(ftruncate(fd, FILE_SIZE), 0);
    return fd;
}

static char first_byte(int fd)
{
    char byte = '?';
    CHECK_INT(pread(fd, &byte, 1, 0), 1);
    return byte;
}

TEST(a_file_reader_reads_the_same_bytes_through_a_descriptor_of_its_own)
{
    struct file_reader reader = { .is_open = false };
    struct error err;
    int shared = file_that_begins("a");
    struct file_range range = { shared, 0, FILE_SIZE };
    CHECK_OK(file_reader_take(&reader, &range, &err), err);
    CHECK(range.fd != shared);
    CHECK_INT(first_byte(range.fd), 'a');
    CHECK(fcntl(range.fd, F_GETFD) & FD_CLOEXEC);
    /* A duplicate would have the position and the read-ahead of the shared one. */
    CHECK_INT(lseek(shared, 77, SEEK_SET), 77);
    CHECK_INT(lseek(range.fd, 0, SEEK_CUR), 0);
    CHECK_INT(write(range.fd, "x", 1), -1);

    int own = range.fd;
    range = (struct file_range){ shared, 4096, 10 };
    CHECK_OK(file_reader_take(&reader, &range, &err), err);
    CHECK_INT(range.fd, own);
    CHECK_INT((long)range.offset, 4096);
    CHECK_INT((long)range.size, 10);
    file_reader_release(&reader);
    CHECK_INT(fcntl(own, F_GETFD), -1);
    close(shared);
}

TEST(a_file_reader_opens_nothing_for_one_small_range)
{
    struct file_reader reader = { .is_open = false };
    struct error err;
    int shared = file_that_begins("a");
    struct file_range range = { shared, 0, FILE_READER_SMALL };
    CHECK_OK(file_reader_take(&reader, &range, &err), err);
    CHECK_INT(range.fd, shared);
    range = (struct file_range){ shared, 0, 10 };
    CHECK_OK(file_reader_take(&reader, &range, &err), err);
    CHECK(range.fd != shared);
    file_reader_release(&reader);
    close(shared);
}

TEST(a_file_reader_is_not_misled_by_a_descriptor_that_became_another_file)
{
    struct file_reader reader = { .is_open = false };
    struct error err;
    int shared = file_that_begins("a");
    int other = file_that_begins("b");
    struct file_range range = { shared, 0, FILE_SIZE };
    CHECK_OK(file_reader_take(&reader, &range, &err), err);
    CHECK_INT(first_byte(range.fd), 'a');
    CHECK_INT(dup2(other, shared), shared);
    range = (struct file_range){ shared, 0, 10 };
    CHECK_OK(file_reader_take(&reader, &range, &err), err);
    CHECK_INT(first_byte(range.fd), 'b');
    CHECK(range.fd != shared);
    file_reader_release(&reader);
    close(shared);
    close(other);
}

TEST(a_range_that_a_file_does_not_have_is_an_error_of_what_is_stored)
{
    struct file_reader reader = { .is_open = false };
    struct error err = { .code = ERROR_NONE };
    int shared = file_that_begins("a");
    struct file_range range = { shared, 4097, FILE_READER_SMALL };
    CHECK(!file_reader_take(&reader, &range, &err));
    CHECK_INT(err.code, ERROR_CORRUPT);
    range = (struct file_range){ shared, UINT64_MAX, 2 };
    CHECK(!file_reader_take(&reader, &range, &err));
    range = (struct file_range){ shared, 2, UINT64_MAX };
    CHECK(!file_reader_take(&reader, &range, &err));
    range = (struct file_range){ -1, 0, 1 };
    CHECK(!file_reader_take(&reader, &range, &err));
    CHECK_INT(err.code, ERROR_IO);
    file_reader_release(&reader);
    close(shared);
}
