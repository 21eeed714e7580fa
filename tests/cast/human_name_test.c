/* SPDX-License-Identifier: MIT */
#include "cast/human_name.h"

#include "tests/cast/sample.h"

static void check_names(const char *pn, const char *use, const char *expected)
{
    cJSON *names = json_array();
    human_name_append(names, pn, use);
    CHECK_JSON(names, expected);
    cJSON_Delete(names);
}

TEST(five_components_become_the_parts_of_a_name)
{
    check_names("ADAMS^JOHN ROBERT^QUINCY^REV.^B.A. M.DIV.", "official",
                "[{'use':'official','text':'REV. JOHN ROBERT QUINCY ADAMS, B.A. M.DIV.',"
                "'family':'ADAMS','given':['JOHN','ROBERT','QUINCY'],'prefix':['REV.'],"
                "'suffix':['B.A. M.DIV.']}]");
}

TEST(FHIR_08_each_of_three_groups_is_a_name_marked_as_such)
{
    check_names("Yamada^Tarou=山田^太郎=やまだ^たろう", "official",
                "[{'use':'official','text':'Tarou Yamada','family':'Yamada','given':['Tarou']},"
                "{'extension':[{'url':'http://hl7.org/fhir/StructureDefinition/"
                "iso21090-EN-representation','valueCode':'IDE'}],'use':'official',"
                "'text':'山田 太郎','family':'山田','given':['太郎']},"
                "{'extension':[{'url':'http://hl7.org/fhir/StructureDefinition/"
                "iso21090-EN-representation','valueCode':'SYL'}],'use':'official',"
                "'text':'やまだ たろう','family':'やまだ','given':['たろう']}]");
}

TEST(an_empty_alphabetic_group_leaves_the_ideographic_one)
{
    check_names("=洪^吉洞", NULL,
                "[{'extension':[{'url':'http://hl7.org/fhir/StructureDefinition/"
                "iso21090-EN-representation','valueCode':'IDE'}],'text':'洪 吉洞',"
                "'family':'洪','given':['吉洞']}]");
}

TEST(trailing_delimiters_and_spaces_say_nothing)
{
    check_names(" DOE ^ JANE ^^^==", NULL, "[{'text':'JANE DOE','family':'DOE','given':['JANE']}]");
    check_names("DOE", NULL, "[{'text':'DOE','family':'DOE'}]");
    check_names("^JANE", NULL, "[{'text':'JANE','given':['JANE']}]");
}

TEST(placeholders_are_no_names)
{
    static const char *const names[] = { "",  "^",       "^^^^",      "=",        "==",
                                         " ", "UNKNOWN", "Anonymous", "^UNKNOWN^" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_names(names[i], "official", "[]");
}

TEST(what_has_more_parts_than_a_name_is_kept_as_text)
{
    check_names("A^B^C^D^E^F", NULL, "[{'text':'A^B^C^D^E^F'}]");
    check_names("A=B=C=D", NULL, "[{'text':'A=B=C=D'}]");
}

TEST(a_display_is_the_first_group_that_has_a_name)
{
    char text[64];
    CHECK(human_name_text("^^=山田^太郎", text, sizeof text));
    CHECK_TEXT(text, "山田 太郎");
    CHECK(human_name_text("House^Gregory^^Dr.", text, sizeof text));
    CHECK_TEXT(text, "Dr. Gregory House");
    CHECK(!human_name_text("^^", text, sizeof text));
}
