/* SPDX-License-Identifier: MIT */
#include "cast/mapping.h"

#include "cast/body_part.h"
#include "cast/coding.h"
#include "tests/cast/rich_documents.h"
#include "tests/cast/rich_sample.h"
#include "tests/cast/sample.h"

/* Maps a study of one series with this header, and checks members of the Patient ("Patient/name")
 * or ImagingStudy. "absent" for one that is not to be there. */
struct expected {
    const char *path;
    const char *json;
};

static void check_mapping(const struct mapping *mapping, const struct expected *expected,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *path = expected[i].path;
        bool patient = strncmp(path, "Patient/", 8) == 0;
        const cJSON *member = patient ? sample_at(mapping->patient, path + 8)
                                      : sample_at(mapping->imaging_study, path);
        if (strcmp(expected[i].json, "absent") == 0)
            CHECK(!member);
        else
            CHECK_JSON(member, expected[i].json);
    }
}

static void check_header_with(const struct mapping_options *options, const char *header,
                              const struct expected *expected, size_t count)
{
    struct sample *sample = sample_new(header);
    struct mapping mapping;
    mapping_init(&mapping, &sample->study, options);
    check_mapping(&mapping, expected, count);
    mapping_release(&mapping);
    sample_free(sample);
}

static void check_header(const char *header, const char *path, const char *json)
{
    struct expected expected = { path, json };
    check_header_with(&sample_options, header, &expected, 1);
}

TEST(FHIR_02_a_study_is_mapped_whole)
{
    struct sample *sample = rich_sample();
    struct mapping mapping;
    const char *endpoints[] = { "Endpoint/1", "Endpoint/2" };
    mapping_init(&mapping, &sample->study, &sample_options);
    mapping_set_references(mapping.imaging_study, "Patient/1", endpoints, 2);
    CHECK_INT(mapping.endpoint_count, 2);
    CHECK_INT(mapping.note_count, 0);
    CHECK_JSON(mapping.patient, rich_patient);
    CHECK_JSON(mapping.imaging_study, rich_imaging_study);
    CHECK_JSON(mapping.endpoints[0], rich_endpoint);
    CHECK_TEXT(json_text(mapping.endpoints[1], "address"), "http://pacs.example/dicomweb");
    CHECK_JSON(json_get(mapping.endpoints[1], "payloadMimeType"), "['application/dicom+json']");
    mapping_release(&mapping);
    sample_free(sample);
}

/* --- identity --- */

TEST(FHIR_08_a_patient_id_without_issuer_is_in_the_system_of_the_settings)
{
    check_header("00100020 LO P1", "Patient/identifier",
                 "[{'use':'usual','type':{'coding':[{'system':'http://terminology.hl7.org/"
                 "CodeSystem/v2-0203','code':'MR'}]},'system':'urn:hounsfield:TEST',"
                 "'value':'P1'}]");
}

TEST(a_plain_issuer_is_a_system_and_an_assigner)
{
    check_header("00100020 LO P1\n00100021 LO North Clinic", "Patient/identifier/0/system",
                 "'urn:hounsfield:TEST/issuer/North%20Clinic'");
    check_header("00100020 LO P1\n00100021 LO North Clinic", "Patient/identifier/0/assigner",
                 "{'display':'North Clinic'}");
}

TEST(issuer_qualifiers_win_over_the_plain_issuer)
{
    const char *header = "00100020 LO P1\n00100021 LO North Clinic\n00100024 SQ\n"
                         ">00400032 UT 1.2.3.4\n>00400033 CS ISO\n>00400035 CS PI\n"
                         ">00400036 SQ\n>>00400031 UT Ward 7";
    check_header(header, "Patient/identifier",
                 "[{'use':'usual','type':{'coding':[{'system':'http://terminology.hl7.org/"
                 "CodeSystem/v2-0203','code':'PI'}]},'system':'urn:oid:1.2.3.4','value':'P1',"
                 "'assigner':{'display':'Ward 7'}}]");
}

