/* SPDX-License-Identifier: MIT */
#include "cast/service_request.h"

#include <stdio.h>

#include "tests/test.h"

static const char patient_text[] =
    "{\"resourceType\":\"Patient\",\"id\":\"p1\",\"identifier\":["
    "{\"system\":\"http://other.example/id\",\"value\":\"X-1\"},"
    "{\"type\":{\"coding\":[{\"code\":\"MR\"}]},\"system\":\"http://hospital.example/mrn\","
    "\"value\":\"4711\"}],"
    "\"name\":[{\"use\":\"maiden\",\"family\":\"ROE\"},"
    "{\"use\":\"official\",\"family\":\"DOE\",\"given\":[\"JANE\",\"M\"],\"prefix\":[\"Dr\"]},"
    "{\"family\":\"\\u5c71\\u7530\",\"extension\":[{\"url\":"
    "\"http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation\","
    "\"valueCode\":\"IDE\"}]}],"
    "\"birthDate\":\"1970-01-31\",\"gender\":\"female\"}";

static const char request_text[] =
    "{\"resourceType\":\"ServiceRequest\",\"id\":\"r1\","
    "\"meta\":{\"lastUpdated\":\"2026-11-21T10:00:00.250+01:00\"},"
    "\"status\":\"active\",\"intent\":\"order\",\"priority\":\"urgent\","
    "\"identifier\":[{\"type\":{\"coding\":[{\"code\":\"PLAC\"}]},\"value\":\"P-1\"},"
    "{\"type\":{\"coding\":[{\"code\":\"ACSN\"}]},\"value\":\"A-1\"},"
    "{\"system\":\"urn:dicom:uid\",\"value\":\"urn:oid:1.2.3\"}],"
    "\"code\":{\"coding\":[{\"system\":\"http://snomed.info/sct\",\"code\":\"241540006\","
    "\"display\":\"MRI of abdomen\"}],\"text\":\"MR abdomen\"},"
    "\"orderDetail\":[{\"coding\":[{\"system\":\"http://dicom.nema.org/resources/ontology/DCM\","
    "\"code\":\"MR\"}]}],"
    "\"subject\":{\"reference\":\"Patient/p1\"},"
    "\"occurrenceDateTime\":\"2026-11-22T08:30:00+01:00\","
    "\"requester\":{\"display\":\"Dr. Who^=\"},"
    "\"performer\":[{\"type\":\"Device\",\"identifier\":{\"value\":\"MR1\"}}],"
    "\"locationReference\":[{\"display\":\"Room 5\"}],"
    "\"reasonCode\":[{\"text\":\"Pain\"}]}";

struct read {
    cJSON *request;
    cJSON *patient;
    cJSON *appointment;
    struct service_request result;
    struct dataset *dataset;
    struct error err;
    bool ok;
};

static struct read read_with(const char *request, const char *patient, const char *appointment)
{
    static const char *const issuers[] = { "http://hospital.example/mrn=HOSP", NULL };
    const struct service_request_options options = { .issuers = issuers };
    struct read read = { 0 };
    CHECK_OK(json_parse(slice_text(request), &read.request, &read.err), read.err);
    if (patient)
        CHECK_OK(json_parse(slice_text(patient), &read.patient, &read.err), read.err);
    if (appointment)
        CHECK_OK(json_parse(slice_text(appointment), &read.appointment, &read.err), read.err);
    const struct service_request_parts parts = { read.request, read.patient, read.appointment };
    read.ok = service_request_read(&parts, &options, &read.result, &read.err);
    if (read.ok && read.result.dataset.size)
        CHECK_OK(dataset_open(buffer_slice(&read.result.dataset),
                              transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                              &read.dataset, &read.err),
                 read.err);
    return read;
}

static void release(struct read *read)
{
    dataset_close(read->dataset);
    service_request_release(&read->result);
    cJSON_Delete(read->request);
    cJSON_Delete(read->patient);
    cJSON_Delete(read->appointment);
}

static const char *text_of(const struct dataset *dataset, uint32_t tag)
{
    static char text[256];
    dataset_string(dataset, tag, text, sizeof text);
    return text;
}

static const char *step_text(const struct read *read, uint32_t tag)
{
    static char text[256];
    struct dataset *item = dataset_item(read->dataset, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, 0);
    CHECK(item);
    dataset_string(item, tag, text, sizeof text);
    dataset_close(item);
    return text;
}

