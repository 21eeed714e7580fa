/* SPDX-License-Identifier: MIT */
#include "cast/service_request.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cast/coding.h"
#include "cast/identifier.h"
#include "cast/search_date.h"
#include "cast/tags.h"
#include "cast/text.h"
#include "dicom/encode.h"

enum {
    SH_SIZE = 16,
    LO_SIZE = 64,
    PN_SIZE = 64, /* of one component group */
    UC_SIZE = 256,
    CODES_MAX = 10,
    TEXT_SIZE = 1024,
    LIST_MAX = 100, /* of an array that is gone through */
    ENTRY_LIMIT = 256 << 10,
};

static const char iso_representation[] =
    "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation";
/* What makes a request one of imaging: SNOMED CT's imaging and radiology, HL7's sections. */
static const char *const imaging_categories[] = { "363679005", "394914008", "RAD", "imaging",
                                                  "radiology" };

/* The entry as it is gathered. */
struct entry {
    char accession[TEXT_SIZE];
    char study[UID_SIZE];
    char name[3 * TEXT_SIZE];
    char patient_id[TEXT_SIZE];
    char issuer[TEXT_SIZE];
    char birth_date[16];
    char sex[4];
    char requester[TEXT_SIZE];
    char performer[TEXT_SIZE];
    char description[TEXT_SIZE];
    char reason[TEXT_SIZE];
    char priority[16];
    char procedure_id[TEXT_SIZE];
    char modality[TEXT_SIZE];
    char station[TEXT_SIZE];
    char location[TEXT_SIZE];
    char date[16];
    char time[16];
    const cJSON *code;        /* CodeableConcept */
    const cJSON *reason_code; /* likewise */
};

/* Text. */

/* As DICOM takes it: no backslash, no control characters, cut to so many characters. */
static void take_text(char *out, size_t size, size_t characters, const char *text)
{
    struct buffer clean = buffer_up_to(TEXT_SIZE * 4);
    for (; text && *text && clean.size < TEXT_SIZE * 3; text++)
        buffer_append_byte(&clean,
                           (uint8_t)(*text == '\\' || (unsigned char)*text < ' ' ? ' ' : *text));
    size_t end = 0;
    for (size_t count = 0; end < clean.size && end + 4 < size; count += end < clean.size) {
        if ((clean.data[end] & 0xC0) != 0x80 && count == characters)
            break;
        end++;
        while (end < clean.size && (clean.data[end] & 0xC0) == 0x80)
            end++;
    }
    memcpy(out, end ? (const char *)clean.data : "", end);
    out[end] = '\0';
    text_clean(out);
    buffer_release(&clean);
}

/* An identifier is never cut: another order would have it then. */
static bool take_number(char *out, size_t size, size_t characters, const char *text,
                        const char *what, struct error *err)
{
    if (!text || !*text)
        return true;
    if (strlen(text) > characters || strchr(text, '\\') || strpbrk(text, "\r\n\t"))
        return error_set(err, ERROR_INVALID, "%s has more than %zu characters, or a backslash",
                         what, characters);
    take_text(out, size, characters, text);
    return true;
}

static bool has_code(const cJSON *concept, const char *const *codes, size_t count)
{
    const cJSON *coding;
    cJSON_ArrayForEach(coding, json_get(concept, "coding"))
    {
        const char *code = json_text(coding, "code");
        for (size_t i = 0; code && i < count; i++)
            if (strcasecmp(code, codes[i]) == 0)
                return true;
    }
    return false;
}

/* Persons. */

static const char *given_name(const cJSON *name, int index)
{
    const cJSON *given = cJSON_GetArrayItem(json_get(name, "given"), index);
    return cJSON_IsString(given) ? given->valuestring : "";
}

static void append_component(char *out, size_t size, const char *text)
{
    size_t at = strlen(out);
    for (; text && *text && at + 2 < size; text++)
        out[at++] = strchr("^=\\", *text) || (unsigned char)*text < ' ' ? ' ' : *text;
    if (text && ((unsigned char)*text & 0xC0) == 0x80) { /* not within a character */
        while (at && ((unsigned char)out[at - 1] & 0xC0) == 0x80)
            at--;
        at -= at > 0;
    }
    out[at] = '\0';
}