TEST(FHIR_08_without_a_patient_id_the_subject_is_known_by_the_study_alone)
{
    check_header("00100010 PN DOE", "Patient/identifier",
                 "[{'use':'usual','system':'urn:hounsfield:TEST/no-pid',"
                 "'value':'1.2.826.0.1.3680043.2.1'}]");
    check_header("00100020 LO   ", "note/0/authorString", "'dicom-cast'");
}

TEST(pseudonyms_and_phantoms_are_apart_from_patients)
{
    check_header("00100020 LO P1\n00120062 CS YES", "Patient/identifier/0/system",
                 "'urn:hounsfield:TEST/deidentified'");
    check_header("00100020 LO P1\n00100200 CS YES", "Patient/identifier/0/system",
                 "'urn:hounsfield:TEST/quality-control-subject'");
    check_header("00100020 LO P1\n00120062 CS NO", "Patient/identifier/0/system",
                 "'urn:hounsfield:TEST'");
}

TEST(other_patient_ids_are_secondary_and_rfid_tags_are_not_taken)
{
    check_header("00100020 LO P1\n00101002 SQ\n>00100020 LO P2\n>00100021 LO X\n>00100022 CS TEXT\n"
                 ">-\n>00100020 LO P3\n>00100022 CS RFID\n>-\n>00100020 LO P4\n>00100022 CS TEXT",
                 "Patient/identifier/1",
                 "{'use':'secondary','type':{'coding':[{'system':'http://terminology.hl7.org/"
                 "CodeSystem/v2-0203','code':'MR'}]},'system':'urn:hounsfield:TEST/issuer/X',"
                 "'value':'P2','assigner':{'display':'X'}}");
    check_header("00100020 LO P1\n00101002 SQ\n>00100020 LO P3\n>00100022 CS RFID\n>-\n"
                 ">00100020 LO P4\n>00100022 CS TEXT",
                 "Patient/identifier/1/system", "'urn:hounsfield:TEST/other-patient-id'");
    check_header("00100020 LO P1\n00101000 LO P5\\P6", "Patient/identifier/2/value", "'P6'");
}

/* --- demographics --- */

TEST(FHIR_08_sex_is_mapped_and_what_is_no_sex_is_absent)
{
    check_header("00100040 CS M", "Patient/gender", "'male'");
    check_header("00100040 CS F", "Patient/gender", "'female'");
    check_header("00100040 CS O", "Patient/gender", "'other'");
    check_header("00100040 CS", "Patient/gender", "absent");
    check_header("00100040 CS X", "Patient/gender", "absent");
    check_header("00100020 LO 1\n00100040 CS X", "note/0/text",
                 "'Patient\\u0027s Sex (0010,0040) is none of M, F, O and was left out'");
}

TEST(FHIR_08_a_birth_date_is_as_exact_as_it_is_known)
{
    check_header("00100030 DA 19500714", "Patient/birthDate", "'1950-07-14'");
    check_header("00100030 DA 19500700", "Patient/birthDate", "'1950-07'");
    check_header("00100030 DA 00000000", "Patient/birthDate", "absent");
    check_header("00100030 DA 19000101", "Patient/birthDate", "absent");
    check_header("00100030 DA 19500231", "Patient/birthDate", "absent");
    check_header("00100020 LO 1\n00100030 DA 19500231", "note/0/text",
                 "'Patient\\u0027s Birth Date (0010,0030) is no date and was left out'");
}

TEST(a_birth_time_needs_a_zone)
{
    check_header("00080201 SH +0100\n00100030 DA 19500714\n00100032 TM 0430", "Patient/_birthDate",
                 "{'extension':[{'url':'http://hl7.org/fhir/StructureDefinition/patient-birthTime',"
                 "'valueDateTime':'1950-07-14T04:30:00+01:00'}]}");
    check_header("00100030 DA 19500714\n00100032 TM 0430", "Patient/_birthDate", "absent");
}

/* --- the study --- */

