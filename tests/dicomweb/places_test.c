/* SPDX-License-Identifier: MIT */
#include "dicomweb/places.h"

#include "tests/test.h"

TEST(one_requester_leaves_a_quarter_of_the_places_to_others)
{
    struct places *places = places_new(8);
    for (int i = 0; i < 6; i++)
        CHECK(places_take(places, 1));
    CHECK(!places_take(places, 1));
    CHECK(places_take(places, 2));
    CHECK(places_take(places, 3));
    CHECK(!places_take(places, 4));
    places_give_back(places, 1);
    CHECK(places_take(places, 4));
    CHECK(!places_take(places, 1));
    places_give_back(places, 3);
    CHECK(places_take(places, 1));
    CHECK(!places_take(places, 1));
    places_free(places);
}

TEST(a_few_places_are_anybodys)
{
    struct places *places = places_new(3);
    for (int i = 0; i < 3; i++)
        CHECK(places_take(places, 1));
    CHECK(!places_take(places, 2));
    places_free(places);
    places_free(NULL);
}
