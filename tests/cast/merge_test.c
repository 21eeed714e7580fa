/* SPDX-License-Identifier: MIT */
#include "cast/merge.h"

#include "tests/cast/rich_sample.h"
#include "tests/cast/sample.h"

#define OURS "'meta':{'tag':[{'system':'urn:hounsfield','code':'dicom-cast'}]}"

/* Merges two literals; the result as printed, so that order and digits show. */
static bool merge_texts(const char *held_text, const char *mapped_text, const char *expected)
{
    cJSON *held = sample_json(held_text);
    cJSON *mapped = sample_json(mapped_text);
    bool changed = merge_resource(held, mapped);
    CHECK_JSON(held, expected);
    /* What was merged once is in step. */
    CHECK(!merge_resource(held, mapped));
    cJSON_Delete(held);
    cJSON_Delete(mapped);
    return changed;
}

static void check_order_and_digits(const char *held_text, const char *mapped_text,
                                   const char *expected)
{
    cJSON *held = sample_json(held_text);
    cJSON *mapped = sample_json(mapped_text);
    cJSON *wanted = sample_json(expected);
    struct buffer made_text = buffer_up_to(1 << 16), wanted_text = buffer_up_to(1 << 16);
    merge_resource(held, mapped);
    json_print(held, &made_text);
    json_print(wanted, &wanted_text);
    CHECK_TEXT(buffer_text(&made_text), buffer_text(&wanted_text));
    buffer_release(&made_text);
    buffer_release(&wanted_text);
    cJSON_Delete(held);
    cJSON_Delete(mapped);
    cJSON_Delete(wanted);
}

TEST(FHIR_04_what_the_server_has_already_is_not_written)
{
    struct sample *sample = rich_sample();
    struct mapping mapping;
    mapping_init(&mapping, &sample->study, &sample_options);
    mapping_set_references(mapping.imaging_study, "Patient/1", NULL, 0);
    cJSON *patient = json_copy(mapping.patient);
    cJSON *imaging_study = json_copy(mapping.imaging_study);
    cJSON *endpoint = json_copy(mapping.endpoints[0]);
    json_set_text(patient, "id", "1");
    /* What a server puts in on its own. */
    json_set_text(json_get(imaging_study, "meta"), "versionId", "3");
    json_set_text(json_get(imaging_study, "meta"), "source", "urn:hounsfield:TEST#17");
    CHECK(!merge_resource(patient, mapping.patient));
    CHECK(!merge_resource(imaging_study, mapping.imaging_study));
    CHECK(!merge_resource(endpoint, mapping.endpoints[0]));
    cJSON_Delete(patient);
    cJSON_Delete(imaging_study);
    cJSON_Delete(endpoint);
    mapping_release(&mapping);
    sample_free(sample);
}

/* --- Patient --- */

TEST(FHIR_04_a_patient_gets_what_it_lacks_and_keeps_all_it_has)
{
    CHECK(merge_texts(
        "{'resourceType':'Patient','id':'1','identifier':[{'system':'urn:x','value':'X'},"
        "{'system':'urn:p','value':'P'}],'telecom':[{'value':'123'}],'name':[{'family':'Doe'}]}",
        "{'resourceType':'Patient'," OURS ",'identifier':[{'system':'urn:p','value':'P'},"
        "{'system':'urn:q','value':'Q'}],'name':[{'family':'DOE'}],'gender':'female',"
        "'birthDate':'1950-07'}",
        "{'resourceType':'Patient','id':'1','identifier':[{'system':'urn:x','value':'X'},"
        "{'system':'urn:p','value':'P'},{'system':'urn:q','value':'Q'}],"
        "'telecom':[{'value':'123'}],'name':[{'family':'Doe'}],'gender':'female',"
        "'birthDate':'1950-07'}"));
}

TEST(a_patients_own_demographics_stay)
{
    CHECK(!merge_texts("{'resourceType':'Patient','identifier':[{'system':'s','value':'v'}],"
                       "'name':[{'text':'A'}],'gender':'male','birthDate':'1950-07-14'}",
                       "{'resourceType':'Patient','identifier':[{'system':'s','value':'v'}],"
                       "'name':[{'text':'B'}],'gender':'female','birthDate':'1951'}",
                       "{'resourceType':'Patient','identifier':[{'system':'s','value':'v'}],"
                       "'name':[{'text':'A'}],'gender':'male','birthDate':'1950-07-14'}"));
}