TEST(FHIR_02_a_study_starts_at_its_own_zone_then_at_that_of_the_settings_then_by_day)
{
    static const struct mapping_options zoned = { .prefix = "urn:x", .timezone = "+01:00" };
    struct expected own = { "started", "'2026-01-31T08:05:00-05:00'" };
    struct expected settings = { "started", "'2026-01-31T08:05:00+01:00'" };
    check_header_with(&zoned, "00080020 DA 20260131\n00080030 TM 0805\n00080201 SH -0500", &own, 1);
    check_header_with(&zoned, "00080020 DA 20260131\n00080030 TM 0805", &settings, 1);
    check_header("00080020 DA 20260131\n00080030 TM 0805", "started", "'2026-01-31'");
    check_header("00080020 DA 00000000\n00080030 TM 0805", "started", "absent");
}

TEST(FHIR_02_an_accession_number_has_its_type_and_issuer)
{
    check_header("00080050 SH A1\n00080051 SQ\n>00400032 UT 1.2.9\n>00400033 CS ISO",
                 "identifier/1",
                 "{'use':'usual','type':{'coding':[{'system':'http://terminology.hl7.org/"
                 "CodeSystem/v2-0203','code':'ACSN'}]},'system':'urn:oid:1.2.9','value':'A1'}");
    check_header("00080050 SH A1", "identifier/1/system", "'urn:hounsfield:TEST/accession'");
    check_header("00080050 SH ", "identifier/1", "absent");
}

TEST(an_order_is_known_by_placer_then_filler_then_accession)
{
    check_header("00080050 SH A1\n00402016 LO PL1\n00402017 LO FI1", "basedOn",
                 "[{'type':'ServiceRequest','identifier':{'type':{'coding':[{'system':"
                 "'http://terminology.hl7.org/CodeSystem/v2-0203','code':'PLAC'}]},"
                 "'system':'urn:hounsfield:TEST/placer-order','value':'PL1'}}]");
    check_header("00080050 SH A1\n00402017 LO FI1", "basedOn/0/identifier/value", "'FI1'");
    check_header("00080050 SH A1", "basedOn/0/identifier/value", "'A1'");
    check_header("00100020 LO 1", "basedOn", "absent");
}

TEST(orders_in_the_series_requests_are_listed_once_each)
{
    struct sample *sample = sample_new("00080050 SH A1\n00400275 SQ\n>00080050 SH A1\n>-\n"
                                       ">00080050 SH A2");
    struct mapping mapping;
    sample_add_series(sample, "00400275 SQ\n>00080050 SH A2\n>-\n>00080050 SH A3", 1);
    mapping_init(&mapping, &sample->study, &sample_options);
    CHECK_INT(cJSON_GetArraySize(json_get(mapping.imaging_study, "basedOn")), 3);
    CHECK_JSON(sample_at(mapping.imaging_study, "basedOn/2/identifier/value"), "'A3'");
    mapping_release(&mapping);
    sample_free(sample);
}

TEST(orders_without_end_are_cut)
{
    struct buffer header = buffer_up_to(1 << 20);
    struct mapping mapping;
    buffer_append_text(&header, "00400275 SQ\n>00080050 SH A0");
    for (int i = 1; i < 1000; i++)
        buffer_append_format(&header, "\n>-\n>00080050 SH A%d", i);
    struct sample *sample = sample_new(buffer_text(&header));
    for (size_t i = 1; i < SAMPLE_SERIES; i++)
        sample_add_series(sample, buffer_text(&header), 1);
    mapping_init(&mapping, &sample->study, &sample_options);
    CHECK(cJSON_GetArraySize(json_get(mapping.imaging_study, "basedOn")) <= JSON_MAX_NEW);
    mapping_release(&mapping);
    sample_free(sample);
    buffer_release(&header);
}

TEST(FHIR_02_only_acquiring_modalities_are_those_of_the_study)
{
    struct sample *sample = sample_new("00080060 CS SR");
    struct mapping mapping;
    sample_add_series(sample, "00080060 CS PT", 1);
    sample_add_series(sample, "00080060 CS CT", 2);
    sample_add_series(sample, "00080060 CS CT", 1);
    mapping_init(&mapping, &sample->study, &sample_options);
    CHECK_JSON(json_get(mapping.imaging_study, "modality"),
               "[{'system':'http://dicom.nema.org/resources/ontology/DCM','code':'CT'},"
               "{'system':'http://dicom.nema.org/resources/ontology/DCM','code':'PT'}]");
    CHECK_JSON(sample_at(mapping.imaging_study, "series/0/modality/code"), "'SR'");
    CHECK_JSON(json_get(mapping.imaging_study, "numberOfSeries"), "4");
    CHECK_JSON(json_get(mapping.imaging_study, "numberOfInstances"), "5");
    mapping_release(&mapping);
    sample_free(sample);
}

