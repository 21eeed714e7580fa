/* SPDX-License-Identifier: MIT */
#include "dicomweb/stow_report.h"

#include <stdio.h>
#include <string.h>

#include "tests/test.h"

static void add(struct stow_report *report, enum failure_reason reason, const char *study,
                const char *instance)
{
    struct stow_result *result = stow_report_add(report);
    result->reason = reason;
    struct identity identity = { 0 };
    snprintf(identity.study, UID_SIZE, "%s", study);
    snprintf(identity.series, UID_SIZE, "%s", instance[0] ? "1.9" : "");
    snprintf(identity.instance, UID_SIZE, "%s", instance);
    snprintf(identity.sop_class, UID_SIZE, "%s", instance[0] ? "1.2.3" : "");
    stow_result_identify(result, &identity);
}

static int status_of(const enum failure_reason *reasons, size_t count, const char *instance)
{
    struct stow_report report = { 0 };
    for (size_t i = 0; i < count; i++)
        add(&report, reasons[i], "1.1", instance);
    int status = stow_report_status(&report);
    stow_report_release(&report);
    return status;
}

TEST(the_status_of_a_store_tells_all_some_or_none)
{
    const enum failure_reason stored[] = { FAILURE_NONE, FAILURE_NONE };
    const enum failure_reason mixed[] = { FAILURE_NONE, FAILURE_DUPLICATE };
    const enum failure_reason none[] = { FAILURE_MISMATCH, FAILURE_RESOURCES };
    const enum failure_reason full[] = { FAILURE_RESOURCES, FAILURE_RESOURCES };
    const enum failure_reason unreadable[] = { FAILURE_CANNOT_UNDERSTAND };
    CHECK_INT(status_of(stored, 2, "1.5"), 200);
    CHECK_INT(status_of(mixed, 2, "1.5"), 202);
    CHECK_INT(status_of(none, 2, "1.5"), 409);
    CHECK_INT(status_of(full, 2, "1.5"), 503);
    CHECK_INT(status_of(unreadable, 1, ""), 400);
    CHECK_INT(status_of(unreadable, 1, "1.5"), 409);
}

TEST(errors_have_the_failure_reasons_of_the_standard)
{
    CHECK_INT(failure_reason_of(ERROR_NONE), 0);
    CHECK_INT(failure_reason_of(ERROR_INVALID), 0xC000);
    CHECK_INT(failure_reason_of(ERROR_MISMATCH), 0xA900);
    CHECK_INT(failure_reason_of(ERROR_CONFLICT), 0x0111);
    CHECK_INT(failure_reason_of(ERROR_UNSUPPORTED), 0x0122);
    CHECK_INT(failure_reason_of(ERROR_NO_SPACE), 0xA700);
    CHECK_INT(failure_reason_of(ERROR_IO), 0xA700);
    CHECK_INT(failure_reason_of(ERROR_STOPPED), 0xA700);
    CHECK_INT(failure_reason_of(ERROR_CORRUPT), 0x0110);
}

TEST(a_part_of_which_nothing_is_known_costs_no_room_for_uids)
{
    struct stow_report report = { 0 };
    const struct identity unknown = { 0 };
    struct stow_result *result = stow_report_add(&report);
    result->reason = FAILURE_CANNOT_UNDERSTAND;
    stow_result_identify(result, &unknown);
    CHECK(!result->identity);
    CHECK(sizeof(*result) <= 16);
    CHECK_INT(stow_report_status(&report), 400);
    stow_report_release(&report);
}

static const char *json_of(const struct stow_report *report, const char *study, struct buffer *out)
{
    buffer_clear(out);
    stow_report_write_json(report, "http://h/d", study, out);
    return buffer_text(out);
}

TEST(the_module_lists_what_was_stored_and_what_failed)
{
    struct stow_report report = { 0 };
    struct buffer out = buffer_up_to(1 << 20);
    add(&report, FAILURE_NONE, "1.1", "1.5");
    CHECK_TEXT(json_of(&report, "", &out),
               "{\"00081190\":{\"vr\":\"UR\",\"Value\":[\"http://h/d/studies/1.1\"]},"
               "\"00081199\":{\"vr\":\"SQ\",\"Value\":["
               "{\"00081150\":{\"vr\":\"UI\",\"Value\":[\"1.2.3\"]},"
               "\"00081155\":{\"vr\":\"UI\",\"Value\":[\"1.5\"]},"
               "\"00081190\":{\"vr\":\"UR\",\"Value\":"
               "[\"http://h/d/studies/1.1/series/1.9/instances/1.5\"]}}]}}");
    add(&report, FAILURE_DUPLICATE, "1.1", "1.6");
    add(&report, FAILURE_CANNOT_UNDERSTAND, "", "");
    const char *text = json_of(&report, "", &out);
    CHECK(strstr(text, "\"00081198\":{\"vr\":\"SQ\",\"Value\":["
                       "{\"00081150\":{\"vr\":\"UI\",\"Value\":[\"1.2.3\"]},"
                       "\"00081155\":{\"vr\":\"UI\",\"Value\":[\"1.6\"]},"
                       "\"00081197\":{\"vr\":\"US\",\"Value\":[273]}}]}"));
    CHECK(strstr(text, "\"0008119A\":{\"vr\":\"SQ\",\"Value\":["
                       "{\"00081197\":{\"vr\":\"US\",\"Value\":[49152]}}]}"));
    CHECK(strstr(text, "00081198") < strstr(text, "00081199"));
    stow_report_release(&report);
    buffer_release(&out);
}

TEST(the_study_url_is_empty_when_the_instances_went_to_several_studies)
{
    struct stow_report report = { 0 };
    struct buffer out = buffer_up_to(1 << 20);
    add(&report, FAILURE_NONE, "1.1", "1.5");
    add(&report, FAILURE_NONE, "1.2", "1.6");
    CHECK(strncmp(json_of(&report, "", &out), "{\"00081190\":{\"vr\":\"UR\"},", 24) == 0);
    stow_report_release(&report);
    add(&report, FAILURE_MISMATCH, "1.1", "1.5");
    CHECK(strncmp(json_of(&report, "1.1", &out), "{\"00081190\":{\"vr\":\"UR\"},", 24) == 0);
    stow_report_release(&report);
    buffer_release(&out);
}

TEST(the_module_in_xml_has_the_same_items)
{
    struct stow_report report = { 0 };
    struct buffer out = buffer_up_to(1 << 20);
    add(&report, FAILURE_NONE, "1.1", "1.5");
    add(&report, FAILURE_MISMATCH, "1.1", "1.6");
    stow_report_write_xml(&report, "http://h/d", "", &out);
    const char *text = buffer_text(&out);
    CHECK(strstr(text,
                 "<DicomAttribute tag=\"00081199\" vr=\"SQ\" keyword=\"ReferencedSOPSequence\">"
                 "<Item number=\"1\">"));
    CHECK(strstr(text, "<DicomAttribute tag=\"00081197\" vr=\"US\" keyword=\"FailureReason\">"
                       "<Value number=\"1\">43264</Value></DicomAttribute></Item>"));
    stow_report_release(&report);
    buffer_release(&out);
}
