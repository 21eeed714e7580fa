/* SPDX-License-Identifier: MIT */
/* Documents that say too much, or what makes no sense, are mapped in bounds of memory and time. */
#include "cast/mapping.h"

#include "tests/cast/content_sample.h"

#define COMPREHENSIVE "1.2.840.10008.5.1.4.1.1.88.33"
#define KEY_OBJECTS   "1.2.840.10008.5.1.4.1.1.88.59"
#define DOSE          "1.2.840.10008.5.1.4.1.1.88.67"

#define HEADER "00080060 CS SR\n00100020 LO PAT-1\n"
#define REPORT "126000,DCM,Imaging Measurement Report"

static const struct mapping_options *options = &sample_options;

static void map_text(struct mapping *mapping, struct sample **sample, const char *sop_class,
                     const char *title, const char *content)
{
    *sample = content_study(sop_class, content_sample(HEADER, title, "", content));
    mapping_init(mapping, &(*sample)->study, options);
}

/* The index-th resource of this type. */
static const cJSON *made(const struct mapping *mapping, const char *type, size_t index)
{
    const cJSON *each;
    for (each = json_first(mapping->documents); each; each = each->next)
        if (json_is_resource(each, type) && index-- == 0)
            return each;
    return NULL;
}

static size_t footprint(const struct mapping *mapping)
{
    return json_footprint(mapping->documents) + json_footprint(mapping->selections);
}

/* Each event would have what all that are in it have. */
TEST(HOS_21_what_is_in_an_event_of_an_event_is_told_once)
{
    enum { DEPTH = 50 };
    struct sample *sample;
    struct mapping mapping;
    struct buffer content = buffer_up_to(1 << 20);
    for (int depth = 1; depth <= DEPTH; depth++) {
        for (int i = 0; i < depth; i++)
            buffer_append_byte(&content, '>');
        buffer_append_text(&content, " C CONTAINER 113819,DCM,CT Acquisition\n");
    }
    for (int i = 0; i <= DEPTH; i++)
        buffer_append_byte(&content, '>');
    buffer_append_text(&content, " C NUM 113838,DCM,DLP = 1 mGy.cm\n");
    map_text(&mapping, &sample, DOSE, "113701,DCM,Dose Report", buffer_text(&content));
    CHECK_INT(cJSON_GetArraySize(mapping.documents), DEPTH + 1);
    for (size_t i = 0; i < DEPTH; i++)
        CHECK_INT(cJSON_GetArraySize(sample_at(made(&mapping, "Observation", i), "component")),
                  i == DEPTH - 1);
    mapping_release(&mapping);
    sample_free(sample);
    buffer_release(&content);
}

/* One long word of context would stand in each of the measurements. */
TEST(HOS_21_a_context_without_end_is_not_repeated_in_all_that_stands_in_it)
{
    struct sample *sample;
    struct mapping mapping;
    struct buffer content = buffer_up_to(4 << 20);
    buffer_append_text(&content, "> C CONTAINER 126010,DCM,Imaging Measurements\n"
                                 ">> O TEXT 112039,DCM,Tracking Identifier = ");
    for (int i = 0; i < 1900; i++)
        buffer_append_byte(&content, 'x');
    buffer_append_text(&content, "\n");
    for (int i = 0; i < 1500; i++)
        buffer_append_text(&content, ">> C NUM 410668003,SCT,Length = 1 mm\n");
    struct sample_dataset *document = content_sample(HEADER, REPORT, "", buffer_text(&content));
    sample = content_study(COMPREHENSIVE, document);
    /* The same document many times, each with a UID of its own. */
    enum { MANY = 40 };
    struct study_instance *one = sample->series[0].instances;
    struct study_instance *many = mem_alloc_array(MANY, sizeof *many);
    for (int i = 0; i < MANY; i++) {
        many[i] = *one;
        many[i].sop_instance = mem_format("1.2.3.%d", i + 1);
    }
    sample->series[0].instances = many;
    sample->series[0].instance_count = MANY;
    mapping_init(&mapping, &sample->study, options);
    CHECK(footprint(&mapping) < (80 << 20));
    CHECK_INT(mapping.note_count, 1);
    CHECK(made(&mapping, "DiagnosticReport", MANY - 1) != NULL);
    sample->series[0].instances = one;
    sample->series[0].instance_count = 1;
    for (int i = 0; i < MANY; i++)
        free((char *)(uintptr_t)many[i].sop_instance);
    free(many);
    mapping_release(&mapping);
    sample_free(sample);
    buffer_release(&content);
}

TEST(of_many_frames_that_are_pointed_out_none_is_missing)
{
    struct sample *sample;
    struct mapping mapping;
    struct buffer content = buffer_up_to(1 << 20);
    buffer_append_text(&content,
                       "> C IMAGE 113000,DCM,Of Interest = 1.2.840.10008.5.1.4.1.1.2.1 1.2.3.1 1");
    for (int i = 2; i <= 1200; i++)
        buffer_append_format(&content, "\\%d", i);
    map_text(&mapping, &sample, KEY_OBJECTS, "113000,DCM,Of Interest", buffer_text(&content));
    mapping_shape(&mapping, FHIR_R5);
    const cJSON *frames = sample_at(made(&mapping, "ImagingSelection", 0), "instance/0/subset");
    CHECK_INT(cJSON_GetArraySize(frames), 1200);
    CHECK_INT(mapping.note_count, 0);
    mapping_release(&mapping);
    sample_free(sample);
    buffer_release(&content);
}