static void append_all(char *out, size_t size, const cJSON *list, int from)
{
    int count = cJSON_GetArraySize(list);
    for (int i = from; i < count && i < 5; i++) {
        const cJSON *part = cJSON_GetArrayItem(list, i);
        if (i > from)
            append_component(out, size, " ");
        append_component(out, size, cJSON_IsString(part) ? part->valuestring : "");
    }
}

/* One component group of a PN. A name of text alone is a family name: nobody can tell its parts. */
static void name_group(const cJSON *name, char out[TEXT_SIZE])
{
    const char *family = json_text(name, "family"), *text = json_text(name, "text");
    out[0] = '\0';
    if (!family && !json_get(name, "given")) {
        append_component(out, PN_SIZE, text);
        return;
    }
    append_component(out, TEXT_SIZE, family);
    strcat(out, "^");
    append_component(out, TEXT_SIZE, given_name(name, 0));
    strcat(out, "^");
    append_all(out, TEXT_SIZE, json_get(name, "given"), 1);
    strcat(out, "^");
    append_all(out, TEXT_SIZE, json_get(name, "prefix"), 0);
    strcat(out, "^");
    append_all(out, TEXT_SIZE, json_get(name, "suffix"), 0);
    for (size_t end = strlen(out); end && (out[end - 1] == '^' || out[end - 1] == ' '); end--)
        out[end - 1] = '\0';
    if (strlen(out) > PN_SIZE * 3)
        out[0] = '\0';
}

static const char *representation(const cJSON *name)
{
    const cJSON *extension;
    cJSON_ArrayForEach(extension, json_get(name, "extension"))
    {
        const char *url = json_text(extension, "url");
        const char *code = json_text(extension, "valueCode");
        if (url && code && strcmp(url, iso_representation) == 0)
            return code;
    }
    return "ABC";
}

/* The official name before any other, in as many groups as it is told in. */
static void take_names(const cJSON *patient, char *out, size_t size)
{
    char groups[3][TEXT_SIZE] = { "", "", "" };
    static const char *const kinds[] = { "ABC", "IDE", "SYL" };
    const cJSON *name;
    int count = 0;
    cJSON_ArrayForEach(name, json_get(patient, "name"))
    {
        const char *use = json_text(name, "use");
        bool official = use && strcmp(use, "official") == 0;
        if (count++ == LIST_MAX || (use && (strcmp(use, "old") == 0 || strcmp(use, "maiden") == 0)))
            continue;
        for (size_t i = 0; i < 3; i++)
            if (strcmp(representation(name), kinds[i]) == 0 && (official || !groups[i][0]))
                name_group(name, groups[i]);
    }
    snprintf(out, size, "%s%s%s%s%s", groups[0], groups[1][0] || groups[2][0] ? "=" : "", groups[1],
             groups[2][0] ? "=" : "", groups[2]);
}

static void take_issuer(const struct service_request_options *options, const cJSON *identifier,
                        char *out, size_t size)
{
    const char *system = json_text(identifier, "system");
    for (const char *const *row = options->issuers; system && row && *row; row++) {
        const char *equals = strrchr(*row, '=');
        if (equals && strlen(system) == (size_t)(equals - *row) &&
            strncmp(system, *row, strlen(system)) == 0)
            take_text(out, size, LO_SIZE, equals + 1);
    }
}

/* The medical record number, or else the first one that is in use. */
static const cJSON *main_identifier(const cJSON *patient)
{
    static const char *const record_number[] = { "MR" };
    const cJSON *identifier, *first = NULL;
    cJSON_ArrayForEach(identifier, json_get(patient, "identifier"))
    {
        const char *use = json_text(identifier, "use"), *value = json_text(identifier, "value");
        if (!value || !*value || (use && strcmp(use, "old") == 0))
            continue;
        if (has_code(json_get(identifier, "type"), record_number, 1))
            return identifier;
        if (!first)
            first = identifier;
    }
    return first;
}