TEST(an_order_of_fhir_becomes_an_entry_of_the_worklist)
{
    struct read read = read_with(request_text, patient_text, NULL);
    CHECK_OK(read.ok, read.err);
    CHECK(read.result.is_order);
    CHECK_INT(read.result.control, STEP_NEW);
    CHECK_TEXT(read.result.placer, "P-1");
    CHECK_TEXT(text_of(read.dataset, TAG_ACCESSION_NUMBER), "A-1");
    CHECK_TEXT(text_of(read.dataset, TAG_STUDY_INSTANCE_UID), "1.2.3");
    CHECK_TEXT(text_of(read.dataset, TAG_PATIENT_ID), "4711");
    CHECK_TEXT(text_of(read.dataset, TAG_ISSUER_OF_PATIENT_ID), "HOSP");
    CHECK_TEXT(text_of(read.dataset, TAG_PATIENT_NAME), "DOE^JANE^M^Dr=\xE5\xB1\xB1\xE7\x94\xB0");
    CHECK_TEXT(text_of(read.dataset, TAG_PATIENT_BIRTH_DATE), "19700131");
    CHECK_TEXT(text_of(read.dataset, TAG_PATIENT_SEX), "F");
    CHECK_TEXT(text_of(read.dataset, TAG_REQUESTED_PROCEDURE_DESCRIPTION), "MR abdomen");
    CHECK_TEXT(text_of(read.dataset, TAG_REQUESTED_PROCEDURE_PRIORITY), "HIGH");
    CHECK_TEXT(text_of(read.dataset, TAG_REQUESTING_PHYSICIAN), "Dr. Who");
    CHECK_TEXT(step_text(&read, TAG_MODALITY), "MR");
    CHECK_TEXT(step_text(&read, TAG_SCHEDULED_STATION_AE_TITLE), "MR1");
    CHECK_TEXT(step_text(&read, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE), "20261122");
    CHECK_TEXT(step_text(&read, TAG_SCHEDULED_PROCEDURE_STEP_START_TIME), "083000");
    CHECK_TEXT(step_text(&read, TAG_SCHEDULED_PROCEDURE_STEP_LOCATION), "Room 5");
    struct dataset *code = dataset_item(read.dataset, TAG_REQUESTED_PROCEDURE_CODE_SEQUENCE, 0);
    CHECK_TEXT(text_of(code, TAG_CODE_VALUE), "241540006");
    CHECK_TEXT(text_of(code, TAG_CODING_SCHEME_DESIGNATOR), "SCT");
    dataset_close(code);
    int64_t expected;
    CHECK(service_request_instant("2026-11-21T09:00:00.250Z", &expected));
    CHECK_INT(read.result.message_us, expected);
    release(&read);
}

TEST(an_appointment_says_when_and_where)
{
    struct read read = read_with(
        request_text, patient_text,
        "{\"resourceType\":\"Appointment\",\"meta\":{\"lastUpdated\":\"2026-11-21T12:00:00Z\"},"
        "\"start\":\"2026-12-01T14:05:00Z\",\"participant\":[{\"actor\":{\"reference\":"
        "\"Location/l\",\"display\":\"Room 7\"}}]}");
    int64_t expected;
    CHECK_OK(read.ok, read.err);
    CHECK_TEXT(step_text(&read, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE), "20261201");
    CHECK_TEXT(step_text(&read, TAG_SCHEDULED_PROCEDURE_STEP_START_TIME), "140500");
    CHECK_TEXT(step_text(&read, TAG_SCHEDULED_PROCEDURE_STEP_LOCATION), "Room 7");
    CHECK(service_request_instant("2026-11-21T12:00:00Z", &expected));
    CHECK_INT(read.result.message_us, expected);
    release(&read);
}

TEST(what_is_not_imaging_or_not_yet_asked_for_is_no_order)
{
    static const char *const texts[] = {
        "{\"resourceType\":\"ServiceRequest\",\"status\":\"active\",\"intent\":\"order\","
        "\"code\":{\"text\":\"Sodium\"},\"identifier\":[{\"value\":\"1\"}]}",
        "{\"resourceType\":\"ServiceRequest\",\"status\":\"draft\",\"intent\":\"order\"}",
        "{\"resourceType\":\"ServiceRequest\",\"status\":\"active\",\"intent\":\"proposal\"}",
        /* imaging, but of which kind nobody knows */
        "{\"resourceType\":\"ServiceRequest\",\"status\":\"active\",\"intent\":\"order\","
        "\"category\":[{\"coding\":[{\"code\":\"363679005\"}]}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct read read = read_with(texts[i], patient_text, NULL);
        CHECK_OK(read.ok, read.err);
        CHECK(!read.result.is_order);
        CHECK(read.result.why[0]);
        release(&read);
    }
}

TEST(a_revoked_request_cancels_by_its_numbers_alone)
{
    struct read read = read_with("{\"resourceType\":\"ServiceRequest\",\"status\":\"revoked\","
                                 "\"intent\":\"order\",\"identifier\":[{\"value\":\"P-1\"}]}",
                                 NULL, NULL);
    CHECK_OK(read.ok, read.err);
    CHECK(read.result.is_order);
    CHECK_INT(read.result.control, STEP_CANCEL);
    CHECK_TEXT(read.result.placer, "P-1");
    CHECK_INT((long long)read.result.dataset.size, 0);
    release(&read);
}

