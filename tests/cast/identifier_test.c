/* SPDX-License-Identifier: MIT */
#include "cast/identifier.h"

#include "cast/patient_id.h"
#include "cast/text.h"
#include "cast/uuid.h"
#include "tests/cast/sample.h"

static void check_query(const char *system, const char *value, const char *expected)
{
    cJSON *identifier = identifier_of_system(NULL, system, value);
    struct buffer query = buffer_up_to(1024);
    identifier_query(identifier, &query);
    CHECK_TEXT(buffer_text(&query), expected);
    buffer_release(&query);
    cJSON_Delete(identifier);
}

TEST(a_search_is_escaped_for_fhir_and_then_for_the_url)
{
    check_query("urn:oid:1.2", "A1", "identifier=urn%3Aoid%3A1.2%7CA1");
    check_query("http://x/y", "a|b,c$d\\e",
                "identifier=http%3A%2F%2Fx%2Fy%7Ca%5C%7Cb%5C%2Cc%5C%24d%5C%5Ce");
    check_query("s", "Müller & Co+%", "identifier=s%7CM%C3%BCller%20%26%20Co%2B%25");
}

static void check_issuer(const char *item_text, const char *expected)
{
    struct sample_dataset *item = sample_dataset(item_text);
    struct issuer issuer = issuer_of_item(item->dataset, "urn:own");
    CHECK_TEXT(buffer_text(&issuer.system), expected);
    issuer_release(&issuer);
    sample_dataset_free(item);
}

TEST(an_issuer_is_a_system_by_its_universal_id)
{
    check_issuer("00400032 UT 1.2.840.99\n00400033 CS ISO", "urn:oid:1.2.840.99");
    check_issuer("00400032 UT 6BA7B810-9DAD-11D1-80B4-00C04FD430C8\n00400033 CS UUID",
                 "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    check_issuer("00400032 UT https://h.example/mrn\n00400033 CS URI", "https://h.example/mrn");
    check_issuer("00400032 UT h.example\n00400033 CS DNS", "http://h.example");
}

TEST(an_issuer_with_only_a_name_is_a_system_of_ours)
{
    check_issuer("00400031 UT General Hospital", "urn:own/issuer/General%20Hospital");
    check_issuer("00400032 UT not.an.oid\n00400033 CS ISO", "urn:own/issuer/not.an.oid");
    check_issuer("00400031 UT Ward\n00400032 UT x y\n00400033 CS URI", "urn:own/issuer/Ward");
    check_issuer("00080100 SH X", "");
}

TEST(an_issuer_text_that_is_a_uri_or_oid_is_taken_at_its_word)
{
    struct issuer issuer = issuer_of_text("1.2.3.4", "urn:own");
    CHECK_TEXT(buffer_text(&issuer.system), "urn:oid:1.2.3.4");
    issuer_release(&issuer);
    issuer = issuer_of_text("http://h.example/ids", "urn:own");
    CHECK_TEXT(buffer_text(&issuer.system), "http://h.example/ids");
    issuer_release(&issuer);
    issuer = issuer_of_text("", "urn:own");
    CHECK_INT(issuer.system.size, 0);
    issuer_release(&issuer);
}

static cJSON *patient_of(const char *system, const char *value)
{
    cJSON *patient = json_object();
    json_append_take(json_need_array(patient, "identifier"),
                     identifier_of_system("usual", system, value));
    return patient;
}

static void check_patient_id(const char *system, const char *value, enum patient_id_kind kind)
{
    char id[FHIR_ID_SIZE], read[FHIR_ID_SIZE];
    cJSON *patient = patient_of(system, value);
    patient_id_make(patient, id);
    CHECK(strlen(id) <= 64);
    CHECK_INT(strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-."),
              strlen(id));
    CHECK_INT(patient_id_read(id, read), kind);
    if (kind != PATIENT_ID_HASH)
        CHECK_TEXT(read, value);
    cJSON_Delete(patient);
}

TEST(a_patients_id_can_be_read_back)
{
    char value[64] = "";
    for (size_t size = 1; size <= PATIENT_ID_MAX; size++) {
        value[size - 1] = (char)('!' + size);
        check_patient_id("urn:own", value, PATIENT_ID_VALUE);
    }
    check_patient_id("urn:own", "Ünïcödé 山田", PATIENT_ID_VALUE);
    check_patient_id("urn:own", "0123456789012345678901234567890123456789012", PATIENT_ID_HASH);
    check_patient_id("urn:own/no-pid", "1.2.3", PATIENT_ID_STUDY);
    check_patient_id("urn:own/no-pid",
                     "1.2.826.0.1.3680043.8.498.12345678901234567890123456789012345678",
                     PATIENT_ID_STUDY);
}

TEST(patients_of_two_issuers_have_two_ids)
{
    char first[FHIR_ID_SIZE], second[FHIR_ID_SIZE];
    cJSON *patient = patient_of("urn:a", "1");
    patient_id_make(patient, first);
    cJSON_Delete(patient);
    patient = patient_of("urn:b", "1");
    patient_id_make(patient, second);
    cJSON_Delete(patient);
    CHECK(strcmp(first, second) != 0);
}

TEST(an_id_that_is_none_of_ours_is_refused)
{
    char value[FHIR_ID_SIZE];
    static const char *const ids[] = {
        "", "p", "pAA", "x123", "p_____________", "s", "h", "hAAAA"
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        CHECK_INT(patient_id_read(ids[i], value), PATIENT_ID_NONE);
}

TEST(sha1_gives_the_digests_of_its_standard)
{
    static const uint8_t abc[] = { 0xA9, 0x99, 0x3E, 0x36, 0x47, 0x06, 0x81, 0x6A, 0xBA, 0x3E,
                                   0x25, 0x71, 0x78, 0x50, 0xC2, 0x6C, 0x9C, 0xD0, 0xD8, 0x9D };
    static const uint8_t two_blocks[] = { 0x84, 0x98, 0x3E, 0x44, 0x1C, 0x3B, 0xD2,
                                          0x6E, 0xBA, 0xAE, 0x4A, 0xA1, 0xF9, 0x51,
                                          0x29, 0xE5, 0xE5, 0x46, 0x70, 0xF1 };
    uint8_t digest[SHA1_SIZE];
    sha1(slice_text("a"), slice_text("bc"), digest);
    CHECK(memcmp(digest, abc, sizeof abc) == 0);
    sha1(slice_text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), slice_text(""),
         digest);
    CHECK(memcmp(digest, two_blocks, sizeof two_blocks) == 0);
}

TEST(text_is_cleaned_for_fhir)
{
    char text[64] = "\x01  a\x02\tb \xC2\x85  ";
    CHECK(text_clean(text));
    CHECK_TEXT(text, "a\tb");
    char code[64] = "  A \t B  ";
    CHECK(text_clean_code(code));
    CHECK_TEXT(code, "A B");
    char blank[64] = " \xE3\x80\x80\xC2\xA0\x7F";
    CHECK(!text_clean(blank));
    CHECK_TEXT(blank, "");
}
