/* SPDX-License-Identifier: MIT */
#include "cast/withhold.h"

#include "cast/merge.h"
#include "tests/cast/rich_documents.h"
#include "tests/cast/rich_sample.h"
#include "tests/cast/sample.h"

static unsigned set_of(const char *name)
{
    const char *const list[] = { name, NULL };
    struct error err;
    unsigned set;
    CHECK_OK(withhold_read(list, &set, &err), err);
    return set;
}

/* The rich sample, mapped with something withheld, as text. */
static void map_without(unsigned set, struct mapping *mapping, struct buffer *text)
{
    struct sample *sample = rich_sample();
    struct mapping_options options = sample_options;
    options.withhold = set;
    mapping_init(mapping, &sample->study, &options);
    json_print(mapping->patient, text);
    json_print(mapping->imaging_study, text);
    sample_free(sample);
}

TEST(what_is_withheld_is_nowhere_in_what_is_cast)
{
    static const struct {
        const char *group;
        const char *texts[12];
    } secrets[] = {
        { "patientNames", { "Yamada", "Tarou", "Sato", "Hanako", "山田", "やまだ" } },
        { "birthDate", { "1950" } },
        { "sex", { "male" } },
        { "species", { "sapiens" } },
        { "otherPatientIds", { "0815", "Insurance" } },
        { "orders", { "ACC-1", "S1\"", "PL-1", "V-7" } },
        { "practitioners", { "Wilson", "Cuddy", "House" } },
        { "devices", { "CT9000", "1.2.840.99.3" } },
        { "location", { "Radiology" } },
        { "procedures", { "303653007", "CTHEAD", "CT head plain" } },
        { "reasons", { "Headache" } },
        { "descriptions", { "\"CT head\"", "Axial 5 mm", "ORIGINAL" } },
        { "instances", { "1.2.826.0.1.3680043.2.1.1.1", "1.2.840.10008.5.1.4.1.1.2" } },
    };
    size_t groups = 0;
    while (withhold_names()[groups])
        groups++;
    CHECK_INT(groups, 5 + sizeof secrets / sizeof *secrets); /* and five whole resources */
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        struct buffer all = buffer_up_to(1 << 20), rest = buffer_up_to(1 << 20);
        struct mapping mapping;
        map_without(0, &mapping, &all);
        mapping_release(&mapping);
        map_without(set_of(secrets[i].group), &mapping, &rest);
        mapping_release(&mapping);
        for (const char *const *text = secrets[i].texts; *text; text++) {
            if (!strstr(buffer_text(&all), *text))
                test_fail(__FILE__, __LINE__, "%s is not in the sample", *text);
            if (strstr(buffer_text(&rest), *text))
                test_fail(__FILE__, __LINE__, "%s: %s is cast", secrets[i].group, *text);
        }
        buffer_release(&all);
        buffer_release(&rest);
    }
}

TEST(what_is_withheld_is_nowhere_in_what_documents_say)
{
    static const struct {
        const char *group;
        const char *texts[6];
    } secrets[] = {
        { "orders", { "ACC-1", "V-7" } },
        { "practitioners", { "Cuddy", "House", "Foreman", "Wilson" } },
        { "devices", { "Scribe", "SN-7", "\"Device\"" } },
        { "descriptions", { "Look here" } },
        { "Observation", { "\"Observation\"", "415.82" } },
        { "DiagnosticReport", { "\"DiagnosticReport\"", "No pneumonia" } },
        { "DocumentReference", { "\"DocumentReference\"" } },
    };
    struct sample *sample = rich_documents();
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        for (int withheld = 0; withheld <= 1; withheld++) {
            struct buffer text = buffer_up_to(1 << 20);
            struct mapping_options options = sample_options;
            struct mapping mapping;
            options.withhold = withheld ? set_of(secrets[i].group) : 0;
            mapping_init(&mapping, &sample->study, &options);
            json_print(mapping.documents, &text);
            json_print(mapping.devices, &text);
            for (const char *const *secret = secrets[i].texts; *secret; secret++)
                if ((strstr(buffer_text(&text), *secret) == NULL) != (withheld == 1))
                    test_fail(__FILE__, __LINE__, "%s: %s", secrets[i].group, *secret);
            mapping_release(&mapping);
            buffer_release(&text);
        }
    }
    sample_free(sample);
}

