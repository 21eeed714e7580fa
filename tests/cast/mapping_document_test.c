/* SPDX-License-Identifier: MIT */
/* What SR documents become (cast/mapping_document.c and those beside it). */
#include "cast/mapping.h"

#include "tests/cast/content_sample.h"

#define ENHANCED      "1.2.840.10008.5.1.4.1.1.88.22"
#define COMPREHENSIVE "1.2.840.10008.5.1.4.1.1.88.33"
#define KEY_OBJECTS   "1.2.840.10008.5.1.4.1.1.88.59"
#define DOSE          "1.2.840.10008.5.1.4.1.1.88.67"
#define PDF           "1.2.840.10008.5.1.4.1.1.104.1"

#define HEADER                                                                                     \
    "00080023 DA 20260131\n"                                                                       \
    "00080033 TM 101500\n"                                                                         \
    "00080050 SH ACC-1\n"                                                                          \
    "00080060 CS SR\n"                                                                             \
    "00080070 LO ACME\n"                                                                           \
    "00080201 SH +0100\n"                                                                          \
    "00081090 LO Scribe\n"                                                                         \
    "00100020 LO PAT-1\n"                                                                          \
    "00181000 LO SN-7\n"

static const struct mapping_options *options = &sample_options;

static void map_document(struct mapping *mapping, struct sample **sample, const char *sop_class,
                         struct sample_dataset *document)
{
    *sample = content_study(sop_class, document);
    mapping_init(mapping, &(*sample)->study, options);
}

/* The resource of this type (and, unless NULL, with this code) at `index` among those. */
static const cJSON *made(const struct mapping *mapping, const char *type, const char *code)
{
    const cJSON *each;
    for (each = json_first(mapping->documents); each; each = each->next)
        if (strcmp(json_text(each, "resourceType"), type) == 0 &&
            (!code || strcmp(json_text(sample_at(each, "code/coding/0"), "code"), code) == 0))
            return each;
    return NULL;
}

