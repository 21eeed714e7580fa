/* SPDX-License-Identifier: MIT */
#include "cast/bundle.h"

#include "cast/search_answer.h"
#include "tests/cast/sample.h"

static struct bundle *bundle_of(const char *created, const char *updated)
{
    struct bundle *bundle = bundle_new("http://f/r4");
    if (created)
        bundle_create_take(bundle, sample_json(created), true, NULL);
    if (updated)
        bundle_update_take(bundle, sample_json(updated));
    return bundle;
}

static const char patient[] =
    "{'resourceType':'Patient','identifier':[{'system':'urn:a','value':'x|y'}]}";

static void check_bundle(struct bundle *bundle, const char *expected)
{
    struct buffer text = buffer_up_to(1 << 16);
    struct error err;
    cJSON *tree = NULL;
    bundle_print(bundle, &text);
    CHECK_OK(json_parse(buffer_slice(&text), &tree, &err), err);
    CHECK_JSON(tree, expected);
    cJSON_Delete(tree);
    buffer_release(&text);
    bundle_free(bundle);
}

TEST(FHIR_01_what_is_new_is_created_on_condition_under_a_uuid_of_its_identity)
{
    check_bundle(bundle_of(patient, NULL),
                 "{'resourceType':'Bundle','type':'transaction','entry':[{"
                 "'fullUrl':'urn:uuid:eb83a19a-0ab4-59fe-a2e1-6a9e6080fd95',"
                 "'resource':{'resourceType':'Patient','identifier':[{'system':'urn:a',"
                 "'value':'x|y'}]},'request':{'method':'POST','url':'Patient',"
                 "'ifNoneExist':'identifier=urn%3Aa%7Cx%5C%7Cy'}}]}");
}

TEST(FHIR_03_what_is_there_is_updated_if_it_is_still_the_version_read)
{
    check_bundle(bundle_of(NULL, "{'resourceType':'Patient','id':'7','meta':{'versionId':'3',"
                                 "'lastUpdated':'2026-01-01T00:00:00Z','source':'s'}}"),
                 "{'resourceType':'Bundle','type':'transaction','entry':[{"
                 "'fullUrl':'http://f/r4/Patient/7',"
                 "'resource':{'resourceType':'Patient','id':'7','meta':{'source':'s'}},"
                 "'request':{'method':'PUT','url':'Patient/7','ifMatch':'W/\\u00223\\u0022'}}]}");
    check_bundle(bundle_of(NULL, "{'resourceType':'Patient','id':'7'}"),
                 "{'resourceType':'Bundle','type':'transaction','entry':[{"
                 "'fullUrl':'http://f/r4/Patient/7',"
                 "'resource':{'resourceType':'Patient','id':'7'},"
                 "'request':{'method':'PUT','url':'Patient/7'}}]}");
}

TEST(one_identity_has_one_uuid_in_every_bundle)
{
    struct bundle *first = bundle_new("http://f/r4"), *second = bundle_new("http://f/r4");
    const char *a = bundle_create_take(first, sample_json(patient), true, NULL);
    const char *b = bundle_create_take(second, sample_json(patient), false, NULL);
    const char *c = bundle_create_take(
        second,
        sample_json("{'resourceType':'Patient','identifier':[{'system':'urn:b','value':'1'}]}"),
        true, NULL);
    CHECK_TEXT(a, b);
    CHECK(strcmp(a, c) != 0);
    CHECK_INT(strlen(a), strlen("urn:uuid:") + 36);
    CHECK_INT(a[strlen("urn:uuid:") + 14], '5');
    bundle_free(first);
    bundle_free(second);
}

static bool check_answer(const char *text, enum bundle_answer *result)
{
    struct bundle *bundle = bundle_of(patient, "{'resourceType':'Endpoint','id':'1'}");
    cJSON *tree = sample_json(text);
    struct buffer answer = buffer_up_to(1 << 16);
    json_print(tree, &answer);
    bool ok = bundle_check(bundle, buffer_slice(&answer), result, NULL);
    buffer_release(&answer);
    cJSON_Delete(tree);
    bundle_free(bundle);
    return ok;
}

TEST(an_answer_says_whether_a_conditional_create_found_somebody)
{
    enum bundle_answer result;
    CHECK(check_answer("{'resourceType':'Bundle','type':'transaction-response','entry':["
                       "{'response':{'status':'201 Created'}},{'response':{'status':'200 OK'}}]}",
                       &result));
    CHECK_INT(result, BUNDLE_WRITTEN);
    CHECK(check_answer("{'resourceType':'Bundle','entry':[{'response':{'status':'200'}},"
                       "{'response':{'status':'200'}}]}",
                       &result));
    CHECK_INT(result, BUNDLE_EXISTED);
}

