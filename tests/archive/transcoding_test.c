/* SPDX-License-Identifier: MIT */
#include "archive/transcoding.h"

#include "tests/archive/fixture.h"

enum { PIXELS = 3000 };

static struct instance *open_instance(struct fixture *fixture)
{
    struct instance *instance = NULL;
    struct error err;
    fixture_open(fixture, true);
    store(fixture,
          &(struct object){
              .study = "1.1", .series = "1.1.1", .instance = "1.1.1.1", .pixels = PIXELS });
    CHECK_OK(instance_open(fixture->archive, "1.1", "1.1.1", "1.1.1.1", &instance, &err), err);
    return instance;
}

TEST(all_who_transcode_take_from_one_budget)
{
    struct fixture fixture;
    struct error err;
    uint64_t first, rest, nothing;
    struct instance *instance = open_instance(&fixture);
    struct decode_budget *budget = archive_decoding(fixture.archive);
    const struct transfer_syntax *to = transfer_syntax_find(slice_text(UID_IMPLICIT_LITTLE_ENDIAN));
    CHECK_OK(transcoding_take(instance, to, UINT64_MAX, &first, &err), err);
    CHECK(first >= PIXELS);
    /* What is larger than the whole gets all of it, but not beside another. */
    CHECK(!decode_budget_take(budget, UINT64_MAX, 0, &rest, &err));
    CHECK(err.code == ERROR_BUSY);
    transcoding_give_back(instance, first);
    CHECK_OK(decode_budget_take(budget, UINT64_MAX, 0, &rest, &err), err);
    CHECK(!decode_budget_take(budget, 1, 0, &nothing, &err));
    decode_budget_give_back(budget, rest);
    instance_close(instance);
    fixture_close(&fixture);
}

TEST(a_result_that_is_not_kept_takes_no_memory_of_the_budget)
{
    struct fixture fixture;
    struct error err;
    uint64_t kept, sent;
    struct instance *instance = open_instance(&fixture);
    const struct transfer_syntax *to = transfer_syntax_find(slice_text(UID_IMPLICIT_LITTLE_ENDIAN));
    CHECK_OK(transcoding_take(instance, to, UINT64_MAX, &kept, &err), err);
    CHECK_OK(transcoding_take(instance, to, 0, &sent, &err), err);
    CHECK(kept >= sent + PIXELS);
    transcoding_give_back(instance, kept);
    transcoding_give_back(instance, sent);
    instance_close(instance);
    fixture_close(&fixture);
}

TEST(temporary_files_have_a_limit_together_and_give_back_what_they_took)
{
    struct fixture fixture;
    struct error err;
    struct instance *instance = open_instance(&fixture);
    struct spool_share large = instance_spool(instance);
    struct spool_share small = instance_spool(instance);
    uint64_t gib = (uint64_t)1 << 30;
    uint64_t size = 0;
    while (spool_share_grow(&large, size + gib, &err))
        size += gib;
    CHECK(err.code == ERROR_NO_SPACE);
    CHECK(size >= gib && size <= 1024 * gib);
    CHECK(!spool_share_grow(&small, gib, &err));
    spool_share_release(&large);
    CHECK_OK(spool_share_grow(&small, gib, &err), err);
    spool_share_release(&small);
    instance_close(instance);
    fixture_close(&fixture);
}
