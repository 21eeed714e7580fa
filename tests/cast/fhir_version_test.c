/* SPDX-License-Identifier: MIT */
#include "cast/fhir_version.h"

#include "cast/merge.h"
#include "tests/cast/rich_sample.h"
#include "tests/cast/sample.h"

static void check_shape(const char *r4, const char *r5)
{
    cJSON *resource = sample_json(r4);
    fhir_version_shape(resource, FHIR_R4);
    CHECK_JSON(resource, r4);
    fhir_version_shape(resource, FHIR_R5);
    CHECK_JSON(resource, r5);
    cJSON_Delete(resource);
}

TEST(a_release_is_known_by_its_number_and_by_the_name_in_the_settings)
{
    enum fhir_version version;
    CHECK(fhir_version_of("4.0.1", &version) && version == FHIR_R4);
    CHECK(fhir_version_of("4.0", &version) && version == FHIR_R4);
    CHECK(fhir_version_of("4.3.0", &version) && version == FHIR_R4);
    CHECK(fhir_version_of("5.0.0-ballot", &version) && version == FHIR_R5);
    CHECK(!fhir_version_of("3.0.2", &version));
    CHECK(!fhir_version_of("6.0.0", &version));
    CHECK(!fhir_version_of("", &version));
    CHECK(!fhir_version_of("5.01", &version));
    CHECK(fhir_version_named("auto", &version) && version == FHIR_UNKNOWN);
    CHECK(fhir_version_named("R5", &version) && version == FHIR_R5);
    CHECK(!fhir_version_named("R6", &version));
    CHECK_TEXT(fhir_version_number(FHIR_R4), "4.0.1");
    CHECK_TEXT(fhir_version_number(FHIR_R5), "5.0.0");
}

TEST(an_ImagingStudy_of_R5_has_concepts_and_references_to_them)
{
    check_shape(
        "{'resourceType':'ImagingStudy','modality':[{'code':'MR'}],'interpreter':[{'display':'x'}],"
        "'procedureCode':[{'coding':[{'code':'1'}]},{'text':'b'}],'reasonCode':[{'text':'ache'}],"
        "'series':[{'uid':'1','modality':{'code':'MR'},'bodySite':{'code':'69536005'},"
        "'laterality':{'code':'7771000'},'instance':[{'uid':'1.1','sopClass':{'code':'u'}}]},"
        "{'uid':'2','modality':{'code':'KO'}}]}",
        "{'resourceType':'ImagingStudy',"
        "'modality':[{'coding':[{'code':'KO'}]},{'coding':[{'code':'MR'}]}],"
        "'procedure':[{'concept':{'coding':[{'code':'1'}]}},{'concept':{'text':'b'}}],"
        "'reason':[{'concept':{'text':'ache'}}],"
        "'series':[{'uid':'1','modality':{'coding':[{'code':'MR'}]},"
        "'bodySite':{'concept':{'coding':[{'code':'69536005'}]}},"
        "'laterality':{'coding':[{'code':'7771000'}]},"
        "'instance':[{'uid':'1.1','sopClass':{'code':'u'}}]},"
        "{'uid':'2','modality':{'coding':[{'code':'KO'}]}}]}");
}

TEST(a_modality_that_is_missing_says_so_in_both_releases)
{
    check_shape("{'resourceType':'ImagingStudy','series':[{'uid':'1','modality':"
                "{'extension':[{'url':'u','valueCode':'unknown'}]}}]}",
                "{'resourceType':'ImagingStudy','series':[{'uid':'1','modality':"
                "{'extension':[{'url':'u','valueCode':'unknown'}]}}]}");
}

TEST(an_Endpoint_of_R5_has_its_payload_in_one_group_and_a_list_of_connection_types)
{
    check_shape(
        "{'resourceType':'Endpoint','connectionType':{'code':'dicom-wado-rs'},"
        "'payloadType':[{'text':'DICOM'}],'payloadMimeType':['application/dicom'],"
        "'address':'http://x'}",
        "{'resourceType':'Endpoint','connectionType':[{'coding':[{'code':'dicom-wado-rs'}]}]"
        ",'payload':[{'type':[{'text':'DICOM'}],'mimeType':['application/dicom']}],"
        "'address':'http://x'}");
}