/* The ten characters that a date or a time begins with, when they are a day of the calendar. */
static bool take_date(const char *text, char date[16])
{
    char day[11];
    struct time_span span;
    snprintf(day, sizeof day, "%.10s", text);
    if (strlen(day) != 10 || !time_span_read(day, &span))
        return false;
    snprintf(date, 16, "%.4s%.2s%.2s", day, day + 5, day + 8);
    return true;
}

static bool take_patient(const cJSON *patient, const struct service_request_options *options,
                         struct entry *entry, struct error *err)
{
    const cJSON *identifier = main_identifier(patient);
    const char *birth = json_text(patient, "birthDate"), *gender = json_text(patient, "gender");
    if (!identifier)
        return error_set(err, ERROR_INVALID, "Patient.identifier: there is none with a value");
    if (!take_number(entry->patient_id, sizeof entry->patient_id, LO_SIZE,
                     json_text(identifier, "value"), "Patient.identifier", err))
        return false;
    take_issuer(options, identifier, entry->issuer, sizeof entry->issuer);
    take_names(patient, entry->name, sizeof entry->name);
    if (!entry->name[0])
        return error_set(err, ERROR_INVALID, "Patient.name: there is none");
    if (birth && strlen(birth) == 10)
        take_date(birth, entry->birth_date);
    if (gender)
        snprintf(entry->sex, sizeof entry->sex, "%s",
                 strcmp(gender, "male") == 0     ? "M"
                 : strcmp(gender, "female") == 0 ? "F"
                 : strcmp(gender, "other") == 0  ? "O"
                                                 : "");
    return true;
}

/* The request. */

/* Of a reference to somebody: what people read. */
static void take_display(const cJSON *reference, char *out, size_t size)
{
    char text[PN_SIZE + 1] = "";
    append_component(text, sizeof text, json_text(reference, "display"));
    text_clean(text);
    snprintf(out, size, "%s", text);
}

static bool take_identifiers(const cJSON *request, struct entry *entry, struct service_request *out,
                             struct error *err)
{
    static const char *const accession[] = { "ACSN" }, *const placer[] = { "PLAC" },
                             *const filler[] = { "FILL" };
    const char *unnamed = NULL;
    const cJSON *identifier;
    int count = 0;
    cJSON_ArrayForEach(identifier, json_get(request, "identifier"))
    {
        const cJSON *type = json_get(identifier, "type");
        const char *system = json_text(identifier, "system");
        const char *value = json_text(identifier, "value");
        if (!value || !*value || count++ == LIST_MAX)
            continue;
        bool ok = true;
        if (system && strcmp(system, SYSTEM_DICOM_UID) == 0) {
            const char *uid = strncmp(value, "urn:oid:", 8) == 0 ? value + 8 : value;
            ok = (strlen(uid) < UID_SIZE && uid_is_valid(uid)) ||
                 error_set(err, ERROR_INVALID, "ServiceRequest.identifier: no UID");
            if (ok)
                snprintf(entry->study, UID_SIZE, "%s", uid);
        } else if (has_code(type, accession, 1)) {
            ok = take_number(entry->accession, sizeof entry->accession, SH_SIZE, value,
                             "the accession number (ServiceRequest.identifier)", err);
        } else if (has_code(type, placer, 1)) {
            ok = take_number(out->placer, sizeof out->placer, LO_SIZE, value,
                             "the placer's number (ServiceRequest.identifier)", err);
        } else if (has_code(type, filler, 1)) {
            ok = take_number(out->filler, sizeof out->filler, LO_SIZE, value,
                             "the filler's number (ServiceRequest.identifier)", err);
        } else if (!unnamed) {
            unnamed = value;
        }
        if (!ok)
            return false;
    }
    if (!out->placer[0] && unnamed &&
        !take_number(out->placer, sizeof out->placer, LO_SIZE, unnamed, "ServiceRequest.identifier",
                     err))
        return false;
    /* The request's own id tells orders apart where nobody numbered them. */
    const char *id = json_text(request, "id");
    if (!out->placer[0] && !out->filler[0] && !entry->accession[0] && !entry->study[0] && id)
        snprintf(out->placer, sizeof out->placer, "ServiceRequest/%.64s", id);
    return out->placer[0] || out->filler[0] || entry->accession[0] || entry->study[0] ||
           error_set(err, ERROR_INVALID, "ServiceRequest.identifier: nothing tells it from others");
}