TEST(a_value_that_is_absent_for_a_reason_is_not_filled_in)
{
    CHECK(!merge_texts("{'resourceType':'Patient','_gender':{'extension':[{'url':'u',"
                       "'valueCode':'masked'}]}}",
                       "{'resourceType':'Patient','gender':'female'}",
                       "{'resourceType':'Patient','_gender':{'extension':[{'url':'u',"
                       "'valueCode':'masked'}]}}"));
}

TEST(a_difference_in_sex_or_birth_date_is_told)
{
    cJSON *held = sample_json("{'gender':'male','birthDate':'1950'}");
    cJSON *same = sample_json("{'gender':'male'}");
    cJSON *other = sample_json("{'gender':'male','birthDate':'1951'}");
    CHECK(!merge_patient_differs(held, same));
    CHECK(merge_patient_differs(held, other));
    cJSON_Delete(held);
    cJSON_Delete(same);
    cJSON_Delete(other);
}

/* --- ImagingStudy of ours --- */

TEST(FHIR_05_a_study_of_ours_agrees_with_the_archive_afterwards)
{
    CHECK(merge_texts("{'resourceType':'ImagingStudy'," OURS ",'status':'cancelled',"
                      "'description':'old','location':{'display':'gone'},'numberOfSeries':2,"
                      "'series':[{'uid':'1.1','number':1,'description':'gone',"
                      "'instance':[{'uid':'1.1.1'},{'uid':'1.1.2','number':2}]},"
                      "{'uid':'1.2','number':2}]}",
                      "{'resourceType':'ImagingStudy'," OURS ",'status':'available',"
                      "'description':'new','numberOfSeries':1,'series':[{'uid':'1.1','number':1,"
                      "'instance':[{'uid':'1.1.2','number':3}]}]}",
                      "{'resourceType':'ImagingStudy'," OURS ",'status':'available',"
                      "'description':'new','numberOfSeries':1,'series':[{'uid':'1.1','number':1,"
                      "'instance':[{'uid':'1.1.2','number':3}]}]}"));
}

TEST(FHIR_04_what_others_added_to_a_study_of_ours_stays)
{
    check_order_and_digits(
        "{'resourceType':'ImagingStudy','id':'7',"
        "'meta':{'versionId':'3','tag':[{'system':'x','code':'y'},"
        "{'system':'urn:hounsfield','code':'dicom-cast'}],'security':[{'code':'R'}]},"
        "'unknown':{'b':1.50,'a':[0.10,1E+3]},"
        "'identifier':[{'system':'urn:dicom:uid','value':'urn:oid:1'},{'system':'f','value':'F'}],"
        "'status':'available','note':[{'text':'seen'}],'basedOn':[{'reference':'ServiceRequest/"
        "1'}],"
        "'endpoint':[{'reference':'Endpoint/99'}],"
        "'series':[{'uid':'1.1','extension':[{'url':'dose','valueDecimal':12.340}],"
        "'endpoint':[{'reference':'Endpoint/5'}],'number':1,"
        "'instance':[{'extension':[{'url':'k','valueDecimal':0.00}],'uid':'1.1.1','number':1}]}]}",
        "{'resourceType':'ImagingStudy'," OURS ","
        "'identifier':[{'system':'urn:dicom:uid','value':'urn:oid:1'}],'status':'available',"
        "'basedOn':[{'type':'ServiceRequest'}],'endpoint':[{'reference':'Endpoint/1'}],"
        "'series':[{'uid':'1.1','number':2,'instance':[{'uid':'1.1.1','number':1},"
        "{'uid':'1.1.2','number':2}]}]}",
        "{'resourceType':'ImagingStudy','id':'7',"
        "'meta':{'versionId':'3','tag':[{'system':'x','code':'y'},"
        "{'system':'urn:hounsfield','code':'dicom-cast'}],'security':[{'code':'R'}]},"
        "'unknown':{'b':1.50,'a':[0.10,1E+3]},"
        "'identifier':[{'system':'urn:dicom:uid','value':'urn:oid:1'},{'system':'f','value':'F'}],"
        "'status':'available','note':[{'text':'seen'}],'basedOn':[{'reference':'ServiceRequest/"
        "1'}],"
        "'endpoint':[{'reference':'Endpoint/99'},{'reference':'Endpoint/1'}],"
        "'series':[{'uid':'1.1','extension':[{'url':'dose','valueDecimal':12.340}],"
        "'endpoint':[{'reference':'Endpoint/5'}],'number':2,"
        "'instance':[{'extension':[{'url':'k','valueDecimal':0.00}],'uid':'1.1.1','number':1},"
        "{'uid':'1.1.2','number':2}]}]}");
}

