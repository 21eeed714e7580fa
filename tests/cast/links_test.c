/* SPDX-License-Identifier: MIT */
#include "cast/links.h"

#include "tests/cast/sample.h"

static bool add(struct links *links, const char *type, const char *identifier,
                const char *reference, bool ours)
{
    cJSON *tree = sample_json(identifier);
    bool added = links_add(links, type, tree, reference, ours);
    cJSON_Delete(tree);
    return added;
}

TEST(logical_references_that_are_known_become_literal_ones)
{
    struct links *links = links_new();
    CHECK(add(links, "Patient", "{'system':'s','value':'1'}", "Patient/7", true));
    CHECK(add(links, "Practitioner", "{'system':'s','value':'1'}", "Practitioner/8", false));
    cJSON *tree = sample_json(
        "{'identifier':[{'system':'s','value':'1'}],"
        "'subject':{'type':'Patient','identifier':{'use':'usual','system':'s','value':'1'}},"
        "'series':[{'performer':[{'actor':{'type':'Practitioner','display':'x',"
        "'identifier':{'system':'s','value':'1'}}},"
        "{'actor':{'type':'Practitioner','identifier':{'system':'s','value':'2'}}}]}]}");
    CHECK(links_apply(links, tree));
    CHECK_JSON(tree,
               "{'identifier':[{'system':'s','value':'1'}],"
               "'subject':{'reference':'Patient/7'},"
               "'series':[{'performer':[{'actor':{'reference':'Practitioner/8',"
               "'type':'Practitioner','display':'x','identifier':{'system':'s','value':'1'}}},"
               "{'actor':{'type':'Practitioner','identifier':{'system':'s','value':'2'}}}]}]}");
    CHECK(!links_apply(links, tree)); /* there is nothing left to do */
    cJSON_Delete(tree);
    links_free(links);
}

TEST(a_reference_that_is_literal_already_stays)
{
    struct links *links = links_new();
    static const char text[] = "{'subject':{'reference':'Patient/1','type':'Patient',"
                               "'identifier':{'system':'s','value':'1'}}}";
    CHECK(add(links, "Patient", "{'system':'s','value':'1'}", "Patient/7", true));
    cJSON *tree = sample_json(text);
    CHECK(!links_apply(links, tree));
    CHECK_JSON(tree, text);
    cJSON_Delete(tree);
    links_free(links);
}

TEST(the_first_word_about_an_identifier_stays)
{
    struct links *links = links_new();
    char value[64], reference[64];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 500; i++) {
            snprintf(value, sizeof value, "{'value':'%d'}", i * 7919 % 500);
            snprintf(reference, sizeof reference, "Device/%d-%d", i * 7919 % 500, round);
            CHECK_INT(add(links, "Device", value, reference, false), round == 0);
        }
    CHECK_INT(links_count(links), 500);
    cJSON *identifier = sample_json("{'value':'123'}");
    CHECK_TEXT(links_find(links, "Device", identifier), "Device/123-0");
    CHECK(!links_find(links, "Patient", identifier));
    cJSON_Delete(identifier);
    links_free(links);
}
