/* SPDX-License-Identifier: MIT */
#include "dicomweb/stow_report.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/json.h"
#include "dicom/xml.h"

enum { WARNING_COERCED = 0xB000, MAX_ORIGINALS = 1 << 20 };

enum failure_reason failure_reason_of(enum error_code code)
{
    switch (code) {
    case ERROR_NONE:
        return FAILURE_NONE;
    case ERROR_INVALID:
    case ERROR_LIMIT:
        return FAILURE_CANNOT_UNDERSTAND;
    case ERROR_MISMATCH:
        return FAILURE_MISMATCH;
    case ERROR_CONFLICT:
        return FAILURE_DUPLICATE;
    case ERROR_UNSUPPORTED:
        return FAILURE_SOP_CLASS;
    case ERROR_NO_SPACE:
    case ERROR_BUSY:
    case ERROR_IO: /* it may be sent again when the disk is mended */
    case ERROR_TIMEOUT:
    case ERROR_STOPPED:
        return FAILURE_RESOURCES;
    case ERROR_NOT_FOUND:
    case ERROR_GONE:
    case ERROR_CORRUPT:
    case ERROR_CLOSED:
        break;
    }
    return FAILURE_PROCESSING;
}

struct stow_result *stow_report_add(struct stow_report *report)
{
    if (report->count == report->capacity) {
        report->capacity = report->capacity ? 2 * report->capacity : 8;
        report->results = mem_resize_array(report->results, report->capacity,
                                           sizeof(report->results[0]));
    }
    struct stow_result *result = &report->results[report->count++];
    memset(result, 0, sizeof(*result));
    return result;
}

/* What is kept of a part with UIDs; stow_result has a pointer to its first member. */
struct known {
    struct identity identity;
    struct slice originals;
};

static struct slice *originals_of(const struct stow_result *result)
{
    return result->identity ? &((struct known *)(void *)result->identity)->originals : NULL;
}

static bool has_originals(const struct stow_result *result)
{
    return result->identity && originals_of(result)->size;
}

void stow_result_identify(struct stow_result *result, const struct identity *identity)
{
    if (!identity->sop_class[0] && !identity->instance[0])
        return;
    if (!result->identity)
        result->identity = mem_alloc(sizeof(struct known));
    *result->identity = *identity;
}

void stow_result_coerced(struct stow_result *result, struct slice originals)
{
    if (originals.size && result->identity)
        *originals_of(result) = slice_of(mem_copy(originals.data, originals.size), originals.size);
}

void stow_report_release(struct stow_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        if (has_originals(&report->results[i]))
            free((void *)(uintptr_t)originals_of(&report->results[i])->data);
        free(report->results[i].identity);
    }
    free(report->results);
    memset(report, 0, sizeof(*report));
}

/* Which of the three sequences a result belongs to. */
enum list { REFERENCED, FAILED, OTHER };

static enum list list_of(const struct stow_result *result)
{
    if (result->reason == FAILURE_NONE)
        return REFERENCED;
    const struct identity *identity = result->identity;
    return identity && identity->instance[0] && identity->sop_class[0] ? FAILED : OTHER;
}

static size_t count_list(const struct stow_report *report, enum list list)
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++)
        count += list_of(&report->results[i]) == list;
    return count;
}

static size_t count_reason(const struct stow_report *report, enum failure_reason reason)
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++)
        count += report->results[i].reason == reason;
    return count;
}

bool stow_report_has_warning(const struct stow_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        if (has_originals(&report->results[i]))
            return true;
    return false;
}

int stow_report_status(const struct stow_report *report)
{
    size_t stored = count_list(report, REFERENCED);
    if (stored && stored == report->count)
        return stow_report_has_warning(report) ? 202 : 200;
    if (stored)
        return 202;
    if (count_reason(report, FAILURE_RESOURCES) == report->count)
        return 503;
    /* Nothing in it was DICOM: the request was wrong, and conflicts with nothing. */
    if (count_list(report, OTHER) == report->count)
        return 400;
    return 409;
}