TEST(FHIR_08_a_modality_that_is_missing_or_unknown_is_said_to_be_so)
{
    check_header("00100020 LO 1", "series/0/modality",
                 "{'extension':[{'url':'http://hl7.org/fhir/StructureDefinition/"
                 "data-absent-reason','valueCode':'unknown'}]}");
    check_header("00080060 CS QX", "series/0/modality",
                 "{'system':'urn:hounsfield:TEST/modality','code':'QX'}");
    check_header("00080060 CS QX", "modality", "absent");
}

TEST(the_table_of_modalities_is_in_order)
{
    /* A search in halves finds each term only then. */
    static const char *const terms[] = { "ANN", "AR",  "ASMT", "CT", "CTPROTOCOL", "M3D",
                                         "MG",  "OPT", "RG",   "SR", "XAPROTOCOL", "XC" };
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        cJSON *coding = coding_of_modality(terms[i], "urn:x");
        CHECK_TEXT(json_text(coding, "system"), SYSTEM_DCM);
        cJSON_Delete(coding);
    }
}

/* --- codes --- */

TEST(coding_schemes_become_systems)
{
    check_header("00081032 SQ\n>00080100 SH 77477000\n>00080102 SH SCT\n>00080103 SH 2024\n"
                 ">00080104 LO CT",
                 "procedureCode",
                 "[{'coding':[{'system':'http://snomed.info/sct','version':'2024',"
                 "'code':'77477000','display':'CT'}],'text':'CT'}]");
    check_header("00081032 SQ\n>00080100 SH P5-08000\n>00080102 SH SRT\n>00080104 LO CT",
                 "procedureCode/0/coding/0/system", "'http://terminology.hl7.org/CodeSystem/snm'");
    check_header("00081032 SQ\n>00080100 SH X1\n>00080102 SH 99 ACME", /* no known scheme */
                 "procedureCode/0/coding/0/system",
                 "'urn:hounsfield:TEST/coding-scheme/99%20ACME'");
    check_header("00080110 SQ\n>00080102 SH 99ACME\n>0008010C UI 1.2.77\n"
                 "00081032 SQ\n>00080100 SH X1\n>00080102 SH 99ACME",
                 "procedureCode/0/coding/0/system", "'urn:oid:1.2.77'");
}

TEST(long_codes_and_urns_are_codes_too)
{
    check_header("00081032 SQ\n>00080102 SH SCT\n>00080104 LO m\n>00080119 UC 12345678901234567",
                 "procedureCode/0/coding/0/code", "'12345678901234567'");
    check_header("00081032 SQ\n>00080104 LO m\n>00080120 UR urn:oid:1.2", "procedureCode/0/coding",
                 "[{'system':'urn:ietf:rfc:3986','code':'urn:oid:1.2','display':'m'}]");
}

TEST(a_description_stands_for_codes_that_are_missing)
{
    check_header("00321060 LO CT head", "procedureCode", "[{'text':'CT head'}]");
    check_header("00321060 LO CT head\n00321064 SQ\n>00080100 SH 1\n>00080102 SH L\n"
                 ">00080104 LO CT head plain",
                 "procedureCode/0/text", "'CT head plain'");
    check_header("00321060 LO CT head\n00321064 SQ\n>00080100 SH 1\n>00080102 SH L\n"
                 ">00080104 LO CT head plain",
                 "procedureCode/1", "absent");
    check_header("00081080 LO Headache\n00401002 LO Fall", "reasonCode",
                 "[{'text':'Fall'},{'text':'Headache'}]");
}

/* --- series and instances --- */