TEST(a_basic_report_is_a_diagnostic_report)
{
    struct sample *sample;
    struct mapping mapping;
    map_document(&mapping, &sample, ENHANCED,
                 content_sample(HEADER, "18748-4,LN,Diagnostic imaging study",
                                "0040A073 SQ\n"
                                ">0040A030 DT 20260131113000\n"
                                ">0040A075 PN House^Gregory^^Dr.\n"
                                ">0040A088 SQ\n"
                                ">>00080100 SH 4711\n"
                                ">>00080102 SH 99HOSP\n"
                                ">>00080104 LO Dr. House\n"
                                "0040A491 CS COMPLETE\n"
                                "0040A493 CS VERIFIED\n",
                                "> C CONTAINER 121070,DCM,Findings\n"
                                ">> C TEXT 121071,DCM,Finding = Nothing in the lungs.\n"
                                "> C CONTAINER 121072,DCM,Impressions\n"
                                ">> C TEXT 121073,DCM,Impression = No pneumonia.\n"
                                ">> C CODE 121073,DCM,Impression = 17621005,SCT,Normal\n"
                                "> C TEXT 121077,DCM,Conclusion = Well.\n"));
    CHECK_INT(cJSON_GetArraySize(mapping.documents), 1);
    CHECK_JSON(
        made(&mapping, "DiagnosticReport", NULL),
        "{'resourceType':'DiagnosticReport',"
        "'meta':{'source':'urn:hounsfield:TEST',"
        "'tag':[{'system':'urn:hounsfield','code':'dicom-cast'}]},"
        "'identifier':[{'use':'official','system':'urn:dicom:uid',"
        "'value':'urn:oid:1.2.826.0.1.3680043.2.1.1.1'},"
        "{'use':'secondary','system':'urn:dicom:uid','value':'urn:oid:1.2.826.0.1.3680043.2.1'},"
        "{'use':'usual','type':{'coding':[{'system':"
        "'http://terminology.hl7.org/CodeSystem/v2-0203','code':'ACSN'}]},"
        "'system':'urn:hounsfield:TEST/accession','value':'ACC-1'}],"
        "'basedOn':[{'type':'ServiceRequest','identifier':{'type':{'coding':[{'system':"
        "'http://terminology.hl7.org/CodeSystem/v2-0203','code':'ACSN'}]},"
        "'system':'urn:hounsfield:TEST/accession','value':'ACC-1'}}],"
        "'status':'final',"
        "'category':[{'coding':[{'system':'http://terminology.hl7.org/CodeSystem/v2-0074',"
        "'code':'IMG','display':'Diagnostic Imaging'}],'text':'Diagnostic Imaging'}],"
        "'code':{'coding':[{'system':'http://loinc.org','code':'18748-4',"
        "'display':'Diagnostic imaging study'}],'text':'Diagnostic imaging study'},"
        "'subject':{'type':'Patient','identifier':{'use':'usual','type':{'coding':[{'system':"
        "'http://terminology.hl7.org/CodeSystem/v2-0203','code':'MR'}]},"
        "'system':'urn:hounsfield:TEST','value':'PAT-1'}},"
        "'effectiveDateTime':'2026-01-31T10:15:00+01:00',"
        "'issued':'2026-01-31T11:30:00+01:00',"
        "'resultsInterpreter':[{'type':'Practitioner','identifier':{'system':"
        "'urn:hounsfield:TEST/coding-scheme/99HOSP','value':'4711'},"
        "'display':'Dr. Gregory House'}],"
        "'imagingStudy':[{'type':'ImagingStudy','identifier':{'use':'official',"
        "'system':'urn:dicom:uid','value':'urn:oid:1.2.826.0.1.3680043.2.1'}}],"
        "'conclusion':'No pneumonia.\\nWell.',"
        "'conclusionCode':[{'coding':[{'system':'http://snomed.info/sct','code':'17621005',"
        "'display':'Normal'}],'text':'Normal'}],"
        "'presentedForm':[{'contentType':'text/html','url':'http://pacs.example/dicomweb/studies/"
        "1.2.826.0.1.3680043.2.1/series/1.2.826.0.1.3680043.2.1.1/instances/"
        "1.2.826.0.1.3680043.2.1.1.1/rendered'}]}");
    mapping_release(&mapping);
    sample_free(sample);
}

static size_t count_of(const struct mapping *mapping, const char *type)
{
    size_t count = 0;
    const cJSON *each = json_first(mapping->documents);
    for (; each; each = each->next)
        count += strcmp(json_text(each, "resourceType"), type) == 0;
    return count;
}

/* `line` so many times behind `first`. Free it. */
static char *lines_of(const char *first, const char *line, size_t count)
{
    struct buffer text = buffer_up_to(1 << 20);
    buffer_append_text(&text, first);
    for (size_t i = 0; i < count; i++)
        buffer_append_text(&text, line);
    char *copy = mem_copy_text(buffer_text(&text));
    buffer_release(&text);
    return copy;
}

TEST(of_more_than_a_thousand_measurements_the_report_and_the_group_are_told_all_the_same)
{
    struct sample *sample;
    struct mapping mapping;
    char *items = lines_of("> C CONTAINER 125007,DCM,Measurement Group\n",
                           ">> C NUM 410668003,SCT,Length = 12.5 mm\n", 1001);
    map_document(&mapping, &sample, COMPREHENSIVE,
                 content_sample(HEADER, "126000,DCM,Imaging Measurement Report", "", items));
    const cJSON *report = made(&mapping, "DiagnosticReport", NULL);
    const cJSON *group = made(&mapping, "Observation", "125007");
    CHECK(report && group);
    CHECK_INT(cJSON_GetArraySize(json_get(report, "result")), 1);
    CHECK_INT(cJSON_GetArraySize(json_get(group, "hasMember")), 1000);
    CHECK_INT(count_of(&mapping, "Observation"), 1001);
    CHECK_INT(mapping.note_count, 1);
    mapping_release(&mapping);
    sample_free(sample);
    free(items);
}

