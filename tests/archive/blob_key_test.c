/* SPDX-License-Identifier: MIT */
#include "archive/blob_key.h"

#include "tests/test.h"

static const struct identity place = { .study = "1.2", .series = "1.2.3", .instance = "1.2.3.4" };

TEST(a_blobs_key_tells_place_and_time)
{
    struct key key;
    struct identity found;
    struct blob_facts facts;
    blob_key_encode(&key, &place,
                    &(struct blob_facts){ .stored_at_us = 1767225600123456, .replaces = false });
    CHECK(blob_key_decode(key_slice(&key), &found, &facts));
    CHECK_INT(facts.stored_at_us, 1767225600123456);
    CHECK_TEXT(found.study, "1.2");
    CHECK_TEXT(found.series, "1.2.3");
    CHECK_TEXT(found.instance, "1.2.3.4");
}

TEST(a_blobs_key_is_as_the_format_says)
{
    static const char bytes[] = "\x02\x00\x06\x47\x4b\x8f\x86\x92\x40"
                                "1.2\0"
                                "1.2.3\0"
                                "1.2.3.4";
    struct key key;
    blob_key_encode(&key, &place,
                    &(struct blob_facts){ .stored_at_us = 0x0006474b8f869240, .replaces = false });
    CHECK(slice_equal(key_slice(&key), slice_of(bytes, sizeof(bytes) - 1)));
}

TEST(a_blobs_key_tells_that_it_takes_the_place_of_another_one)
{
    struct key key;
    struct identity found;
    struct blob_facts facts;
    blob_key_encode(&key, &place,
                    &(struct blob_facts){ .stored_at_us = 1767225600123456, .replaces = true });
    CHECK_INT(key.bytes[0], 3);
    CHECK(blob_key_decode(key_slice(&key), &found, &facts));
    CHECK(facts.replaces);
    CHECK_INT(facts.stored_at_us, 1767225600123456);
    CHECK_TEXT(found.instance, "1.2.3.4");
}

TEST(a_blobs_key_tells_that_it_amends_another_one)
{
    struct key key;
    struct identity found;
    struct blob_facts facts;
    blob_key_encode(&key, &place, &(struct blob_facts){ .stored_at_us = 5, .amends = true });
    CHECK_INT(key.bytes[0], 4);
    CHECK(blob_key_decode(key_slice(&key), &found, &facts));
    CHECK(facts.replaces && facts.amends);
    CHECK_INT(facts.stored_at_us, 5);
}

TEST(a_key_without_a_time_is_a_place_alone)
{
    static const char bytes[] = "1.2\0"
                                "1.2.3\0"
                                "1.2.3.4";
    struct identity found;
    struct blob_facts facts;
    CHECK(blob_key_decode(slice_of(bytes, sizeof(bytes) - 1), &found, &facts));
    CHECK_INT(facts.stored_at_us, 0);
    CHECK_TEXT(found.instance, "1.2.3.4");
}

TEST(what_is_no_key_of_a_blob_is_refused)
{
    static const char *const others[] = { "", "\x02short", "1.2",
                                          "\x03"
                                          "12345678"
                                          "1.2",
                                          "k" };
    struct identity found;
    struct blob_facts facts;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        CHECK(!blob_key_decode(slice_text(others[i]), &found, &facts));
}

TEST(the_longest_uids_fit_into_a_blobs_key)
{
    struct identity longest = { 0 }, found;
    struct key key;
    struct blob_facts facts;
    memset(longest.study, '1', UID_SIZE - 1);
    memset(longest.series, '2', UID_SIZE - 1);
    memset(longest.instance, '3', UID_SIZE - 1);
    blob_key_encode(&key, &longest, &(struct blob_facts){ .stored_at_us = 1, .replaces = false });
    CHECK(key.size <= 512);
    CHECK(blob_key_decode(key_slice(&key), &found, &facts));
    CHECK(memcmp(&found, &longest, sizeof(found)) == 0);
}
