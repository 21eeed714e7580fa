/* SPDX-License-Identifier: MIT */
#include "dicom/fuzzy.h"

#include "tests/test.h"

static bool alike(const char *key, const char *value)
{
    return fuzzy_name_matches(slice_text(key), slice_text(value));
}

TEST(one_slip_of_the_pen_is_forgiven_and_two_in_long_names)
{
    CHECK(alike("jonson^mary", "johnson^mary"));
    CHECK(alike("jhonson", "johnson^mary"));
    CHECK(alike("papadopoulous", "papadopoulos^nikos"));
    CHECK(alike("wiliamsonn", "williamson"));
    CHECK(!alike("jones", "johnson^mary"));
    CHECK(!alike("lee", "leo"));
    CHECK(!alike("doe^jane", "doe^peter"));
}

TEST(words_are_found_in_any_order_and_component)
{
    CHECK(alike("mary johnson", "johnson^mary"));
    CHECK(alike("mary^johnson", "johnson^mary^^dr"));
    CHECK(alike("anna", "maier-schmidt^anna lena"));
    CHECK(alike("john*", "johnson^mary"));
    CHECK(alike("太郎", "yamada^tarou=山田^太郎"));
    CHECK(!alike("次郎", "yamada^tarou=山田^太郎"));
}

TEST(names_that_sound_alike_are_alike)
{
    CHECK(alike("meier", "mayer^hans"));
    CHECK(alike("smith", "schmidt^anna"));
    CHECK(alike("stephen", "steven^x"));
    CHECK(alike("philipp", "filip"));
    CHECK(!alike("sand", "smith"));
    CHECK(!alike("becker", "bauer"));
}

TEST(a_key_without_words_matches_nothing)
{
    CHECK(!alike("^^=", "johnson"));
    CHECK(!alike("johnson", ""));
}