static void take_modality_of(const cJSON *concept, struct entry *entry)
{
    const cJSON *coding;
    cJSON_ArrayForEach(coding, json_get(concept, "coding"))
    {
        const char *system = json_text(coding, "system"), *code = json_text(coding, "code");
        if (system && code && strcmp(system, SYSTEM_DCM) == 0 && modality_acquires(code) &&
            !entry->modality[0])
            snprintf(entry->modality, sizeof entry->modality, "%.16s", code);
    }
}

/* orderDetail in R4 is a list of concepts, in R5 of parameters with values. */
static void take_modality(const cJSON *request, struct entry *entry)
{
    const cJSON *detail, *parameter, *category;
    cJSON_ArrayForEach(detail, json_get(request, "orderDetail"))
    {
        take_modality_of(detail, entry);
        for (parameter = json_first(json_get(detail, "parameter")); parameter;
             parameter = parameter->next)
            take_modality_of(json_get(parameter, "valueCodeableConcept"), entry);
    }
    take_modality_of(entry->code, entry);
    for (category = json_first(json_get(request, "category")); category; category = category->next)
        take_modality_of(category, entry);
}

static bool is_imaging(const cJSON *request)
{
    const cJSON *category;
    cJSON_ArrayForEach(
        category,
        json_get(request, "category")) if (has_code(category, imaging_categories,
                                                    sizeof imaging_categories /
                                                        sizeof *imaging_categories)) return true;
    return false;
}

/* The date and the time as the one who planned it reads them on the clock. */
static bool take_start(const char *text, struct entry *entry)
{
    char moment[20];
    struct time_span span;
    size_t size = strlen(text);
    entry->time[0] = '\0';
    if (!take_date(text, entry->date))
        return false;
    if (size < 16 || text[10] != 'T')
        return true;
    bool seconds = size >= 19 && text[16] == ':';
    snprintf(moment, sizeof moment, "%.*s", seconds ? 19 : 16, text);
    if (!time_span_read(moment, &span))
        return false;
    snprintf(entry->time, sizeof entry->time, "%.2s%.2s%.2s", moment + 11, moment + 14,
             seconds ? moment + 17 : "00");
    return true;
}

static void take_when(const struct service_request_parts *parts, struct entry *entry)
{
    const cJSON *event = json_first(
        json_get(json_get(parts->request, "occurrenceTiming"), "event"));
    const char *const places[] = {
        json_text(parts->appointment, "start"),
        json_text(parts->request, "occurrenceDateTime"),
        json_text(json_get(parts->request, "occurrencePeriod"), "start"),
        cJSON_IsString(event) ? event->valuestring : NULL,
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i] && take_start(places[i], entry))
            return;
    entry->date[0] = entry->time[0] = '\0';
}

static void take_where(const struct service_request_parts *parts, struct entry *entry)
{
    const cJSON *participant, *performer;
    const cJSON *location = json_first(json_get(parts->request, "locationReference"));
    const cJSON *coded = json_first(json_get(parts->request, "locationCode"));
    char text[TEXT_SIZE] = "";
    if (location)
        take_display(location, text, sizeof text);
    else if (coded)
        snprintf(text, sizeof text, "%s", json_text(coded, "text") ? json_text(coded, "text") : "");
    cJSON_ArrayForEach(participant, json_get(parts->appointment, "participant"))
    {
        const cJSON *actor = json_get(participant, "actor");
        const char *reference = json_text(actor, "reference");
        if (reference && strncmp(reference, "Location/", 9) == 0)
            take_display(actor, text, sizeof text);
    }
    take_text(entry->location, sizeof entry->location, SH_SIZE, text);
    cJSON_ArrayForEach(performer, json_get(parts->request, "performer"))
    {
        const char *reference = json_text(performer, "reference");
        const char *type = json_text(performer, "type");
        bool device = (reference && strncmp(reference, "Device/", 7) == 0) ||
                      (type && strcmp(type, "Device") == 0);
        const char *title = json_text(json_get(performer, "identifier"), "value");
        if (device && title)
            take_text(entry->station, sizeof entry->station, SH_SIZE, title);
        else if (!device && !entry->performer[0])
            take_display(performer, entry->performer, sizeof entry->performer);
    }
}