TEST(our_notes_are_replaced_and_others_stay)
{
    CHECK(merge_texts("{'resourceType':'ImagingStudy'," OURS ",'note':["
                      "{'authorString':'dicom-cast','text':'old'},{'text':'theirs'},"
                      "{'authorString':'dicom-cast','text':'kept'}]}",
                      "{'resourceType':'ImagingStudy'," OURS ",'note':["
                      "{'authorString':'dicom-cast','text':'kept'},"
                      "{'authorString':'dicom-cast','text':'new'}]}",
                      "{'resourceType':'ImagingStudy'," OURS ",'note':[{'text':'theirs'},"
                      "{'authorString':'dicom-cast','text':'kept'},"
                      "{'authorString':'dicom-cast','text':'new'}]}"));
    CHECK(merge_texts("{'resourceType':'ImagingStudy'," OURS ",'note':["
                      "{'authorString':'dicom-cast','text':'old'}]}",
                      "{'resourceType':'ImagingStudy'," OURS "}",
                      "{'resourceType':'ImagingStudy'," OURS "}"));
}

TEST(series_and_instances_come_into_the_archives_order)
{
    CHECK(merge_texts("{'resourceType':'ImagingStudy'," OURS ",'series':[{'uid':'2','x':1},"
                      "{'uid':'1','x':2}]}",
                      "{'resourceType':'ImagingStudy'," OURS ",'series':[{'uid':'1'},{'uid':'2'},"
                      "{'uid':'3'}]}",
                      "{'resourceType':'ImagingStudy'," OURS ",'series':[{'uid':'1','x':2},"
                      "{'uid':'2','x':1},{'uid':'3'}]}"));
}

/* --- others' resources --- */

TEST(a_study_that_others_made_only_gets_what_it_lacks)
{
    CHECK(merge_texts("{'resourceType':'ImagingStudy','status':'available','description':'theirs',"
                      "'subject':{'reference':'Patient/9'},'numberOfSeries':1,"
                      "'numberOfInstances':5,'series':[{'uid':'9','numberOfInstances':5}]}",
                      "{'resourceType':'ImagingStudy'," OURS ",'description':'ours',"
                      "'subject':{'reference':'Patient/1'},'started':'2026',"
                      "'endpoint':[{'reference':'Endpoint/1'}],'numberOfSeries':1,"
                      "'numberOfInstances':2,'series':[{'uid':'1','numberOfInstances':2}]}",
                      "{'resourceType':'ImagingStudy','status':'available','description':'theirs',"
                      "'subject':{'reference':'Patient/9'},'numberOfSeries':2,"
                      "'numberOfInstances':7,'series':[{'uid':'9','numberOfInstances':5},"
                      "{'uid':'1','numberOfInstances':2}],'started':'2026',"
                      "'endpoint':[{'reference':'Endpoint/1'}]}"));
}

/* `held` after an archive with this name has merged what it maps, and whether that changed it. */
static bool merge_archive(cJSON *held, const char *name, const char *elements)
{
    char *text = mem_format("{'resourceType':'ImagingStudy','meta':{'source':'urn:hounsfield:%s',"
                            "'tag':[{'system':'urn:hounsfield','code':'dicom-cast'}]},%s}",
                            name, elements);
    cJSON *mapped = sample_json(text);
    bool changed = merge_resource(held, mapped);
    cJSON_Delete(mapped);
    free(text);
    return changed;
}

