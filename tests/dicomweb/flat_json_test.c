/* SPDX-License-Identifier: MIT */
#include "dicomweb/flat_json.h"

#include <stdio.h>

#include "tests/test.h"

/* "name=value,name='text';..." of the objects, or "refused". */
static const char *read_bytes(struct slice bytes)
{
    static char text[512];
    struct flat_json json;
    struct flat_member member;
    struct error err;
    bool object = false;
    bool found;
    size_t size = 0;
    text[0] = '\0';
    if (!flat_json_open(&json, bytes, &err))
        return "refused";
    for (;;) {
        if (!flat_json_object(&json, &object, &err))
            return "refused";
        if (!object)
            return text;
        for (;;) {
            if (!flat_json_member(&json, &member, &found, &err))
                return "refused";
            if (!found)
                break;
            const char *quote = member.is_text ? "'" : "";
            size += (size_t)snprintf(text + size, sizeof(text) - size, "%s=%s%s%s,", member.name,
                                     quote, member.value, quote);
        }
        size += (size_t)snprintf(text + size, sizeof(text) - size, ";");
    }
}

static const char *read_text(const char *text)
{
    return read_bytes(slice_text(text));
}

TEST(an_object_or_a_list_of_objects_is_read_member_by_member)
{
    CHECK_TEXT(read_text("{\"a\":\"b\",\"n\":-1.5,\"t\":true,\"z\":null}"),
               "a='b',n=-1.5,t=true,z=null,;");
    CHECK_TEXT(read_text(" [ {\"a\" : \"1\"} , {} ] "), "a='1',;;");
    CHECK_TEXT(read_text("[]"), "");
    CHECK_TEXT(read_text("{\"\\u00e9\\ud83d\\ude00\":\"\\n\\\"\"}"),
               "\xC3\xA9\xF0\x9F\x98\x80='\n\"',;");
}

TEST(what_is_deeper_or_no_json_is_refused)
{
    static const char *const texts[] = {
        "",
        "a",
        "{",
        "[{}",
        "{}{}",
        "[{},]",
        "{\"a\":[]}",
        "{\"a\":{}}",
        "{\"a\"}",
        "{\"a\":\"b}",
        "{a:1}",
        "{\"a\":1,}",
        "[1]",
        "{\"a\":1 2}",
        "{\"\\ud800\":1}",
        "{\"\\u0000\":1}",
        "{\"\\x\":1}",
        "{\"a\n\":1}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        CHECK_TEXT(read_text(texts[i]), "refused");
}

TEST(what_is_no_utf8_or_ends_with_a_nul_is_refused)
{
    CHECK_TEXT(read_text("{\"a\":\"\xD1\"}"), "refused");
    CHECK_TEXT(read_text("{\"\xC0\xAF\":1}"), "refused");
    CHECK_TEXT(read_bytes(slice_of("{}\0x", 4)), "refused");
    CHECK_TEXT(read_bytes(slice_of("[{}]\0", 5)), "refused");
}