TEST(what_cannot_be_an_entry_is_refused_and_never_cut)
{
    static const struct {
        const char *from;
        const char *to;
    } changes[] = {
        { "\"value\":\"A-1\"", "\"value\":\"A-12345678901234567\"" },
        { "\"value\":\"A-1\"", "\"value\":\"A\\\\\\\\1\"" },
        { "\"value\":\"urn:oid:1.2.3\"", "\"value\":\"urn:oid:1..3\"" },
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[4096];
        const char *at = strstr(request_text, changes[i].from);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - request_text), request_text,
                 changes[i].to, at + strlen(changes[i].from));
        struct read read = read_with(text, patient_text, NULL);
        CHECK(!read.ok);
        CHECK_INT(read.err.code, ERROR_INVALID);
        release(&read);
    }
    struct read read = read_with(request_text, NULL, NULL);
    CHECK(!read.ok);
    release(&read);
    read = read_with(request_text, "{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"X\"}]}",
                     NULL);
    CHECK(!read.ok);
    release(&read);
}

TEST(what_is_no_day_of_the_calendar_and_no_time_of_the_day_is_left_out)
{
    static const struct {
        const char *text;
        const char *birth_date; /* of its first ten characters */
        const char *date;
        const char *time;
    } rows[] = {
        { "2026-11-22", "20261122", "20261122", "" },
        { "2026-11-22T08:30", "20261122", "20261122", "083000" },
        { "2026-11-22T08:30:15.5Z", "20261122", "20261122", "083015" },
        { "2026-13-22", "", "", "" },
        { "2026-02-30T08:30:00Z", "", "", "" },
        { "2026-11-22T24:30:00Z", "20261122", "", "" },
        { "2026-11-22T08:61:00Z", "20261122", "", "" },
        { "2026-1--22", "", "", "" },
        { "tomorrow at ten", "", "", "" },
        { "", "", "", "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char request[1024], patient[256];
        snprintf(
            request, sizeof request,
            "{\"resourceType\":\"ServiceRequest\",\"id\":\"r1\",\"status\":\"active\","
            "\"subject\":{\"reference\":\"Patient/p\"},\"orderDetail\":[{\"coding\":[{\"system\":"
            "\"http://dicom.nema.org/resources/ontology/DCM\",\"code\":\"MR\"}]}],"
            "\"occurrenceDateTime\":\"%s\"}",
            rows[i].text);
        snprintf(patient, sizeof patient,
                 "{\"resourceType\":\"Patient\",\"identifier\":[{\"value\":\"1\"}],"
                 "\"birthDate\":\"%.10s\",\"name\":[{\"text\":\"x\"}]}",
                 rows[i].text);
        struct read read = read_with(request, patient, NULL);
        CHECK_OK(read.ok, read.err);
        CHECK_TEXT(text_of(read.dataset, TAG_PATIENT_BIRTH_DATE), rows[i].birth_date);
        CHECK_TEXT(step_text(&read, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE), rows[i].date);
        CHECK_TEXT(step_text(&read, TAG_SCHEDULED_PROCEDURE_STEP_START_TIME), rows[i].time);
        release(&read);
    }
}

TEST(a_name_that_is_too_long_is_cut_between_characters_and_a_birth_date_is_digits)
{
    char patient[1024];
    snprintf(
        patient, sizeof(patient),
        "{\"resourceType\":\"Patient\",\"identifier\":[{\"value\":\"1\"}],"
        "\"birthDate\":\"19\\\\0-01-\\\\1\",\"name\":[{\"text\":\"x%s\"}]}",
        "\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71"
        "\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71\u5c71");
    struct read read = read_with(request_text, patient, NULL);
    char text[200] = "";
    CHECK(read.ok);
    CHECK(dataset_string(read.dataset, TAG_PATIENT_NAME, text, sizeof(text)));
    CHECK(!strstr(text, "\xEF\xBF\xBD")); /* no U+FFFD */
    CHECK(strlen(text) > 50);
    CHECK(!dataset_string(read.dataset, TAG_PATIENT_BIRTH_DATE, text, sizeof(text)));
    release(&read);
}

TEST(instants_are_read_with_their_zones)
{
    int64_t a, b;
    CHECK(service_request_instant("2026-01-01T00:30:00.5+01:00", &a));
    CHECK(service_request_instant("2025-12-31T23:30:00.500Z", &b));
    CHECK_INT(a, b);
    CHECK(!service_request_instant("2026-01-01", &a));
    CHECK(!service_request_instant("2026-01-01T00:30:00", &a));
    CHECK(!service_request_instant("2026-01-01T00:30:00+0100 ", &a));
}