static const char *concept_text(const cJSON *concept)
{
    const char *text = json_text(concept, "text");
    const cJSON *coding = json_first(json_get(concept, "coding"));
    return text                           ? text
           : json_text(coding, "display") ? json_text(coding, "display")
                                          : json_text(coding, "code");
}

static void take_what(const cJSON *request, struct entry *entry)
{
    const char *priority = json_text(request, "priority");
    const cJSON *requisition = json_get(request, "requisition");
    const cJSON *code = json_get(request, "code");
    /* R5: a CodeableReference. */
    entry->code = json_get(code, "concept") ? json_get(code, "concept") : code;
    const cJSON *reason = json_first(json_get(request, "reasonCode"));
    if (!reason)
        reason = json_get(json_first(json_get(request, "reason")), "concept");
    entry->reason_code = reason;
    take_text(entry->description, sizeof entry->description, LO_SIZE, concept_text(entry->code));
    take_text(entry->reason, sizeof entry->reason, LO_SIZE, concept_text(reason));
    take_text(entry->procedure_id, sizeof entry->procedure_id, SH_SIZE,
              json_text(requisition, "value"));
    take_display(json_get(request, "requester"), entry->requester, sizeof entry->requester);
    if (priority)
        snprintf(entry->priority, sizeof entry->priority, "%s",
                 strcmp(priority, "stat") == 0      ? "STAT"
                 : strcmp(priority, "routine") == 0 ? "ROUTINE"
                                                    : "HIGH");
}

/* Encoding. */

static void put(struct encoder *encoder, uint32_t tag, uint16_t vr, const char *text)
{
    if (text[0])
        encode_text(encoder, tag, vr, text);
}

static void put_codes(struct encoder *encoder, uint32_t tag, const cJSON *concept)
{
    const cJSON *coding;
    int count = 0;
    cJSON_ArrayForEach(coding, json_get(concept, "coding"))
    {
        const char *code = json_text(coding, "code");
        char value[UC_SIZE + 4], scheme[SH_SIZE + 4] = "", meaning[LO_SIZE * 4 + 4];
        if (!code || !*code || strlen(code) > UC_SIZE || count == CODES_MAX)
            continue;
        coding_scheme(json_text(coding, "system"), scheme);
        take_text(value, sizeof value, UC_SIZE, code);
        take_text(meaning, sizeof meaning, LO_SIZE,
                  json_text(coding, "display") ? json_text(coding, "display") : code);
        if (count++ == 0)
            encode_sequence_begin(encoder, tag);
        encode_item_begin(encoder);
        bool is_long = strlen(value) > SH_SIZE;
        if (!is_long)
            encode_text(encoder, TAG_CODE_VALUE, VR_SH, value);
        encode_text(encoder, TAG_CODING_SCHEME_DESIGNATOR, VR_SH, scheme);
        encode_text(encoder, TAG_CODE_MEANING, VR_LO, meaning);
        if (is_long)
            encode_text(encoder, TAG_LONG_CODE_VALUE, VR_UC, value);
        encode_item_end(encoder);
    }
    if (count)
        encode_sequence_end(encoder);
}