/* The study that all instances went to, "" when there are several or none. */
static const char *common_study(const struct stow_report *report, const char *asked)
{
    const char *study = asked;
    for (size_t i = 0; i < report->count; i++) {
        const struct stow_result *result = &report->results[i];
        if (result->reason != FAILURE_NONE)
            continue;
        if (study[0] && strcmp(study, result->identity->study) != 0)
            return "";
        study = result->identity->study;
    }
    return count_list(report, REFERENCED) ? study : "";
}

static void write_instance_url(const struct stow_result *result, const char *base_url,
                               struct buffer *out)
{
    buffer_append_format(out, "%s/studies/%s/series/%s/instances/%s", base_url,
                         result->identity->study, result->identity->series,
                         result->identity->instance);
}

/* What was there before it was coerced (PS3.18 I.2.1). NULL for none. */
static struct dataset *open_originals(const struct stow_result *result)
{
    struct dataset *originals = NULL;
    if (has_originals(result))
        dataset_open(*originals_of(result),
                     transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                     &originals, NULL);
    return originals;
}

static const uint32_t original_attributes[] = { 0x04000561 };
static const struct json_options originals_options = { .tags = original_attributes,
                                                       .tag_count = 1 };

/* --- JSON: UIDs and our own URLs hold nothing that needs escaping --- */

/* The members of the data set's object, behind those that are there. */
static void write_json_warning(const struct stow_result *result, struct buffer *json)
{
    struct dataset *originals = open_originals(result);
    struct buffer object = buffer_up_to(MAX_ORIGINALS);
    if (originals) {
        buffer_append_format(json, ",\"00081196\":{\"vr\":\"US\",\"Value\":[%u]}", WARNING_COERCED);
        json_write_dataset(originals, &originals_options, &object);
        if (object.size > 2 && !object.overflowed) {
            buffer_append_byte(json, ',');
            buffer_append(json, slice_of(object.data + 1, object.size - 2));
        }
    }
    dataset_close(originals);
    buffer_release(&object);
}

static void write_json_item(const struct stow_result *result, const char *base_url,
                            struct buffer *json)
{
    buffer_append_byte(json, '{');
    if (list_of(result) != OTHER)
        buffer_append_format(json,
                             "\"00081150\":{\"vr\":\"UI\",\"Value\":[\"%s\"]},"
                             "\"00081155\":{\"vr\":\"UI\",\"Value\":[\"%s\"]},",
                             result->identity->sop_class, result->identity->instance);
    if (result->reason == FAILURE_NONE) {
        buffer_append_text(json, "\"00081190\":{\"vr\":\"UR\",\"Value\":[\"");
        write_instance_url(result, base_url, json);
        buffer_append_text(json, "\"]}");
        write_json_warning(result, json);
        buffer_append_byte(json, '}');
    } else {
        buffer_append_format(json, "\"00081197\":{\"vr\":\"US\",\"Value\":[%u]}}",
                             (unsigned)result->reason);
    }
}

static void write_json_list(const struct stow_report *report, const char *tag, enum list list,
                            const char *base_url, struct buffer *json)
{
    if (!count_list(report, list))
        return;
    buffer_append_format(json, ",\"%s\":{\"vr\":\"SQ\",\"Value\":[", tag);
    bool first = true;
    for (size_t i = 0; i < report->count; i++) {
        if (list_of(&report->results[i]) != list)
            continue;
        if (!first)
            buffer_append_byte(json, ',');
        first = false;
        write_json_item(&report->results[i], base_url, json);
    }
    buffer_append_text(json, "]}");
}

void stow_report_write_json(const struct stow_report *report, const char *base_url,
                            const char *study, struct buffer *json)
{
    const char *common = common_study(report, study);
    buffer_append_text(json, "{\"00081190\":{\"vr\":\"UR\"");
    if (common[0])
        buffer_append_format(json, ",\"Value\":[\"%s/studies/%s\"]", base_url, common);
    buffer_append_byte(json, '}');
    write_json_list(report, "00081198", FAILED, base_url, json);
    write_json_list(report, "00081199", REFERENCED, base_url, json);
    write_json_list(report, "0008119A", OTHER, base_url, json);
    buffer_append_byte(json, '}');
}

