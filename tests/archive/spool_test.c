/* SPDX-License-Identifier: MIT */
#include "archive/spool.h"

#include <string.h>
#include <unistd.h>

#include "tests/archive/fixture.h"

enum { MANY = 700 << 10 }; /* more than is written at once */

static void append(struct spool *spool, size_t size, uint8_t first)
{
    struct error err;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(first + i * 7);
        CHECK_OK(spool_append(spool, slice_of(&byte, 1), &err), err);
    }
}

TEST(a_spool_gives_back_what_was_appended_also_as_a_range_of_a_file)
{
    struct fixture fixture;
    struct error err;
    struct file_range range;
    uint8_t bytes[3], same[3];
    fixture_open(&fixture, true);
    struct spool *spool = spool_new(fixture.archive);
    append(spool, MANY, 5);
    CHECK_INT(spool_size(spool), MANY);
    CHECK_OK(spool_read(spool, MANY - 3, (struct space){ bytes, 3 }, &err), err);
    CHECK(bytes[2] == (uint8_t)(5 + (MANY - 1) * 7));
    CHECK_OK(spool_range(spool, &range, &err), err);
    CHECK_INT(range.size, MANY);
    CHECK_INT(pread(range.fd, same, 3, (off_t)(range.offset + MANY - 3)), 3);
    CHECK(memcmp(bytes, same, 3) == 0);
    CHECK(!spool_read(spool, MANY - 2, (struct space){ bytes, 3 }, &err));
    CHECK_INT(err.code, ERROR_CORRUPT);
    spool_free(spool);
    fixture_close(&fixture);
}