TEST(an_answer_that_does_not_fit_is_none)
{
    static const char *const answers[] = {
        "{'resourceType':'OperationOutcome'}",
        "{'resourceType':'Bundle','entry':[{'response':{'status':'201'}}]}",
        "{'resourceType':'Bundle','entry':[{'response':{'status':'201'}},"
        "{'response':{'status':'500'}}]}",
        "{'resourceType':'Bundle','entry':[{'response':{'status':'201'}},{}]}",
        "[]",
    };
    enum bundle_answer result;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        CHECK(!check_answer(answers[i], &result));
}

/* --- what a search found --- */

static const char *best_of(const char *text, size_t *others, size_t *unverified)
{
    static char id[80];
    struct search_answer found;
    struct error err;
    cJSON *tree = sample_json(text);
    cJSON *identifier = sample_json("{'system':'s','value':'v'}");
    struct buffer answer = buffer_up_to(1 << 16);
    json_print(tree, &answer);
    CHECK_OK(search_answer_read(buffer_slice(&answer), "Patient", identifier, &found, &err), err);
    snprintf(id, sizeof id, "%s", found.best ? json_text(found.best, "id") : "none");
    *others = (size_t)cJSON_GetArraySize(found.others);
    *unverified = found.unverified;
    search_answer_release(&found);
    buffer_release(&answer);
    cJSON_Delete(identifier);
    cJSON_Delete(tree);
    return id;
}

#define FOUND(members)                                                                             \
    "{'resource':{'resourceType':'Patient','identifier':[{'system':'s','value':'v'}]," members "}" \
    "}"
#define TAGGED       "'meta':{'tag':[{'system':'urn:hounsfield','code':'dicom-cast'}]}"
#define SET(entries) "{'resourceType':'Bundle','type':'searchset','entry':[" entries "]}"

TEST(FHIR_03_of_several_the_oldest_with_our_tag_is_taken)
{
    size_t others, unverified;
    CHECK_TEXT(
        best_of(SET(FOUND("'id':'3'") "," FOUND("'id':'20'," TAGGED) "," FOUND("'id':'9'," TAGGED)),
                &others, &unverified),
        "9");
    CHECK_INT(others, 2);
    CHECK_TEXT(best_of(SET(FOUND("'id':'b'") "," FOUND("'id':'a'")), &others, &unverified), "a");
    CHECK_TEXT(best_of(SET(FOUND("'id':'1'," TAGGED ",'link':[{'type':'replaced-by',"
                                 "'other':{'reference':'Patient/2'}}]") "," FOUND("'id':'2'")),
                       &others, &unverified),
               "2");
}

TEST(a_match_that_does_not_carry_the_identifier_is_none)
{
    size_t others, unverified;
    CHECK_TEXT(best_of(SET("{'resource':{'resourceType':'Patient','id':'1','identifier':["
                           "{'system':'s','value':'V'}]}},{'resource':{'resourceType':"
                           "'OperationOutcome'}}"),
                       &others, &unverified),
               "none");
    CHECK_INT(unverified, 1);
    CHECK_TEXT(best_of("{'resourceType':'Bundle','total':0}", &others, &unverified), "none");
    CHECK_INT(unverified, 0);
}

TEST(an_id_that_would_lead_elsewhere_is_not_followed)
{
    size_t others, unverified;
    CHECK_TEXT(best_of(SET(FOUND("'id':'../x?y'")), &others, &unverified), "none");
    cJSON *merged = sample_json("{'link':[{'type':'replaced-by','other':{'reference':"
                                "'http://elsewhere/Patient/2'}},{'type':'refer','other':"
                                "{'reference':'Patient/3'}}]}");
    CHECK(!search_answer_survivor(merged));
    cJSON_Delete(merged);
}

TEST(FHIR_05_a_deletion_is_an_entry_with_the_version_that_was_read)
{
    struct bundle *bundle = bundle_new("http://fhir.example/r4");
    struct buffer text = buffer_up_to(4096);
    cJSON *held = sample_json("{'resourceType':'Observation','id':'7','meta':{'versionId':'3'}}");
    bundle_delete(bundle, held);
    bundle_print(bundle, &text);
    cJSON *tree = NULL;
    struct error err;
    CHECK_OK(json_parse(buffer_slice(&text), &tree, &err), err);
    CHECK_JSON(sample_at(tree, "entry/0"), "{'request':{'method':'DELETE','url':'Observation/7',"
                                           "'ifMatch':'W/\\\"3\\\"'}}");
    cJSON_Delete(tree);
    cJSON_Delete(held);
    buffer_release(&text);
    bundle_free(bundle);
}
