/* SPDX-License-Identifier: MIT */
#include "dimse/forward.h"
#include "tests/test.h"

TEST(a_rule_wants_by_modality_and_by_who_sent_it)
{
    static const char *const images[] = { "CT", "MR", NULL };
    static const char *const scanners[] = { "SCANNER", NULL };
    static const char *const nobody[] = { NULL };
    const struct forward_rule rules[] = { { "A", images, nobody },
                                          { "B", NULL, scanners },
                                          { "C", images, scanners },
                                          { "A", NULL, scanners } };
    const struct dimse_options options = { .forward_rules = rules, .forward_rule_count = 4 };
    CHECK(forward_wants(&options, "A", "X", "CT") && forward_wants(&options, "A", "", "MR"));
    CHECK(!forward_wants(&options, "A", "X", "US") &&
          forward_wants(&options, "A", "SCANNER", "US"));
    CHECK(forward_wants(&options, "B", "SCANNER", "") && !forward_wants(&options, "B", "X", "CT"));
    CHECK(forward_wants(&options, "C", "SCANNER", "CT"));
    CHECK(!forward_wants(&options, "C", "SCANNER", "US") &&
          !forward_wants(&options, "C", "", "CT"));
    CHECK(!forward_wants(&options, "D", "SCANNER", "CT"));
}

TEST(nothing_is_forwarded_to_who_sent_it)
{
    const struct forward_rule rules[] = { { "A", NULL, NULL } };
    const struct dimse_options options = { .forward_rules = rules, .forward_rule_count = 1 };
    CHECK(forward_wants(&options, "A", "B", "CT") && !forward_wants(&options, "A", "A", "CT"));
}

TEST(a_full_peer_is_tried_again_and_a_refusal_is_one)
{
    CHECK_INT(forward_judge(0x0000), FORWARD_SENT);
    CHECK_INT(forward_judge(0xB000), FORWARD_SENT);
    CHECK_INT(forward_judge(0x0111), FORWARD_SENT);
    CHECK_INT(forward_judge(0xA700), FORWARD_LATER);
    CHECK_INT(forward_judge(0x0213), FORWARD_LATER);
    CHECK_INT(forward_judge(0xA900), FORWARD_REFUSED);
    CHECK_INT(forward_judge(0xC000), FORWARD_REFUSED);
    CHECK_INT(forward_judge(0x0122), FORWARD_REFUSED);
}
