/* SPDX-License-Identifier: MIT */
#include "cast/patient_link.h"

#include "cast/merge.h"
#include "tests/cast/sample.h"

#define OURS                                                                                       \
    "'meta':{'source':'urn:hounsfield:TEST',"                                                      \
    "'tag':[{'system':'urn:hounsfield','code':'dicom-cast'}]}"
#define LINK(type, reference) "{'other':{'reference':'" reference "'},'type':'" type "'}"

static bool apply(bool (*change)(cJSON *patient, const char *reference), const char *held_text,
                  const char *reference, const char *expected)
{
    cJSON *held = sample_json(held_text);
    bool changed = change(held, reference);
    CHECK_JSON(held, expected);
    CHECK(!change(held, reference));
    cJSON_Delete(held);
    return changed;
}

TEST(FHIR_05_a_merged_patient_is_linked_once_and_no_longer_active)
{
    CHECK(apply(patient_link_replaced_by, "{" OURS "}", "Patient/2",
                "{" OURS ",'link':[" LINK("replaced-by", "Patient/2") "],'active':false}"));
    CHECK(apply(
        patient_link_replaces, "{" OURS ",'link':[" LINK("seealso", "Patient/9") "]}", "Patient/1",
        "{" OURS ",'link':[" LINK("seealso", "Patient/9") "," LINK("replaces", "Patient/1") "]}"));
    /* The word of others: who was merged already, and Patients that are not ours. */
    const char *merged = "{" OURS ",'link':[" LINK("replaced-by", "Patient/7") "]}";
    CHECK(!apply(patient_link_replaced_by, merged, "Patient/2", merged));
    CHECK(!apply(patient_link_replaced_by, "{'id':'1'}", "Patient/2", "{'id':'1'}"));
    CHECK(!apply(patient_link_replaces, "{'id':'1'}", "Patient/2", "{'id':'1'}"));
}

TEST(FHIR_05_a_merge_the_other_way_round_revives_who_was_gone)
{
    CHECK(apply(patient_link_revive,
                "{" OURS ",'active':false,'link':[" LINK("replaced-by", "Patient/2") "]}",
                "Patient/2", "{" OURS "}"));
    CHECK(apply(patient_link_replaced_by, "{" OURS ",'link':[" LINK("replaces", "Patient/1") "]}",
                "Patient/1",
                "{" OURS ",'link':[" LINK("replaced-by", "Patient/1") "],'active':false}"));
    const char *others = "{" OURS ",'active':false,'link':[" LINK("replaced-by", "Patient/7") "]}";
    CHECK(!apply(patient_link_revive, others, "Patient/2", others));
}

TEST(FHIR_05_a_merge_that_was_undone_leaves_no_link_with_the_survivor)
{
    CHECK(apply(patient_link_release,
                "{" OURS
                ",'link':[" LINK("replaces", "Patient/1") "," LINK("replaces", "Patient/3") "]}",
                "Patient/1", "{" OURS ",'link':[" LINK("replaces", "Patient/3") "]}"));
    const char *theirs = "{'link':[" LINK("replaces", "Patient/1") "]}";
    CHECK(!apply(patient_link_release, theirs, "Patient/1", theirs));
}

/* --- what a study said before --- */

#define ORIGINAL "04000561 SQ\n>04000550 SQ\n"

static void map_header(const char *header, struct mapping *mapping)
{
    struct sample *sample = sample_new(header);
    mapping_init(mapping, &sample->study, &sample_options);
    sample_free(sample);
}

TEST(FHIR_05_a_former_patient_id_is_found_with_the_issuer_that_it_had)
{
    struct mapping mapping;
    map_header("00100010 PN DOE^JANE\n00100020 LO REAL\n00100021 LO Clinic\n" ORIGINAL
               ">>00100010 PN UNKNOWN^TRAUMA\n>>00100020 LO TEMP1\n",
               &mapping);
    CHECK_TEXT(mapping.patient_id, "REAL");
    CHECK_INT(mapping.former_count, 1);
    CHECK_TEXT(mapping.formers[0].id, "TEMP1");
    CHECK_TEXT(mapping.formers[0].issuer, "Clinic");
    CHECK_TEXT(json_text(mapping.formers[0].identifier, "system"),
               "urn:hounsfield:TEST/issuer/Clinic");
    mapping_release(&mapping);
    /* It had none: what it has now is not put beside it. */
    map_header("00100020 LO REAL\n00100021 LO Clinic\n" ORIGINAL
               ">>00100020 LO TEMP1\n>>00100021 LO \n",
               &mapping);
    CHECK_TEXT(mapping.formers[0].issuer, "");
    CHECK_TEXT(json_text(mapping.formers[0].identifier, "system"), "urn:hounsfield:TEST");
    mapping_release(&mapping);
}