TEST(FHIR_02_a_body_part_is_coded_by_the_table_and_anatomy_wins)
{
    check_header("00180015 CS HEAD", "series/0/bodySite",
                 "{'system':'http://snomed.info/sct','code':'69536005','display':'Head'}");
    check_header("00180015 CS c-spine", "series/0/bodySite/code", "'122494005'");
    check_header("00180015 CS MYSTERY", "series/0/bodySite", "{'display':'MYSTERY'}");
    check_header("00082218 SQ\n>00080100 SH 10200004\n>00080102 SH SCT\n>00080104 LO Liver\n"
                 "00180015 CS HEAD",
                 "series/0/bodySite/code", "'10200004'");
    check_header("52009229 SQ\n>00209071 SQ\n>>00082218 SQ\n>>>00080100 SH 80891009\n"
                 ">>>00080102 SH SCT\n>>00209072 CS L",
                 "series/0/bodySite/code", "'80891009'");
}

TEST(every_body_part_is_found_by_its_term)
{
    size_t count;
    const struct body_part *parts = body_part_all(&count);
    CHECK(count > 300);
    for (size_t i = 0; i < count; i++) {
        CHECK(body_part_find(parts[i].term) == &parts[i]);
        CHECK(*parts[i].meaning && strspn(parts[i].code, "0123456789") == strlen(parts[i].code));
    }
    CHECK(!body_part_find(""));
    CHECK(!body_part_find("A BODY PART LONGER THAN ALL TERMS THERE ARE"));
}

TEST(a_side_is_coded_and_unpaired_is_none)
{
    check_header("00200060 CS R", "series/0/laterality",
                 "{'system':'http://snomed.info/sct','code':'24028007','display':'Right'}");
    check_header("00200062 CS L", "series/0/laterality/code", "'7771000'");
    check_header("00200060 CS B", "series/0/laterality/code", "'51440002'");
    check_header("00200062 CS U", "series/0/laterality", "absent");
    check_header("52009229 SQ\n>00209071 SQ\n>>00209072 CS R", "series/0/laterality/code",
                 "'24028007'");
}

TEST(FHIR_08_a_number_beyond_fhirs_is_left_out)
{
    check_header("00200011 IS 7", "series/0/number", "7");
    check_header("00200011 IS -1", "series/0/number", "absent");
    check_header("00200011 IS 2147483648", "series/0/number", "absent");
    check_header("00200011 IS seven", "series/0/number", "absent");
    check_header("00200013 IS 0", "series/0/instance/0/number", "0");
}

TEST(a_series_without_date_starts_with_its_acquisition)
{
    check_header("0008002A DT 20260131080507+0100", "series/0/started",
                 "'2026-01-31T08:05:07+01:00'");
    check_header("00080022 DA 20260131\n00080032 TM 0805\n00080201 SH +0000", "series/0/started",
                 "'2026-01-31T08:05:00+00:00'");
    check_header("00080021 DA 20260130\n0008002A DT 20260131", "series/0/started", "'2026-01-30'");
}

TEST(performers_are_persons_and_the_device)
{
    check_header("00080070 LO ACME\n00081050 PN House^Gregory\n00081070 PN A^B\\C^D\n"
                 "00081072 SQ\n>00401101 SQ\n>>00080100 SH 4711\n>>00080102 SH 99STAFF\n"
                 "00081090 LO CT9000\n00181000 LO SN5",
                 "series/0/performer",
                 "[{'function':{'coding':[{'system':'http://terminology.hl7.org/CodeSystem/"
                 "v3-ParticipationType','code':'PRF','display':'performer'}]},"
                 "'actor':{'type':'Practitioner','display':'Gregory House'}},"
                 "{'function':{'coding':[{'system':'http://terminology.hl7.org/CodeSystem/"
                 "v3-ParticipationType','code':'SPRF','display':'secondary performer'}]},"
                 "'actor':{'type':'Practitioner','identifier':{'system':"
                 "'urn:hounsfield:TEST/coding-scheme/99STAFF','value':'4711'},'display':'B A'}},"
                 "{'function':{'coding':[{'system':'http://terminology.hl7.org/CodeSystem/"
                 "v3-ParticipationType','code':'SPRF','display':'secondary performer'}]},"
                 "'actor':{'type':'Practitioner','display':'D C'}},"
                 "{'function':{'coding':[{'system':'http://terminology.hl7.org/CodeSystem/"
                 "v3-ParticipationType','code':'PRF','display':'performer'}]},"
                 "'actor':{'type':'Device','identifier':{'system':"
                 "'urn:hounsfield:TEST/device-serial/ACME','value':'SN5'},"
                 "'display':'ACME CT9000'}}]");
    check_header("00080070 LO ACME", "series/0/performer", "absent");
}

