/* SPDX-License-Identifier: MIT */
#include "cast/search_request.h"

#include "tests/cast/sample.h"

static bool spans(const char *text, const char *from, int64_t width_ms)
{
    struct time_span span, first;
    return time_span_read(text, &span) && time_span_read(from, &first) &&
           span.from_ms == first.from_ms && span.to_ms - span.from_ms == width_ms;
}

TEST(a_date_is_a_span_as_long_as_it_is_vague)
{
    const int64_t day = 24 * 60 * 60 * 1000;
    struct time_span span;
    CHECK(time_span_read("1970-01-01T00:00:00Z", &span) && span.from_ms == 0);
    CHECK(time_span_read("2026-11-21T19:04:05.678Z", &span));
    CHECK_INT(span.from_ms, INT64_C(1795287845678));
    CHECK(spans("2024", "2024-01-01", 366 * day));
    CHECK(spans("2023-02", "2023-02-01", 28 * day));
    CHECK(spans("1900-02", "1900-02-01", 28 * day));
    CHECK(spans("2000-02-29", "2000-02-29", day));
    CHECK(spans("2026-01-31T08:05", "2026-01-31T08:05:00", 60 * 1000));
    CHECK(spans("2026-01-31T08:05:07", "2026-01-31T08:05:07.0", 1000));
    CHECK(spans("2026-01-31T08:05:07.5", "2026-01-31T08:05:07.50", 100));
    CHECK(spans("2026-01-31T01:05:00+02:00", "2026-01-30T23:05:00Z", 1000));
    CHECK(spans("2026-01-31T23:05:00-02:30", "2026-02-01T01:35:00Z", 1000));
    static const char *const none[] = { "",
                                        "20",
                                        "20240101",
                                        "2024-1",
                                        "2024-00",
                                        "2023-02-29",
                                        "2024-01-32",
                                        "2024-01-01T",
                                        "2024-01-01T08",
                                        "2024-01-01T24:00",
                                        "2024-01-01T08:05:61",
                                        "2024-01-01T08:05:00.",
                                        "2024-01-01T08:05:00+1",
                                        "2024-01-01T08:05:00Zx",
                                        "2024-01-01 08:05" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK(!time_span_read(none[i], &span));
}

static bool fits_date(const char *wanted, const char *held)
{
    struct time_span span, of_held;
    const char *date;
    enum search_prefix prefix = search_prefix_read(wanted, &date);
    CHECK(time_span_read(date, &span));
    CHECK(time_span_read(held, &of_held));
    return time_span_fits(prefix, span, of_held, INT64_C(1795287845678));
}

TEST(a_prefix_says_how_two_spans_lie)
{
    CHECK(fits_date("2024", "2024-03-01") && !fits_date("2024-03-01", "2024"));
    CHECK(fits_date("ne2024-03-01", "2024") && !fits_date("ne2024", "2024-03-01"));
    CHECK(fits_date("gt2024-03-01", "2024-03-02") && !fits_date("gt2024-03-01", "2024-03-01"));
    CHECK(fits_date("gt2024-03-01", "2024-03"));
    CHECK(fits_date("ge2024-03-01", "2024-03-01") && !fits_date("ge2024-03-01", "2024-02-28"));
    CHECK(fits_date("lt2024-03-01", "2024-02") && !fits_date("lt2024-03-01", "2024-03-01"));
    CHECK(fits_date("le2024-03-01", "2024-03-01") && !fits_date("le2024-03-01", "2024-03-02"));
    CHECK(fits_date("sa2024-03", "2024-04-01") && !fits_date("sa2024-03", "2024-03-31"));
    CHECK(fits_date("eb2024-03", "2024-02-29") && !fits_date("eb2024-03-15", "2024-03"));
    CHECK(fits_date("ap2024-03-01", "2024-02-01") && !fits_date("ap2024-03-01", "2010-01-01"));
}

/* Does a search of one parameter fit? */
static bool fits(const char *type, const char *name, const char *value, const char *resource_text)
{
    const struct query_pair pair = { .name = name, .value = value };
    const struct search_input input = { .type = search_type_find(type, FHIR_R4),
                                        .version = FHIR_R4,
                                        .base = "http://h/fhir",
                                        .pairs = &pair,
                                        .count = 1,
                                        .strict = true };
    struct search_request request;
    struct error err = { 0 };
    cJSON *resource = sample_json(resource_text);
    CHECK_OK(search_request_read(&input, &request, &err), err);
    bool result = search_request_fits(&request, resource, resource, 0);
    search_request_release(&request);
    cJSON_Delete(resource);
    return result;
}

static bool refused(const char *type, const char *name, const char *value, enum error_code code)
{
    const struct query_pair pair = { .name = name, .value = value };
    const struct search_input input = { .type = search_type_find(type, FHIR_R4),
                                        .version = FHIR_R4,
                                        .base = "",
                                        .pairs = &pair,
                                        .count = 1,
                                        .strict = true };
    struct search_request request;
    struct error err = { 0 };
    bool ok = search_request_read(&input, &request, &err);
    search_request_release(&request);
    return !ok && err.code == code;
}

TEST(a_token_is_compared_with_codings_concepts_identifiers_and_codes)
{
    static const char study[] =
        "{'identifier':[{'system':'s','value':'a|b,c'},{'value':'bare'}],'status':'available',"
        "'reasonCode':[{'coding':[{'system':'x','code':'1'},{'system':'y','code':'2'}]}],"
        "'series':[{'uid':'1.2','modality':{'system':'d','code':'CT'}},"
        "{'uid':'1.3','modality':{'system':'d','code':'MR'}}]}";
    CHECK(fits("ImagingStudy", "identifier", "s|a\\|b\\,c", study));
    CHECK(fits("ImagingStudy", "identifier", "a\\|b\\,c", study));
    CHECK(fits("ImagingStudy", "identifier", "x,bare", study));
    CHECK(fits("ImagingStudy", "identifier", "|bare", study));
    CHECK(fits("ImagingStudy", "identifier", "s|", study));
    CHECK(!fits("ImagingStudy", "identifier", "|a\\|b\\,c", study));
    CHECK(!fits("ImagingStudy", "identifier", "a|b", study));
    CHECK(fits("ImagingStudy", "modality", "MR", study));
    CHECK(!fits("ImagingStudy", "modality", "mr", study));
    CHECK(fits("ImagingStudy", "modality:not", "US", study));
    CHECK(!fits("ImagingStudy", "modality:not", "US,CT", study));
    CHECK(fits("ImagingStudy", "reason", "y|2", study));
    CHECK(!fits("ImagingStudy", "reason", "x|2", study));
    CHECK(fits("ImagingStudy", "series", "urn:oid:1.3", study));
    CHECK(fits("ImagingStudy", "status", "available", study));
    CHECK(fits("ImagingStudy", "bodysite:missing", "true", study));
    CHECK(!fits("ImagingStudy", "status:missing", "true", study));
}

TEST(a_reference_is_an_id_a_relative_or_our_own_URL_or_an_identifier)
{
    static const char study[] = "{'subject':{'reference':'Patient/p1'},"
                                "'basedOn':[{'identifier':{'system':'s','value':'1'}}]}";
    CHECK(fits("ImagingStudy", "patient", "p1", study));
    CHECK(fits("ImagingStudy", "subject", "Patient/p1", study));
    CHECK(fits("ImagingStudy", "subject:Patient", "p1", study));
    CHECK(fits("ImagingStudy", "subject", "x,http://h/fhir/Patient/p1", study));
    CHECK(fits("ImagingStudy", "subject", "Patient/p1/_history/3", study));
    CHECK(!fits("ImagingStudy", "subject", "http://else/fhir/Patient/p1", study));
    CHECK(!fits("ImagingStudy", "subject", "Group/p1", study));
    CHECK(!fits("ImagingStudy", "patient", "p", study));
    CHECK(fits("ImagingStudy", "basedon:identifier", "s|1", study));
    CHECK(!fits("ImagingStudy", "basedon:identifier", "s|2", study));
    CHECK(!fits("ImagingStudy", "basedon", "1", study));
    CHECK(refused("ImagingStudy", "subject:Group", "1", ERROR_INVALID));
    CHECK(refused("ImagingStudy", "patient.name", "x", ERROR_INVALID));
}

TEST(a_string_is_compared_without_regard_to_case)
{
    static const char patient[] = "{'name':[{'family':'M\xC3\xBCller','given':['Eva','Maria']}]}";
    CHECK(fits("Patient", "name", "m\xC3\x9CLL", patient));
    CHECK(fits("Patient", "given", "mar", patient));
    CHECK(!fits("Patient", "given", "ria", patient));
    CHECK(fits("Patient", "given:contains", "RIA", patient));
    CHECK(fits("Patient", "family:exact", "M\xC3\xBCller", patient));
    CHECK(!fits("Patient", "family:exact", "m\xC3\xBCller", patient));
}

TEST(what_is_too_much_or_makes_no_sense_is_refused)
{
    struct buffer many = buffer_up_to(4096);
    for (int i = 0; i <= SEARCH_MOST_VALUES; i++)
        buffer_append_text(&many, "1,");
    CHECK(refused("ImagingStudy", "_id", buffer_text(&many), ERROR_LIMIT));
    buffer_release(&many);
    CHECK(refused("ImagingStudy", "started", "yesterday", ERROR_INVALID));
    CHECK(refused("ImagingStudy", "started:exact", "2024", ERROR_INVALID));
    CHECK(refused("ImagingStudy", "_count", "1e3", ERROR_INVALID));
    CHECK(refused("ImagingStudy", "_count", "9999999999999999999", ERROR_INVALID));
    CHECK(refused("ImagingStudy", "_page", "0f0", ERROR_INVALID));
    CHECK(refused("ImagingStudy", "body-site", "1", ERROR_INVALID));
    CHECK(refused("ImagingStudy", "_elements", "a;b", ERROR_INVALID));
    CHECK(refused("ImagingStudy", "identifier", "", ERROR_INVALID));
}