static void put_step(struct encoder *encoder, const struct entry *entry)
{
    encode_sequence_begin(encoder, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE);
    encode_item_begin(encoder);
    put(encoder, TAG_MODALITY, VR_CS, entry->modality);
    put(encoder, TAG_SCHEDULED_STATION_AE_TITLE, VR_AE, entry->station);
    put(encoder, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE, VR_DA, entry->date);
    put(encoder, TAG_SCHEDULED_PROCEDURE_STEP_START_TIME, VR_TM, entry->time);
    put(encoder, TAG_SCHEDULED_PERFORMING_PHYSICIAN_NAME, VR_PN, entry->performer);
    put(encoder, TAG_SCHEDULED_PROCEDURE_STEP_DESCRIPTION, VR_LO, entry->description);
    put_codes(encoder, TAG_SCHEDULED_PROTOCOL_CODE_SEQUENCE, entry->code);
    put(encoder, TAG_SCHEDULED_PROCEDURE_STEP_LOCATION, VR_SH, entry->location);
    encode_item_end(encoder);
    encode_sequence_end(encoder);
}

static bool encode(const struct entry *entry, struct service_request *out, struct error *err)
{
    struct encoder encoder = { &out->dataset, true };
    encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    put(&encoder, TAG_ACCESSION_NUMBER, VR_SH, entry->accession);
    put(&encoder, TAG_REFERRING_PHYSICIAN_NAME, VR_PN, entry->requester);
    put(&encoder, TAG_PATIENT_NAME, VR_PN, entry->name);
    put(&encoder, TAG_PATIENT_ID, VR_LO, entry->patient_id);
    put(&encoder, TAG_ISSUER_OF_PATIENT_ID, VR_LO, entry->issuer);
    put(&encoder, TAG_PATIENT_BIRTH_DATE, VR_DA, entry->birth_date);
    put(&encoder, TAG_PATIENT_SEX, VR_CS, entry->sex);
    put(&encoder, TAG_STUDY_INSTANCE_UID, VR_UI, entry->study);
    put(&encoder, TAG_REQUESTING_PHYSICIAN, VR_PN, entry->requester);
    put(&encoder, TAG_REQUESTED_PROCEDURE_DESCRIPTION, VR_LO, entry->description);
    put_codes(&encoder, TAG_REQUESTED_PROCEDURE_CODE_SEQUENCE, entry->code);
    put_step(&encoder, entry);
    put(&encoder, TAG_REQUESTED_PROCEDURE_ID, VR_SH, entry->procedure_id);
    put(&encoder, TAG_REASON_FOR_REQUESTED_PROCEDURE, VR_LO, entry->reason);
    put(&encoder, TAG_REQUESTED_PROCEDURE_PRIORITY, VR_SH, entry->priority);
    put_codes(&encoder, TAG_REASON_FOR_REQUESTED_PROCEDURE_CODE_SEQUENCE, entry->reason_code);
    put(&encoder, TAG_PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, VR_LO, out->placer);
    put(&encoder, TAG_FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, VR_LO, out->filler);
    return buffer_check(&out->dataset, "an order", err);
}

/* What is to be done. */

static bool no_order(struct service_request *out, const char *why)
{
    out->is_order = false;
    snprintf(out->why, sizeof out->why, "%s", why);
    return true;
}

static bool take_status(const cJSON *request, struct service_request *out)
{
    const char *status = json_text(request, "status"), *intent = json_text(request, "intent");
    out->control = STEP_NEW;
    if (intent && (strcmp(intent, "proposal") == 0 || strcmp(intent, "plan") == 0 ||
                   strcmp(intent, "option") == 0 || strcmp(intent, "directive") == 0))
        return no_order(out, "its intent is not an order");
    if (!status || strcmp(status, "draft") == 0 || strcmp(status, "on-hold") == 0 ||
        strcmp(status, "unknown") == 0)
        return no_order(out, "its status asks for nothing yet");
    if (strcmp(status, "revoked") == 0 || strcmp(status, "entered-in-error") == 0)
        out->control = STEP_CANCEL;
    if (strcmp(status, "completed") == 0) {
        out->control = STEP_STATUS;
        out->status = STEP_COMPLETED;
    }
    out->is_order = true;
    return true;
}

static const cJSON *contained(const cJSON *request, const char *reference)
{
    const cJSON *resource;
    if (reference[0] != '#')
        return NULL;
    cJSON_ArrayForEach(resource, json_get(request, "contained"))
    {
        const char *id = json_text(resource, "id");
        if (id && strcmp(id, reference + 1) == 0)
            return resource;
    }
    return NULL;
}