TEST(HOS_21_what_stands_behind_a_nul_in_a_text_is_told_too)
{
    struct mapping mapping;
    struct sample_dataset *document = content_sample(
        HEADER, "18748-4,LN,Report", "",
        "> C CONTAINER 121072,DCM,Impressions\n>> C TEXT 121073,DCM,Impression = No fracture~but a "
        "tumour.\n");
    uint8_t *mark = memchr(document->bytes.data, '~', document->bytes.size);
    CHECK(mark != NULL);
    *mark = 0;
    struct sample *sample = content_study(COMPREHENSIVE, document);
    mapping_init(&mapping, &sample->study, options);
    CHECK_TEXT(json_text(made(&mapping, "DiagnosticReport", 0), "conclusion"),
               "No fracture but a tumour.");
    mapping_release(&mapping);
    sample_free(sample);
}

TEST(HOS_21_an_item_that_calls_itself_by_its_studys_uid_is_known_by_its_place)
{
    struct sample *sample;
    struct mapping mapping;
    map_text(&mapping, &sample, DOSE, "113701,DCM,Dose Report",
             "> C CONTAINER 113819,DCM,CT Acquisition\n"
             ">> C UIDREF 113769,DCM,Irradiation Event UID = " SAMPLE_STUDY_UID "\n");
    CHECK_TEXT(json_text(sample_at(made(&mapping, "Observation", 0), "identifier/0"), "value"),
               "1.2.826.0.1.3680043.2.1.1.1#1");
    mapping_release(&mapping);
    sample_free(sample);
}

TEST(a_measurement_that_no_number_of_a_computer_holds_has_no_value)
{
    static const struct {
        const char *number;
        bool is_one;
    } cases[] = { { "1E300", true },
                  { "1E-300", true },
                  { "1E301", false },
                  { "1E99999999999", false },
                  { "999999999999E298", false },
                  { "0E9999", false } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample *sample;
        struct mapping mapping;
        char content[128];
        snprintf(content, sizeof content, "> C NUM 410668003,SCT,Length = %s mm\n",
                 cases[i].number);
        map_text(&mapping, &sample, COMPREHENSIVE, REPORT, content);
        const cJSON *length = made(&mapping, "Observation", 0);
        CHECK_INT(sample_at(length, "valueQuantity") != NULL, cases[i].is_one);
        CHECK_INT(sample_at(length, "dataAbsentReason") != NULL, !cases[i].is_one);
        mapping_release(&mapping);
        sample_free(sample);
    }
}

TEST(a_period_of_two_zones_or_precisions_is_told_by_its_start)
{
    static const struct {
        const char *end;
        bool is_period;
    } cases[] = {
        { "20260131100500+0100", true },
        { "20260131100500+0500", false },
        { "20260131", false },
        { "20260131095900+0100", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample *sample;
        struct mapping mapping;
        char content[256];
        snprintf(content, sizeof content,
                 "> C DATETIME 113809,DCM,Start of X-Ray Irradiation = 20260131100000+0100\n"
                 "> C DATETIME 113810,DCM,End of X-Ray Irradiation = %s\n",
                 cases[i].end);
        map_text(&mapping, &sample, DOSE, "113701,DCM,Dose Report", content);
        const cJSON *report = made(&mapping, "Observation", 0);
        CHECK_INT(sample_at(report, "effectivePeriod") != NULL, cases[i].is_period);
        CHECK_INT(sample_at(report, "effectiveDateTime") != NULL, !cases[i].is_period);
        mapping_release(&mapping);
        sample_free(sample);
    }
}

TEST(a_unit_that_is_no_code_of_UCUM_is_told_as_it_reads)
{
    static const struct {
        const char *unit;
        const char *code; /* NULL: none */
    } cases[] = { { "mm", "mm" },         { "{events}", "{events}" },
                  { "mm[Hg]", "mm[Hg]" }, { "{a", NULL },
                  { "a}", NULL },         { "{a[b]}", NULL },
                  { "\xC2\xB5m", NULL } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample *sample;
        struct mapping mapping;
        char content[128];
        snprintf(content, sizeof content, "> C NUM 410668003,SCT,Length = 1 %s\n", cases[i].unit);
        map_text(&mapping, &sample, COMPREHENSIVE, REPORT, content);
        const cJSON *quantity = sample_at(made(&mapping, "Observation", 0), "valueQuantity");
        CHECK_TEXT(json_text(quantity, "unit"), cases[i].unit);
        if (cases[i].code)
            CHECK_TEXT(json_text(quantity, "code"), cases[i].code);
        else
            CHECK(!json_get(quantity, "code") && !json_get(quantity, "system"));
        mapping_release(&mapping);
        sample_free(sample);
    }
}