TEST(FHIR_08_instances_whose_uids_are_none_are_left_out_and_told)
{
    struct sample *sample = sample_new("00080060 CS CT\n00100020 LO 1");
    struct mapping mapping;
    sample_add_series(sample, "00080060 CS CT\n00100020 LO 1", 3);
    sample->series[1].instances[1].sop_class = "../etc";
    mapping_init(&mapping, &sample->study, &sample_options);
    CHECK_JSON(sample_at(mapping.imaging_study, "series/1/numberOfInstances"), "2");
    CHECK_INT(cJSON_GetArraySize(sample_at(mapping.imaging_study, "series/1/instance")), 2);
    CHECK_JSON(json_get(mapping.imaging_study, "numberOfInstances"), "3");
    CHECK_INT(mapping.note_count, 1);
    mapping_release(&mapping);
    sample_free(sample);
}

TEST(a_private_sop_class_is_a_code_too)
{
    struct sample *sample = sample_new("00100020 LO 1");
    struct mapping mapping;
    sample->series[0].instances[0].sop_class = "1.2.3.99";
    mapping_init(&mapping, &sample->study, &sample_options);
    CHECK_JSON(sample_at(mapping.imaging_study, "series/0/instance/0/sopClass"),
               "{'system':'urn:ietf:rfc:3986','code':'urn:oid:1.2.3.99'}");
    mapping_release(&mapping);
    sample_free(sample);
}

TEST(the_title_of_an_instance_is_what_it_calls_itself)
{
    check_header("00080008 CS ORIGINAL\\PRIMARY", "series/0/instance/0/title",
                 "'ORIGINAL\\\\PRIMARY'");
    check_header("00080008 CS DERIVED\n0040A043 SQ\n>00080100 SH 1\n>00080104 LO Dose Report",
                 "series/0/instance/0/title", "'Dose Report'");
    check_header("00420010 ST Letter", "series/0/instance/0/title", "'Letter'");
}

TEST(without_an_address_there_is_no_endpoint)
{
    static const struct mapping_options options = { .prefix = "urn:x" };
    struct sample *sample = sample_new("00100020 LO 1");
    struct mapping mapping;
    mapping_init(&mapping, &sample->study, &options);
    mapping_set_references(mapping.imaging_study, "Patient/1", NULL, 0);
    CHECK_INT(mapping.endpoint_count, 0);
    CHECK(!json_get(mapping.imaging_study, "endpoint"));
    mapping_release(&mapping);
    sample_free(sample);
}

/* FHIR has no empty strings, objects or arrays. */
static void check_no_empty(const cJSON *tree)
{
    const cJSON *child;
    if (cJSON_IsString(tree))
        CHECK(*tree->valuestring);
    if (cJSON_IsObject(tree) || cJSON_IsArray(tree))
        CHECK(tree->child);
    cJSON_ArrayForEach(child, tree) check_no_empty(child);
}

TEST(FHIR_08_an_object_with_empty_values_gives_no_empty_elements)
{
    struct sample *sample = sample_new(
        "00080020 DA \n00080050 SH \n00080051 SQ\n00080060 CS \n00080080 LO \n00080090 PN ^\n"
        "00081030 LO   \n00081032 SQ\n>00080100 SH \n00081050 PN \\\\\n00081060 PN =\n"
        "00100010 PN ^^^^\n00100020 LO \n00100021 LO \n00100024 SQ\n00101001 PN \\^\n"
        "00101002 SQ\n>00100020 LO \n00180015 CS \n00200060 CS \n00380010 LO \n00400275 SQ");
    struct mapping mapping;
    mapping_init(&mapping, &sample->study, &sample_options);
    check_no_empty(mapping.patient);
    check_no_empty(mapping.imaging_study);
    check_no_empty(mapping.endpoints[0]);
    CHECK(!json_get(mapping.patient, "name"));
    mapping_release(&mapping);
    sample_free(sample);
}