const char *service_request_patient(const cJSON *request)
{
    const char *reference = json_text(json_get(request, "subject"), "reference");
    return reference ? reference : "";
}

static int64_t told_at(const cJSON *resource)
{
    const char *told = json_text(json_get(resource, "meta"), "lastUpdated");
    int64_t us = 0;
    return told && service_request_instant(told, &us) ? us : 0;
}

bool service_request_read(const struct service_request_parts *parts,
                          const struct service_request_options *options,
                          struct service_request *out, struct error *err)
{
    struct entry entry;
    memset(&entry, 0, sizeof entry);
    memset(out, 0, sizeof *out);
    out->dataset = buffer_up_to(ENTRY_LIMIT);
    const char *type = json_text(parts->request, "resourceType");
    if (!type || strcmp(type, "ServiceRequest") != 0)
        return error_set(err, ERROR_INVALID, "it is no ServiceRequest");
    out->message_us = told_at(parts->request);
    if (told_at(parts->appointment) > out->message_us)
        out->message_us = told_at(parts->appointment);
    take_status(parts->request, out);
    if (!out->is_order)
        return true;
    take_what(parts->request, &entry);
    take_modality(parts->request, &entry);
    bool is_new = out->control == STEP_NEW;
    if (is_new && !entry.modality[0] && !is_imaging(parts->request))
        return no_order(out, "it is not one of imaging (category, or a modality in orderDetail)");
    if (is_new && !entry.modality[0] && options->modality)
        snprintf(entry.modality, sizeof entry.modality, "%.16s", options->modality);
    if (is_new && !entry.modality[0])
        return no_order(out, "it names no modality (orderDetail)");
    if (!take_identifiers(parts->request, &entry, out, err))
        return false;
    const cJSON *patient = contained(parts->request, service_request_patient(parts->request));
    if (!patient)
        patient = parts->patient;
    if (!patient && !is_new)
        return true; /* its numbers are enough */
    if (!patient)
        return error_set(err, ERROR_INVALID,
                         "ServiceRequest.subject: the Patient is neither contained nor in the "
                         "Bundle, or cannot be read");
    if (!take_patient(patient, options, &entry, err))
        return false;
    take_when(parts, &entry);
    take_where(parts, &entry);
    if (!entry.station[0] && options->station)
        take_text(entry.station, sizeof entry.station, SH_SIZE, options->station);
    return encode(&entry, out, err);
}

void service_request_release(struct service_request *request)
{
    buffer_release(&request->dataset);
}

static bool digits(const char **text, int count, int *number)
{
    *number = 0;
    for (; count; count--, ++*text) {
        if (!isdigit((unsigned char)**text))
            return false;
        *number = *number * 10 + (**text - '0');
    }
    return true;
}

static bool expect(const char **text, char character)
{
    return *(*text)++ == character;
}

bool service_request_instant(const char *text, int64_t *us)
{
    struct tm tm = { 0 };
    int64_t fraction = 0, unit = 100000;
    int hours = 0, minutes = 0;
    if (strlen(text) < 20 || !digits(&text, 4, &tm.tm_year) || !expect(&text, '-') ||
        !digits(&text, 2, &tm.tm_mon) || !expect(&text, '-') || !digits(&text, 2, &tm.tm_mday) ||
        !expect(&text, 'T') || !digits(&text, 2, &tm.tm_hour) || !expect(&text, ':') ||
        !digits(&text, 2, &tm.tm_min) || !expect(&text, ':') || !digits(&text, 2, &tm.tm_sec))
        return false;
    if (*text == '.')
        for (text++; isdigit((unsigned char)*text); text++, unit /= 10)
            fraction += unit * (*text - '0');
    char sign = *text++;
    if (sign == '+' || sign == '-') {
        if (!digits(&text, 2, &hours) || !expect(&text, ':') || !digits(&text, 2, &minutes))
            return false;
    } else if (sign != 'Z') {
        return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int64_t seconds = timegm(&tm) - (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    *us = seconds * 1000000 + fraction;
    return *text == '\0';
}