#define CT_SERIES                                                                                  \
    "'modality':[{'code':'CT'}],'numberOfSeries':1,'numberOfInstances':2,'series':"                \
    "[{'uid':'1','modality':{'code':'CT'},'numberOfInstances':2,"                                  \
    "'instance':[{'uid':'1.1'},{'uid':'1.2'}]}]"
#define MR_SERIES                                                                                  \
    "'modality':[{'code':'MR'}],'numberOfSeries':1,'numberOfInstances':1,'series':"                \
    "[{'uid':'2','modality':{'code':'MR'},'numberOfInstances':1,'instance':[{'uid':'2.1'}]}]"

TEST(FHIR_05_series_of_two_archives_stand_beside_each_other_until_their_archive_has_them_no_more)
{
    cJSON *held = sample_json("{'resourceType':'ImagingStudy',"
                              "'meta':{'source':'urn:hounsfield:A',"
                              "'tag':[{'system':'urn:hounsfield','code':'dicom-cast'}]}}");
    CHECK(merge_archive(held, "A", CT_SERIES));
    CHECK(merge_archive(held, "B", MR_SERIES));
    CHECK_INT(cJSON_GetArraySize(sample_at(held, "series")), 2);
    CHECK_JSON(sample_at(held, "numberOfInstances"), "3");
    CHECK_JSON(sample_at(held, "series/1/extension"),
               "[{'url':'urn:hounsfield:source','valueUri':'urn:hounsfield:B'}]");
    CHECK(!merge_archive(held, "A", CT_SERIES));
    CHECK(!merge_archive(held, "B", MR_SERIES));
    CHECK_JSON(sample_at(held, "modality"), "[{'code':'CT'},{'code':'MR'}]");
    cJSON *both = json_copy(held);
    CHECK(merge_archive(held, "A", "'numberOfSeries':0,'numberOfInstances':0"));
    CHECK_JSON(sample_at(held, "modality"), "[{'code':'MR'}]");
    CHECK_JSON(sample_at(held, "numberOfInstances"), "1");
    CHECK(merge_archive(both, "B", "'numberOfSeries':0,'numberOfInstances':0"));
    CHECK(!merge_archive(both, "A", CT_SERIES));
    CHECK_INT(cJSON_GetArraySize(sample_at(both, "series")), 1);
    CHECK(!merge_detach_series(both, "urn:hounsfield:B"));
    CHECK(merge_archive(both, "B", MR_SERIES));
    CHECK(merge_detach_series(both, "urn:hounsfield:B"));
    CHECK(!merge_archive(both, "A", CT_SERIES));
    cJSON_Delete(both);
    cJSON_Delete(held);
}

TEST(FHIR_05_an_archive_with_a_part_of_anothers_series_takes_nothing_out_of_it)
{
    cJSON *held = sample_json("{'resourceType':'ImagingStudy',"
                              "'meta':{'source':'urn:hounsfield:A',"
                              "'tag':[{'system':'urn:hounsfield','code':'dicom-cast'}]}}");
    CHECK(merge_archive(held, "A", CT_SERIES));
    cJSON *before = json_copy(held);
    CHECK(!merge_archive(held, "B",
                         "'modality':[{'code':'CT'}],'series':[{'uid':'1','number':7,"
                         "'modality':{'code':'CT'},'instance':[{'uid':'1.2'}]}]") ||
          json_get(sample_at(held, "series/0"), "number"));
    CHECK_JSON(sample_at(held, "series/0/instance"), "[{'uid':'1.1'},{'uid':'1.2'}]");
    CHECK_JSON(sample_at(held, "numberOfInstances"), "2");
    CHECK(merge_archive(before, "B", "'series':[{'uid':'1','instance':[{'uid':'1.3'}]}]"));
    CHECK_INT(cJSON_GetArraySize(sample_at(before, "series/0/instance")), 3);
    CHECK_JSON(sample_at(before, "numberOfInstances"), "3");
    cJSON_Delete(before);
    cJSON_Delete(held);
}

TEST(an_endpoint_that_others_made_is_left_alone)
{
    CHECK(!merge_texts("{'resourceType':'Endpoint','address':'http://theirs'}",
                       "{'resourceType':'Endpoint','address':'http://ours'}",
                       "{'resourceType':'Endpoint','address':'http://theirs'}"));
}