/* --- the page that users read --- */

/* Is there an element at this path ("series.bodySite") in the tree, arrays looked through? */
static bool has_element(const cJSON *tree, const char *path)
{
    const cJSON *item;
    if (!tree)
        return false;
    if (cJSON_IsArray(tree)) {
        cJSON_ArrayForEach(item, tree) if (has_element(item, path)) return true;
        return false;
    }
    if (!*path)
        return true;
    char name[64];
    size_t size = strcspn(path, ".");
    snprintf(name, sizeof name, "%.*s", (int)size, path);
    return has_element(json_get(tree, name), path + size + (path[size] == '.'));
}

static char *read_page(void)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", __FILE__);
    *strstr(path, "tests/cast/") = 0;
    strncat(path, "docs/fhir-mapping.md", sizeof path - strlen(path) - 1);
    FILE *file = fopen(path, "r");
    CHECK(file);
    char *text = mem_alloc(1 << 20);
    CHECK(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

/* All that the manual tells of. */
struct all_made {
    struct sample *samples[3];
    struct mapping mappings[3];
    const cJSON *resources[64];
    size_t count;
};

static void all_made_init(struct all_made *all)
{
    const char *endpoints[] = { "Endpoint/1", "Endpoint/2" };
    const cJSON *each;
    *all = (struct all_made){ .samples = { rich_sample(), rich_documents(),
                                           sample_new("00100020 LO ") } }; /* the last has a note */
    for (size_t i = 0; i < 3; i++) {
        struct mapping *mapping = &all->mappings[i];
        mapping_init(mapping, &all->samples[i]->study, &sample_options);
        mapping_set_references(mapping->imaging_study, "Patient/1", endpoints, 2);
        all->resources[all->count++] = mapping->patient;
        all->resources[all->count++] = mapping->endpoints[0];
        all->resources[all->count++] = mapping->imaging_study;
        for (each = json_first(mapping->devices); each; each = each->next)
            all->resources[all->count++] = each;
        for (each = json_first(mapping->documents); each; each = each->next)
            all->resources[all->count++] = each;
    }
    CHECK(all->count < 64);
}

static void all_made_release(struct all_made *all)
{
    for (size_t i = 0; i < 3; i++) {
        mapping_release(&all->mappings[i]);
        sample_free(all->samples[i]);
    }
}

static bool is_made(const struct all_made *all, const char *path, bool *is_element)
{
    bool made = false;
    for (size_t i = 0; i < all->count; i++) {
        const char *type = json_text(all->resources[i], "resourceType");
        size_t size = strlen(type);
        if (strncmp(path, type, size) != 0 || path[size] != '.')
            continue;
        *is_element = true;
        made = made || has_element(all->resources[i], path + size + 1);
    }
    return made;
}

TEST(every_element_that_the_manual_names_is_made)
{
    struct all_made all;
    char *page = read_page();
    size_t named = 0;
    all_made_init(&all);
    for (const char *at = page; (at = strchr(at, '`')); at = strchr(at + 1, '`') + 1) {
        char path[256];
        bool is_element = false;
        snprintf(path, sizeof path, "%.*s", (int)strcspn(at + 1, "`"), at + 1);
        if (!is_made(&all, path, &is_element) && is_element)
            test_fail(__FILE__, __LINE__, "the manual names %s, which is not made", path);
        named += is_element;
    }
    CHECK(named >= 110);
    all_made_release(&all);
    free(page);
}

TEST(every_element_that_is_made_is_named_in_the_manual)
{
    struct all_made all;
    char *page = read_page();
    all_made_init(&all);
    for (size_t i = 0; i < all.count; i++) {
        const char *type = json_text(all.resources[i], "resourceType");
        const cJSON *element;
        cJSON_ArrayForEach(element, all.resources[i])
        {
            char *path = mem_format("`%s.%s", type, element->string);
            if (strcmp(element->string, "resourceType") != 0 && !strstr(page, path))
                test_fail(__FILE__, __LINE__, "%s` is made, and the manual does not name it", path);
            free(path);
        }
    }
    all_made_release(&all);
    free(page);
}