TEST(of_more_than_a_thousand_irradiation_events_the_dose_is_told_all_the_same)
{
    struct sample *sample;
    struct mapping mapping;
    char *items = lines_of("", "> C CONTAINER 113706,DCM,Irradiation Event X-Ray Data\n", 1001);
    map_document(&mapping, &sample, DOSE,
                 content_sample(HEADER, "113701,DCM,X-Ray Radiation Dose Report", "", items));
    const cJSON *report = made(&mapping, "Observation", "113701");
    CHECK(report);
    CHECK_INT(cJSON_GetArraySize(json_get(report, "hasMember")), 1000);
    CHECK_INT(count_of(&mapping, "Observation"), 1001);
    mapping_release(&mapping);
    sample_free(sample);
    free(items);
}

TEST(the_status_of_a_report_is_that_of_its_flags)
{
    static const struct {
        const char *flags;
        const char *status;
    } cases[] = {
        { "0040A491 CS COMPLETE\n0040A493 CS VERIFIED\n", "final" },
        { "0040A491 CS COMPLETE\n0040A493 CS UNVERIFIED\n", "preliminary" },
        { "0040A491 CS PARTIAL\n0040A493 CS UNVERIFIED\n", "partial" },
        { "0040A493 CS UNVERIFIED\n0040A496 CS FINAL\n", "final" },
        { "", "preliminary" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample *sample;
        struct mapping mapping;
        map_document(&mapping, &sample, ENHANCED,
                     content_sample(HEADER, "11528-7,LN,Report", cases[i].flags, ""));
        CHECK_TEXT(json_text(made(&mapping, "DiagnosticReport", NULL), "status"), cases[i].status);
        mapping_release(&mapping);
        sample_free(sample);
    }
}

#define GROUP                                                                                      \
    "> O PNAME 121008,DCM,Person Observer Name = Cuddy^Lisa\n"                                     \
    "> C CONTAINER 126010,DCM,Imaging Measurements\n"                                              \
    ">> C CONTAINER 125007,DCM,Measurement Group\n"                                                \
    ">>> O TEXT 112039,DCM,Tracking Identifier = Nodule 1\n"                                       \
    ">>> O UIDREF 112040,DCM,Tracking Unique Identifier = 1.2.3.99\n"                              \
    ">>> M CODE 363698007,SCT,Finding Site = 39607008,SCT,Lung\n"                                  \
    ">>>> M CODE 272741003,SCT,Laterality = 24028007,SCT,Right\n"                                  \
    ">>> C NUM 410668003,SCT,Length = +012.50 mm\n"                                                \
    ">>>> M CODE 121401,DCM,Derivation = 56851009,SCT,Maximum\n"                                   \
    ">>> C NUM 118565006,SCT,Volume = 114007,DCM,Measurement not attempted\n"                      \
    ">>> C CODE 111033,DCM,Impression Description = 27925004,SCT,Nodule\n"

TEST(a_measurement_group_is_an_observation_with_members)
{
    struct sample *sample;
    struct mapping mapping;
    map_document(&mapping, &sample, COMPREHENSIVE,
                 content_sample(HEADER, "126000,DCM,Imaging Measurement Report",
                                "0040A491 CS COMPLETE\n0040A493 CS UNVERIFIED\n", GROUP));
    CHECK_INT(cJSON_GetArraySize(mapping.documents), 5);
    const cJSON *length = made(&mapping, "Observation", "410668003");
    CHECK_JSON(sample_at(length, "valueQuantity"),
               "{'value':12.50,'unit':'mm','system':'http://unitsofmeasure.org','code':'mm'}");
    CHECK_TEXT(json_text(length, "status"), "preliminary");
    CHECK_JSON(sample_at(length, "identifier/0"),
               "{'use':'official','system':'urn:hounsfield:content-item',"
               "'value':'1.2.826.0.1.3680043.2.1.1.1#2.1.4'}");
    CHECK_JSON(sample_at(length, "identifier/1"), "{'use':'secondary','system':'urn:dicom:uid',"
                                                  "'value':'urn:oid:1.2.826.0.1.3680043.2.1'}");
    CHECK_JSON(sample_at(length, "bodySite"),
               "{'coding':[{'system':'http://snomed.info/sct','code':'39607008',"
               "'display':'Lung'}],'text':'Lung, Right'}");
    CHECK_JSON(sample_at(length, "focus/0"),
               "{'type':'BodyStructure','identifier':{'system':'urn:dicom:uid',"
               "'value':'urn:oid:1.2.3.99'},'display':'Nodule 1'}");
    CHECK_JSON(sample_at(length, "performer/0"), "{'type':'Practitioner','display':'Lisa Cuddy'}");
    CHECK_TEXT(json_text(sample_at(length, "code"), "text"), "Length (Maximum)");
    CHECK_TEXT(json_text(sample_at(length, "component/0/valueCodeableConcept/coding/0"), "code"),
               "56851009");
    CHECK_TEXT(json_text(sample_at(length, "derivedFrom/0/identifier"), "value"),
               "urn:oid:1.2.826.0.1.3680043.2.1");
    CHECK_TEXT(json_text(sample_at(length, "device"), "display"), "ACME Scribe");
    const cJSON *volume = made(&mapping, "Observation", "118565006");
    CHECK(!sample_at(volume, "valueQuantity"));
    CHECK_TEXT(json_text(sample_at(volume, "dataAbsentReason/coding/0"), "code"), "not-performed");
    const cJSON *finding = made(&mapping, "Observation", "111033");
    CHECK_TEXT(json_text(sample_at(finding, "valueCodeableConcept"), "text"), "Nodule");
    const cJSON *group = made(&mapping, "Observation", "125007");
    CHECK_INT(cJSON_GetArraySize(sample_at(group, "hasMember")), 3);
    CHECK_JSON(sample_at(group, "hasMember/0"),
               "{'type':'Observation','identifier':{'use':'official',"
               "'system':'urn:hounsfield:content-item',"
               "'value':'1.2.826.0.1.3680043.2.1.1.1#2.1.4'}}");
    const cJSON *report = made(&mapping, "DiagnosticReport", NULL);
    CHECK_INT(cJSON_GetArraySize(sample_at(report, "result")), 1);
    CHECK_TEXT(json_text(sample_at(report, "result/0/identifier"), "value"),
               "1.2.826.0.1.3680043.2.1.1.1#2.1");
    mapping_release(&mapping);
    sample_free(sample);
}

#define CT_DOSE                                                                                    \
    "> M CODE 121058,DCM,Procedure reported = 77477000,SCT,Computed Tomography X-Ray\n"            \
    "> C DATETIME 113809,DCM,Start of X-Ray Irradiation = 20260131100000\n"                        \
    "> C DATETIME 113810,DCM,End of X-Ray Irradiation = 20260131100500\n"                          \
    "> C CONTAINER 113811,DCM,CT Accumulated Dose Data\n"                                          \
    ">> C NUM 113812,DCM,Total Number of Irradiation Events = 2 {events}\n"                        \
    ">> C NUM 113813,DCM,CT Dose Length Product Total = 415.82 mGy.cm\n"                           \
    "> C CONTAINER 113819,DCM,CT Acquisition\n"                                                    \
    ">> C CODE 123014,DCM,Target Region = 69536005,SCT,Head\n"                                     \
    ">> C CODE 113820,DCM,CT Acquisition Type = 113804,DCM,Sequenced Acquisition\n"                \
    ">> C UIDREF 113769,DCM,Irradiation Event UID = 1.2.3.4.5\n"                                   \
    ">> C CONTAINER 113829,DCM,CT Dose\n"                                                          \
    ">>> C NUM 113830,DCM,Mean CTDIvol = 25.4 mGy\n"                                               \
    ">>> C NUM 113838,DCM,DLP = 415.82 mGy.cm\n"                                                   \
    "> C CONTAINER 113819,DCM,CT Acquisition\n"                                                    \
    ">> C CODE 113820,DCM,CT Acquisition Type = 113805,DCM,Constant Angle Acquisition\n"

TEST(a_dose_report_is_an_observation_with_sums_and_events)
{
    struct sample *sample;
    struct mapping mapping;
    map_document(&mapping, &sample, DOSE,
                 content_sample(HEADER, "113701,DCM,X-Ray Radiation Dose Report",
                                "0040A491 CS COMPLETE\n0040A493 CS UNVERIFIED\n", CT_DOSE));
    CHECK_INT(cJSON_GetArraySize(mapping.documents), 3);
    const cJSON *report = made(&mapping, "Observation", "113701");
    CHECK_TEXT(json_text(report, "status"), "final");
    CHECK_TEXT(json_text(sample_at(report, "code/coding/1"), "code"), "73569-6");
    CHECK_JSON(sample_at(report, "effectivePeriod"),
               "{'start':'2026-01-31T10:00:00+01:00','end':'2026-01-31T10:05:00+01:00'}");
    CHECK_INT(cJSON_GetArraySize(sample_at(report, "component")), 3);
    CHECK_JSON(sample_at(report, "component/2"),
               "{'code':{'coding':[{'system':'http://dicom.nema.org/resources/ontology/DCM',"
               "'code':'113813','display':'CT Dose Length Product Total'}],"
               "'text':'CT Dose Length Product Total'},"
               "'valueQuantity':{'value':415.82,'unit':'mGy.cm',"
               "'system':'http://unitsofmeasure.org','code':'mGy.cm'}}");
    CHECK_INT(cJSON_GetArraySize(sample_at(report, "hasMember")), 2);
    CHECK_TEXT(json_text(sample_at(report, "partOf/0"), "type"), "ImagingStudy");
    const cJSON *event = made(&mapping, "Observation", "113819");
    CHECK_TEXT(json_text(sample_at(event, "identifier/0"), "value"), "urn:oid:1.2.3.4.5");
    CHECK_TEXT(json_text(sample_at(event, "bodySite"), "text"), "Head");
    CHECK_INT(cJSON_GetArraySize(sample_at(event, "component")), 3);
    CHECK_TEXT(json_text(sample_at(report, "hasMember/1/identifier"), "value"),
               "1.2.826.0.1.3680043.2.1.1.1#6");
    CHECK(!made(&mapping, "DiagnosticReport", NULL));
    mapping_release(&mapping);
    sample_free(sample);
}

TEST(the_planes_of_a_biplane_dose_report_have_sums_of_their_own)
{
    struct sample *sample;
    struct mapping mapping;
    map_document(&mapping, &sample, DOSE,
                 content_sample(HEADER, "113701,DCM,X-Ray Radiation Dose Report", "",
                                "> C CONTAINER 113702,DCM,Accumulated X-Ray Dose Data\n"
                                ">> M CODE 113764,DCM,Acquisition Plane = 113620,DCM,Plane A\n"
                                ">> C NUM 113722,DCM,Dose Area Product Total = .5 Gy.m2\n"
                                "> C CONTAINER 113702,DCM,Accumulated X-Ray Dose Data\n"
                                ">> M CODE 113764,DCM,Acquisition Plane = 113621,DCM,Plane B\n"
                                ">> C NUM 113722,DCM,Dose Area Product Total = 1E-3 Gy.m2\n"));
    CHECK_INT(cJSON_GetArraySize(mapping.documents), 3);
    const cJSON *plane = made(&mapping, "Observation", "113702");
    CHECK_TEXT(json_text(sample_at(plane, "component/0/valueCodeableConcept"), "text"), "Plane A");
    CHECK_JSON(sample_at(plane, "component/1/valueQuantity/value"), "0.5");
    CHECK_JSON(sample_at(plane->next, "component/1/valueQuantity/value"), "1E-3");
    const cJSON *report = made(&mapping, "Observation", "113701");
    CHECK(!sample_at(report, "component"));
    CHECK_INT(cJSON_GetArraySize(sample_at(report, "hasMember")), 2);
    mapping_release(&mapping);
    sample_free(sample);
}

TEST(key_objects_are_a_document_reference_to_the_instances)
{
    struct sample *sample;
    struct mapping mapping;
    map_document(
        &mapping, &sample, KEY_OBJECTS,
        content_sample(HEADER, "113000,DCM,Of Interest", "",
                       "> O PNAME 121008,DCM,Person Observer Name = House^Gregory\n"
                       "> C TEXT 113012,DCM,Key Object Description = Look here\n"
                       "> C IMAGE 113000,DCM,Of Interest = 1.2.840.10008.5.1.4.1.1.2 1.2.3.1\n"
                       "> C IMAGE 113000,DCM,Of Interest = 1.2.840.10008.5.1.4.1.1.2.1 1.2.3.2 "
                       "2\\5\n"));
    CHECK_INT(cJSON_GetArraySize(mapping.documents), 1);
    const cJSON *reference = made(&mapping, "DocumentReference", NULL);
    CHECK_TEXT(json_text(reference, "status"), "current");
    CHECK_TEXT(json_text(reference, "description"), "Look here");
    CHECK_TEXT(json_text(reference, "date"), "2026-01-31T10:15:00+01:00");
    CHECK_TEXT(json_text(sample_at(reference, "type"), "text"), "Of Interest");
    CHECK_JSON(sample_at(reference, "author/0"),
               "{'type':'Practitioner','display':'Gregory House'}");
    CHECK_JSON(sample_at(reference, "content/0/attachment"),
               "{'contentType':'application/dicom','url':'http://pacs.example/dicomweb/studies/"
               "1.2.826.0.1.3680043.2.1/series/1.2.826.0.1.3680043.2.1.1/instances/"
               "1.2.826.0.1.3680043.2.1.1.1'}");
    CHECK_INT(cJSON_GetArraySize(sample_at(reference, "context/related")), 3);
    CHECK_TEXT(json_text(sample_at(reference, "context/related/0"), "type"), "ImagingStudy");
    CHECK_JSON(sample_at(reference, "context/related/2"),
               "{'identifier':{'system':'urn:dicom:uid','value':'urn:oid:1.2.3.2'},"
               "'display':'Enhanced CT Image Storage, frames 2,5'}");
    mapping_shape(&mapping, FHIR_R5);
    CHECK_INT(cJSON_GetArraySize(mapping.documents), 2);
    const cJSON *selection = made(&mapping, "ImagingSelection", NULL);
    CHECK_TEXT(json_text(selection, "studyUid"), SAMPLE_STUDY_UID);
    CHECK_TEXT(json_text(sample_at(selection, "code"), "text"), "Of Interest");
    CHECK_JSON(sample_at(selection, "instance"),
               "[{'uid':'1.2.3.1','sopClass':{'system':'urn:ietf:rfc:3986',"
               "'code':'urn:oid:1.2.840.10008.5.1.4.1.1.2'}},"
               "{'uid':'1.2.3.2','sopClass':{'system':'urn:ietf:rfc:3986',"
               "'code':'urn:oid:1.2.840.10008.5.1.4.1.1.2.1'},'subset':['2','5']}]");
    CHECK_TEXT(json_text(sample_at(selection, "derivedFrom/1"), "type"), "DocumentReference");
    mapping_release(&mapping);
    sample_free(sample);
}

TEST(an_encapsulated_document_is_a_report_that_is_fetched_as_it_is)
{
    struct sample *sample;
    struct mapping mapping;
    map_document(&mapping, &sample, PDF, sample_dataset(HEADER "00420010 ST Letter\n"));
    const cJSON *report = made(&mapping, "DiagnosticReport", NULL);
    CHECK_TEXT(json_text(report, "status"), "unknown");
    CHECK_JSON(sample_at(report, "code"), "{'text':'Letter'}");
    CHECK_TEXT(json_text(sample_at(report, "presentedForm/0"), "contentType"), "application/pdf");
    CHECK_TEXT(json_text(sample_at(report, "presentedForm/0"), "title"), "Letter");
    CHECK(strstr(json_text(sample_at(report, "presentedForm/0"), "url"), "/rendered"));
    mapping_release(&mapping);
    sample_free(sample);
}

TEST(documents_that_report_nothing_are_not_mapped)
{
    struct sample *sample;
    struct mapping mapping;
    map_document(&mapping, &sample, "1.2.840.10008.5.1.4.1.1.88.40",
                 content_sample(HEADER, "121120,DCM,Cath Lab Procedure Log", "", GROUP));
    CHECK_INT(cJSON_GetArraySize(mapping.documents), 0);
    mapping_release(&mapping);
    sample_free(sample);
}

TEST(documents_without_content_say_nothing)
{
    static const char *const classes[] = { ENHANCED, KEY_OBJECTS, DOSE };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        struct sample *sample;
        struct mapping mapping;
        map_document(&mapping, &sample, classes[i], sample_dataset(HEADER));
        CHECK_INT(cJSON_GetArraySize(mapping.documents), 0);
        mapping_release(&mapping);
        sample_free(sample);
    }
}