TEST(FHIR_05_a_study_that_cannot_be_deleted_is_withdrawn)
{
    cJSON *held = sample_json("{'resourceType':'ImagingStudy','status':'available','x':1.0,"
                              "'numberOfSeries':1,'endpoint':[{}],'series':[{'uid':'1'}]}");
    CHECK(merge_withdraw(held, "entered-in-error"));
    CHECK_JSON(held, "{'resourceType':'ImagingStudy','status':'entered-in-error','x':1.0,"
                     "'numberOfSeries':0,'numberOfInstances':0}");
    CHECK(!merge_withdraw(held, "entered-in-error"));
    cJSON_Delete(held);
}

TEST(FHIR_05_what_a_document_said_agrees_with_it_afterwards)
{
    static const char mapped[] =
        "{'resourceType':'Observation'," RICH_META ",'identifier':[{'system':'a','value':'1'}],"
        "'status':'final','code':{'text':'Length'},'valueQuantity':{'value':2.50}}";
    cJSON *held = sample_json("{'resourceType':'Observation','id':'7'," RICH_META
                              ",'identifier':[{'system':'a','value':'1'},{'value':'theirs'}],"
                              "'status':'preliminary','code':{'text':'Length'},"
                              "'dataAbsentReason':{'text':'x'},'note':[{'text':'theirs'}]}");
    cJSON *wanted = sample_json(mapped);
    CHECK(merge_resource(held, wanted));
    CHECK_JSON(held, "{'resourceType':'Observation','id':'7'," RICH_META
                     ",'identifier':[{'system':'a','value':'1'},{'value':'theirs'}],"
                     "'status':'final','code':{'text':'Length'},'valueQuantity':{'value':2.50},"
                     "'note':[{'text':'theirs'}]}");
    CHECK(!merge_resource(held, wanted));
    cJSON_Delete(held);
    cJSON_Delete(wanted);
}

TEST(what_others_say_of_a_document_is_left_alone)
{
    static const char *const types[] = { "Observation", "DiagnosticReport", "DocumentReference",
                                         "Device" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char *text = mem_format("{'resourceType':'%s','id':'7','status':'final'}", types[i]);
        char *ours = mem_format("{'resourceType':'%s'," RICH_META ",'status':'x','type':{}}",
                                types[i]);
        cJSON *held = sample_json(text), *wanted = sample_json(ours);
        CHECK(!merge_resource(held, wanted));
        CHECK_JSON(held, text);
        cJSON_Delete(held);
        cJSON_Delete(wanted);
        free(text);
        free(ours);
    }
}

TEST(FHIR_05_a_document_that_is_gone_is_withdrawn_once)
{
    cJSON *held = sample_json("{'resourceType':'Observation','status':'final','value':1}");
    CHECK(merge_withdraw_document(held, "cancelled"));
    CHECK_JSON(held, "{'resourceType':'Observation','status':'cancelled','value':1}");
    CHECK(!merge_withdraw_document(held, "cancelled"));
    cJSON_Delete(held);
    held = sample_json("{'resourceType':'DocumentReference','status':'current'}");
    CHECK(merge_withdraw_document(held, "cancelled")); /* it has no such status */
    CHECK_TEXT(json_text(held, "status"), "entered-in-error");
    cJSON_Delete(held);
}

TEST(FHIR_05_what_is_handed_over_is_taken_over_by_the_next_writer)
{
    cJSON *wanted = sample_json("{'resourceType':'Observation'," RICH_META ",'status':'final'}");
    cJSON *held = json_copy(wanted);
    merge_hand_over_document(held);
    CHECK_JSON(held, "{'resourceType':'Observation','meta':{'tag':[{'system':'urn:hounsfield',"
                     "'code':'dicom-cast'}]},'status':'final','extension':[{"
                     "'url':'urn:hounsfield:handed-over','valueCode':'unowned'}]}");
    CHECK(merge_resource(held, wanted));
    CHECK_JSON(held, "{'resourceType':'Observation'," RICH_META ",'status':'final'}");
    CHECK(!merge_resource(held, wanted));
    cJSON_Delete(held);
    cJSON_Delete(wanted);
}