TEST(what_was_not_amended_is_not_of_before)
{
    struct mapping mapping;
    map_header("00100010 PN DOE^JANE\n00100020 LO P\n00100030 DA 19700102\n00100040 CS F\n" ORIGINAL
               ">>00100010 PN DO^JANE\n>>00100040 CS F\n",
               &mapping);
    CHECK_INT(mapping.former_count, 1);
    CHECK(!mapping.formers[0].identifier);
    CHECK_JSON(mapping.formers[0].patient,
               "{'name':[{'use':'official','text':'JANE DO','family':'DO','given':['JANE']}]}");
    mapping_release(&mapping);
    /* Items without end, and without content. */
    struct buffer header = buffer_up_to(1 << 16);
    buffer_append_text(&header, "00100020 LO P\n" ORIGINAL ">>00100020 LO P0\n");
    for (int i = 0; i < 100; i++)
        buffer_append_text(&header, ">-\n>04000550 SQ\n>>00100020 LO P1\n");
    map_header(buffer_text(&header), &mapping);
    CHECK_INT(mapping.former_count, MAPPING_FORMERS);
    mapping_release(&mapping);
    buffer_release(&header);
    map_header("00100020 LO \n" ORIGINAL ">>00100020 LO P0\n", &mapping);
    CHECK_INT(mapping.former_count, 0);
    mapping_release(&mapping);
    map_header("00100020 LO P\n00120062 CS YES\n" ORIGINAL ">>00100020 LO P0\n", &mapping);
    CHECK_INT(mapping.former_count, 0);
    mapping_release(&mapping);
}

static bool amend(const char *held_text, const char *expected)
{
    struct mapping mapping;
    cJSON *held = sample_json(held_text);
    map_header("00100010 PN DOE^JANE\n00100020 LO P\n00100030 DA 19700102\n" ORIGINAL
               ">>00100010 PN DO^JANE\n>>00100030 DA 19700101\n",
               &mapping);
    bool changed = merge_amended_patient(held, mapping.formers[0].patient, mapping.patient);
    changed = merge_resource(held, mapping.patient) || changed;
    CHECK_JSON(held, expected);
    CHECK(!merge_amended_patient(held, mapping.formers[0].patient, mapping.patient));
    mapping_release(&mapping);
    cJSON_Delete(held);
    return changed;
}

#define IDENTIFIER                                                                                 \
    "'identifier':[{'use':'usual','type':{'coding':[{'system':"                                    \
    "'http://terminology.hl7.org/CodeSystem/v2-0203','code':'MR'}]},"                              \
    "'system':'urn:hounsfield:TEST','value':'P'}]"
#define NAME(family)                                                                               \
    "{'use':'official','text':'JANE " family "','family':'" family "','given':['JANE']}"

TEST(FHIR_05_what_a_patient_of_ours_said_is_amended_and_others_words_are_not)
{
    CHECK(amend("{'resourceType':'Patient'," OURS "," IDENTIFIER
                ",'name':[" NAME("DO") "],'birthDate':'1970-01-01'}",
                "{'resourceType':'Patient'," OURS "," IDENTIFIER
                ",'name':[" NAME("DOE") "],'birthDate':'1970-01-02'}"));
    /* Another name beside ours, and a birth date that somebody set right. */
    CHECK(amend("{'resourceType':'Patient'," OURS "," IDENTIFIER
                ",'name':[{'family':'Alias'}," NAME("DO") "],'birthDate':'1970-01-03'}",
                "{'resourceType':'Patient'," OURS "," IDENTIFIER
                ",'name':[{'family':'Alias'}," NAME("DOE") "],'birthDate':'1970-01-03'}"));
    const char *theirs = "{'resourceType':'Patient'," IDENTIFIER
                         ",'name':[" NAME("DO") "],'birthDate':'1970-01-01'}";
    CHECK(!amend(theirs, theirs));
}