TEST(HOS_21_measurements_without_end_are_cut_and_told)
{
    struct sample *sample;
    struct mapping mapping;
    struct buffer content = buffer_up_to(1 << 20);
    buffer_append_text(&content, "> C CONTAINER 126010,DCM,Imaging Measurements\n");
    for (int i = 0; i < 1200; i++)
        buffer_append_text(&content, ">> C NUM 410668003,SCT,Length = 1 mm\n");
    map_document(
        &mapping, &sample, COMPREHENSIVE,
        content_sample(HEADER, "126000,DCM,Imaging Measurement Report", "", buffer_text(&content)));
    CHECK_INT(count_of(&mapping, "Observation"), 1000);
    CHECK_INT(count_of(&mapping, "DiagnosticReport"), 1);
    CHECK_INT(mapping.note_count, 1);
    mapping_release(&mapping);
    sample_free(sample);
    buffer_release(&content);
}

TEST(a_device_is_known_by_its_uid_or_by_maker_and_serial_number)
{
    struct sample *sample = sample_new("00080060 CS CT\n"
                                       "00080070 LO ACME\n"
                                       "00081010 SH CT1\n"
                                       "00081090 LO CT9000\n"
                                       "00100020 LO PAT-1\n"
                                       "00181000 LO SN-7\n"
                                       "00181002 UI 1.2.840.99.3\n"
                                       "0018100A SQ\n"
                                       ">00181009 UT (01)00844588003288(17)141120\n"
                                       "00181020 LO V1\\V2\n");
    struct mapping mapping;
    sample_add_series(sample,
                      "00080060 CS CT\n00080070 LO ACME\n00100020 LO PAT-1\n00181000 LO SN-8\n", 1);
    sample_add_series(sample, "00080060 CS CT\n00080070 LO ACME\n00100020 LO PAT-1\n", 1);
    mapping_init(&mapping, &sample->study, options);
    CHECK_INT(cJSON_GetArraySize(mapping.devices), 2);
    CHECK_JSON(sample_at(mapping.devices, "0"),
               "{'resourceType':'Device','meta':{'source':'urn:hounsfield:TEST',"
               "'tag':[{'system':'urn:hounsfield','code':'dicom-cast'}]},"
               "'identifier':[{'system':'urn:ietf:rfc:3986','value':'urn:oid:1.2.840.99.3'},"
               "{'system':'urn:hounsfield:TEST/device-serial/ACME','value':'SN-7'}],"
               "'udiCarrier':[{'deviceIdentifier':'00844588003288',"
               "'issuer':'http://hl7.org/fhir/NamingSystem/"
               "gs1-di','carrierHRF':'(01)00844588003288(17)141120'}],"
               "'status':'active','manufacturer':'ACME','serialNumber':'SN-7',"
               "'deviceName':[{'name':'CT1','type':'user-friendly-name'}],"
               "'modelNumber':'CT9000','version':[{'value':'V1'},{'value':'V2'}]}");
    CHECK_TEXT(json_text(sample_at(mapping.devices, "1/identifier/0"), "value"), "SN-8");
    mapping_release(&mapping);
    sample_free(sample);
}