/* --- XML (PS3.19 A.1.6) --- */

static void begin_attribute(const char *tag, const char *vr, const char *keyword,
                            struct buffer *xml)
{
    buffer_append_format(xml, "<DicomAttribute tag=\"%s\" vr=\"%s\" keyword=\"%s\">", tag, vr,
                         keyword);
}

static void write_attribute(const char *tag, const char *vr, const char *keyword, const char *value,
                            struct buffer *xml)
{
    begin_attribute(tag, vr, keyword, xml);
    buffer_append_format(xml, "<Value number=\"1\">%s</Value></DicomAttribute>", value);
}

/* What stands within the root element of the data set's document. */
static void write_xml_warning(const struct stow_result *result, struct buffer *xml)
{
    struct dataset *originals = open_originals(result);
    struct buffer document = buffer_up_to(MAX_ORIGINALS);
    if (originals) {
        begin_attribute("00081196", "US", "WarningReason", xml);
        buffer_append_format(xml, "<Value number=\"1\">%u</Value></DicomAttribute>",
                             WARNING_COERCED);
        xml_write_dataset(originals, &originals_options, &document);
        const char *text = buffer_text(&document);
        const char *begin = strstr(text, "<DicomAttribute");
        const char *end = begin ? strstr(begin, "</NativeDicomModel>") : NULL;
        if (end && !document.overflowed)
            buffer_append(xml, slice_of(begin, (size_t)(end - begin)));
    }
    dataset_close(originals);
    buffer_release(&document);
}

static void write_xml_item(const struct stow_result *result, const char *base_url, size_t number,
                           struct buffer *xml)
{
    buffer_append_format(xml, "<Item number=\"%zu\">", number);
    if (list_of(result) != OTHER) {
        write_attribute("00081150", "UI", "ReferencedSOPClassUID", result->identity->sop_class,
                        xml);
        write_attribute("00081155", "UI", "ReferencedSOPInstanceUID", result->identity->instance,
                        xml);
    }
    if (result->reason == FAILURE_NONE) {
        begin_attribute("00081190", "UR", "RetrieveURL", xml);
        buffer_append_text(xml, "<Value number=\"1\">");
        write_instance_url(result, base_url, xml);
        buffer_append_text(xml, "</Value></DicomAttribute>");
        write_xml_warning(result, xml);
    } else {
        begin_attribute("00081197", "US", "FailureReason", xml);
        buffer_append_format(xml, "<Value number=\"1\">%u</Value></DicomAttribute>",
                             (unsigned)result->reason);
    }
    buffer_append_text(xml, "</Item>");
}

static void write_xml_list(const struct stow_report *report, const char *tag, const char *keyword,
                           enum list list, const char *base_url, struct buffer *xml)
{
    size_t number = 0;
    if (!count_list(report, list))
        return;
    begin_attribute(tag, "SQ", keyword, xml);
    for (size_t i = 0; i < report->count; i++)
        if (list_of(&report->results[i]) == list)
            write_xml_item(&report->results[i], base_url, ++number, xml);
    buffer_append_text(xml, "</DicomAttribute>");
}

void stow_report_write_xml(const struct stow_report *report, const char *base_url,
                           const char *study, struct buffer *xml)
{
    const char *common = common_study(report, study);
    buffer_append_text(xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel "
                            "xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" "
                            "xml:space=\"preserve\">");
    begin_attribute("00081190", "UR", "RetrieveURL", xml);
    if (common[0])
        buffer_append_format(xml, "<Value number=\"1\">%s/studies/%s</Value>", base_url, common);
    buffer_append_text(xml, "</DicomAttribute>");
    write_xml_list(report, "00081198", "FailedSOPSequence", FAILED, base_url, xml);
    write_xml_list(report, "00081199", "ReferencedSOPSequence", REFERENCED, base_url, xml);
    write_xml_list(report, "0008119A", "OtherFailuresSequence", OTHER, base_url, xml);
    buffer_append_text(xml, "</NativeDicomModel>\n");
}