TEST(reports_documents_and_devices_of_R5_have_other_names_for_some_elements)
{
    check_shape(
        "{'resourceType':'DiagnosticReport','imagingStudy':[{'reference':'ImagingStudy/1'}]}",
        "{'resourceType':'DiagnosticReport','study':[{'reference':'ImagingStudy/1'}]}");
    check_shape("{'resourceType':'Device','deviceName':[{'name':'CT','type':'model-name'},"
                "{'name':'Room 3','type':'user-friendly-name'}],'type':{'text':'scanner'},"
                "'udiCarrier':[{'carrierHRF':'(01)1','deviceIdentifier':'1','issuer':'i'},"
                "{'carrierHRF':'+H123'}]}",
                "{'resourceType':'Device','name':[{'value':'Room 3','type':'user-friendly-name'}],"
                "'type':[{'text':'scanner'}],"
                "'udiCarrier':[{'carrierHRF':'(01)1','deviceIdentifier':'1','issuer':'i'}]}");
    check_shape("{'resourceType':'Device','udiCarrier':[{'carrierHRF':'+H123'}]}",
                "{'resourceType':'Device'}");
    check_shape("{'resourceType':'DocumentReference','content':[{'format':{'code':'1'}}],"
                "'context':{'related':[{'display':'a'}]}}",
                "{'resourceType':'DocumentReference','content':[{'profile':[{'valueCoding':"
                "{'code':'1'}}]}],'extension':[{'url':'urn:hounsfield:related',"
                "'valueReference':{'display':'a'}}]}");
    check_shape("{'resourceType':'Patient','gender':'male'}",
                "{'resourceType':'Patient','gender':'male'}");
}

TEST(what_a_server_of_R5_has_already_is_not_written)
{
    struct sample *sample = rich_sample();
    struct mapping mapping;
    mapping_init(&mapping, &sample->study, &sample_options);
    mapping_set_references(mapping.imaging_study, "Patient/1", NULL, 0);
    mapping_shape(&mapping, FHIR_R5);
    cJSON *imaging_study = json_copy(mapping.imaging_study);
    cJSON *endpoint = json_copy(mapping.endpoints[0]);
    CHECK(!json_get(imaging_study, "procedureCode"));
    CHECK(cJSON_IsArray(json_get(endpoint, "connectionType")));
    CHECK(!merge_resource(imaging_study, mapping.imaging_study));
    CHECK(!merge_resource(endpoint, mapping.endpoints[0]));
    /* A Procedure that somebody refers to stays beside our concepts. */
    cJSON *reference = sample_json("{'reference':{'reference':'Procedure/1'}}");
    json_append_take(json_need_array(imaging_study, "procedure"), reference);
    CHECK(!merge_resource(imaging_study, mapping.imaging_study));
    json_remove(mapping.imaging_study, "procedure");
    CHECK(merge_resource(imaging_study, mapping.imaging_study));
    CHECK_JSON(json_get(imaging_study, "procedure"), "[{'reference':{'reference':'Procedure/1'}}]");
    cJSON_Delete(imaging_study);
    cJSON_Delete(endpoint);
    mapping_release(&mapping);
    sample_free(sample);
}

TEST(modalities_that_are_newer_than_R4_go_by_name_where_their_codes_are_not_known)
{
    cJSON *study = sample_json(
        "{'resourceType':'ImagingStudy',"
        "'modality':[{'system':'http://dicom.nema.org/resources/ontology/DCM','code':'CT'},"
        "{'system':'http://dicom.nema.org/resources/ontology/DCM','code':'EEG'}],"
        "'series':[{'uid':'1.2','modality':"
        "{'system':'http://dicom.nema.org/resources/ontology/DCM','code':'DOC'}},"
        "{'uid':'1.3','modality':{'system':'urn:x','code':'DOC'}}]}");
    CHECK(fhir_version_newer_modalities(study, false));
    CHECK_TEXT(json_text(sample_at(study, "series/0/modality"), "code"), "DOC");
    CHECK(fhir_version_newer_modalities(study, true));
    CHECK_JSON(study,
               "{'resourceType':'ImagingStudy',"
               "'modality':[{'system':'http://dicom.nema.org/resources/ontology/DCM','code':'CT'},"
               "{'display':'EEG'}],"
               "'series':[{'uid':'1.2','modality':{'display':'DOC'}},"
               "{'uid':'1.3','modality':{'system':'urn:x','code':'DOC'}}]}");
    CHECK(!fhir_version_newer_modalities(study, true));
    cJSON_Delete(study);
}
