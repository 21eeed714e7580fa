/* SPDX-License-Identifier: MIT */
#include "cast/json.h"

#include "tests/cast/sample.h"

static void check_round_trip(const char *text)
{
    struct error err;
    cJSON *tree = NULL;
    struct buffer printed = buffer_up_to(1 << 16);
    CHECK_OK(json_parse(slice_text(text), &tree, &err), err);
    json_print(tree, &printed);
    CHECK_TEXT(buffer_text(&printed), text);
    buffer_release(&printed);
    cJSON_Delete(tree);
}

static bool is_refused(const char *text)
{
    cJSON *tree = NULL;
    bool refused = !json_parse(slice_text(text), &tree, NULL) && !tree;
    cJSON_Delete(tree);
    return refused;
}

TEST(numbers_go_back_as_they_came)
{
    check_round_trip("{\"a\":1.50,\"b\":[0.10,-0.0,1E+20,123456789012345678901234567890.5]}");
    check_round_trip("[1,[2.0,{\"x\":3.00}],4.000,\"5.0 \\\" 6\"]");
    check_round_trip("1.10");
    check_round_trip("{\"long\":0."
                     "1234567890123456789012345678901234567890123456789012345678901234567890123}");
}

TEST(the_order_of_members_is_kept)
{
    check_round_trip("{\"z\":{},\"a\":[],\"m\":null,\"b\":true,\"y\":\"\"}");
}

TEST(what_is_no_json_is_refused)
{
    static const char *const texts[] = { "",      "{",     "[1,]",          "{\"a\":01}",
                                         "[1.]",  "[-]",   "[1e]",          "nul",
                                         "[1] 2", "\"abc", "[\"\\u0000\"]", "[+1]",
                                         "[.5]" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK(is_refused(texts[i]));
    CHECK(!json_parse(slice_of("[1\0]", 4), &(cJSON *){ NULL }, NULL));
}

TEST(deep_nesting_is_refused_before_it_is_parsed)
{
    char text[2001];
    memset(text, '[', 1000);
    memset(text + 1000, ']', 1000);
    text[2000] = 0;
    CHECK(is_refused(text));
    memset(text, ' ', 1000 - JSON_MAX_DEPTH);
    text[1000 + JSON_MAX_DEPTH] = 0;
    CHECK(!is_refused(text));
}

TEST(empty_texts_and_containers_are_not_added)
{
    cJSON *object = json_object();
    json_set_text(object, "a", "");
    json_set_text(object, "b", NULL);
    json_set_take(object, "c", json_array());
    json_set_take(object, "d", json_object());
    CHECK_JSON(object, "{}");
    cJSON_Delete(object);
}

TEST(a_text_of_very_many_values_is_refused_before_it_takes_memory)
{
    struct buffer text = buffer_up_to(64 << 20);
    struct error err = { 0 };
    cJSON *tree = NULL;
    buffer_append_byte(&text, '[');
    for (size_t i = 0; i < JSON_MAX_VALUES; i++)
        buffer_append_text(&text, "1,");
    buffer_append_text(&text, "1]");
    CHECK(!json_parse(buffer_slice(&text), &tree, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    CHECK(!tree);
    buffer_release(&text);
}

TEST(a_decimal_string_is_a_number_with_its_digits)
{
    static const struct {
        const char *ds;
        const char *number; /* NULL: it is none */
    } cases[] = {
        { "12.50", "12.50" },
        { "+1", "1" },
        { " -0.5 ", "-0.5" },
        { ".5", "0.5" },
        { "5.", "5" },
        { "007", "7" },
        { "0", "0" },
        { "000", "0" },
        { "-.25", "-0.25" },
        { "1E-3", "1E-3" },
        { "1.5e+10", "1.5e+10" },
        { "", NULL },
        { ".", NULL },
        { "-", NULL },
        { "1 2", NULL },
        { "1,5", NULL },
        { "NaN", NULL },
        { "1e", NULL },
        { "0x10", NULL },
        { "--1", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *number = json_decimal(cases[i].ds);
        if (!cases[i].number != !number)
            test_fail(__FILE__, __LINE__, "\"%s\"", cases[i].ds);
        if (number)
            CHECK_TEXT(number->valuestring, cases[i].number);
        cJSON_Delete(number);
    }
}