TEST(with_everything_withheld_a_study_is_its_uids_and_numbers)
{
    struct buffer text = buffer_up_to(1 << 20);
    struct mapping mapping;
    map_without(~0U, &mapping, &text);
    CHECK_INT(mapping.endpoint_count, 0);
    mapping_set_references(mapping.imaging_study, NULL, NULL, 0);
    mapping_set_logical_subject(mapping.imaging_study, mapping.patient);
    CHECK_JSON(mapping.patient,
               "{'resourceType':'Patient'," RICH_META ",'identifier':[{'use':'usual'," RICH_TYPE(
                   "MR") ",'system':'urn:oid:1.2.840.99.2','value':'PAT-1',"
                         "'assigner':{'display':'General Hospital'}}]}");
    CHECK_JSON(
        mapping.imaging_study,
        "{'resourceType':'ImagingStudy'," RICH_META ",'identifier':[{'use':'official',"
        "'system':'urn:dicom:uid','value':'urn:oid:1.2.826.0.1.3680043.2.1'}],"
        "'status':'available','modality':[{'system':'http://dicom.nema.org/resources/ontology/DCM',"
        "'code':'CT'}],'subject':{'type':'Patient','identifier':{'use':'usual'," RICH_TYPE(
            "MR") ",'system':'urn:oid:1.2.840.99.2','value':'PAT-1',"
                  "'assigner':{'display':'General Hospital'}}},"
                  "'started':'2026-01-31T08:05:07+01:00','numberOfSeries':1,'numberOfInstances':1,"
                  "'series':[{'uid':'1.2.826.0.1.3680043.2.1.1','number':3,'modality':{'system':"
                  "'http://dicom.nema.org/resources/ontology/DCM','code':'CT'},"
                  "'numberOfInstances':1,'bodySite':{'system':'http://snomed.info/sct','code':"
                  "'69536005','display':'Head'},'laterality':{'system':'http://snomed.info/sct',"
                  "'code':'7771000','display':'Left'},'specimen':[{'type':'Specimen',"
                  "'identifier':{'system':'urn:hounsfield:TEST/specimen','value':'SP-1'}}],"
                  "'started':'2026-01-31T08:10:00+01:00'}]}");
    mapping_release(&mapping);
    buffer_release(&text);
}

TEST(an_unknown_group_is_refused)
{
    const char *const list[] = { "sex", "sexes", NULL };
    struct error err;
    unsigned set;
    CHECK(!withhold_read(list, &set, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    CHECK(withhold_read(NULL, &set, &err));
    CHECK_INT(set, 0);
}

/* What a server holds after a cast of all, and then of what is left without the group. */
static void check_taken_back(unsigned set)
{
    struct buffer text = buffer_up_to(1 << 20);
    struct mapping all, rest;
    map_without(0, &all, &text);
    map_without(set, &rest, &text);
    mapping_set_references(all.imaging_study, "Patient/1", NULL, 0);
    mapping_set_references(rest.imaging_study, "Patient/1", NULL, 0);
    const char *source = json_text(json_get(all.patient, "meta"), "source");
    merge_resource(all.patient, rest.patient);
    merge_take_back(all.patient, rest.withheld_patient, source);
    merge_resource(all.imaging_study, rest.imaging_study);
    merge_take_back(all.imaging_study, rest.withheld_imaging_study, source);
    CHECK(json_equal(all.patient, rest.patient));
    CHECK(json_equal(all.imaging_study, rest.imaging_study));
    /* Done once, there is nothing left to do. */
    CHECK(!merge_take_back(all.patient, rest.withheld_patient, source));
    CHECK(!merge_take_back(all.imaging_study, rest.withheld_imaging_study, source));
    mapping_release(&all);
    mapping_release(&rest);
    buffer_release(&text);
}

TEST(what_is_withheld_later_is_taken_back)
{
    check_taken_back(~0U);
    for (const char *const *name = withhold_names(); *name; name++)
        check_taken_back(set_of(*name));
}

static bool take_back(const char *held_text, const char *withheld_text, const char *expected)
{
    cJSON *held = sample_json(held_text);
    cJSON *withheld = sample_json(withheld_text);
    bool changed = merge_take_back(held, withheld, "urn:hounsfield:TEST");
    CHECK_JSON(held, expected);
    cJSON_Delete(held);
    cJSON_Delete(withheld);
    return changed;
}

TEST(others_words_are_not_taken_back)
{
    /* A birth date, a name and an identifier that are not those that we know. */
    const char *held = "{'resourceType':'Patient'," RICH_META ",'identifier':[{'value':'1'},"
                       "{'value':'2','period':{'start':'2020'}}],'name':[{'family':'Doe-Smith'}],"
                       "'birthDate':'1950-07-15'}";
    CHECK(!take_back(held,
                     "{'resourceType':'Patient','identifier':[{'value':'2'}],"
                     "'name':[{'family':'Doe'}],'birthDate':'1950-07-14'}",
                     held));
    /* One of ours beside one of theirs. */
    CHECK(take_back("{'resourceType':'Patient'," RICH_META ",'name':[{'family':'A'},"
                    "{'family':'B'}]}",
                    "{'resourceType':'Patient','name':[{'family':'A'}]}",
                    "{'resourceType':'Patient'," RICH_META ",'name':[{'family':'B'}]}"));
    /* A Patient that others made, or another archive. */
    held = "{'resourceType':'Patient','gender':'male'}";
    CHECK(!take_back(held, "{'resourceType':'Patient','gender':'male'}", held));
    held = "{'resourceType':'Patient','meta':{'source':'urn:hounsfield:OTHER','tag':[{'system':"
           "'urn:hounsfield','code':'dicom-cast'}]},'gender':'male'}";
    CHECK(!take_back(held, "{'resourceType':'Patient','gender':'male'}", held));
}

TEST(the_file_of_settings_names_every_group)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", __FILE__);
    *strstr(path, "tests/cast/") = 0;
    strncat(path, "server/hounsfield.json", sizeof path - strlen(path) - 1);
    FILE *file = fopen(path, "r");
    CHECK(file);
    char *text = mem_alloc(1 << 20);
    CHECK(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    for (const char *const *name = withhold_names(); *name; name++) {
        char *line = mem_format("// \"%s\"", *name);
        if (!strstr(text, line))
            test_fail(__FILE__, __LINE__, "the file of settings does not name %s", *name);
        free(line);
    }
    free(text);
}
