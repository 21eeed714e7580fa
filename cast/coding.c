/* SPDX-License-Identifier: MIT */
#include "cast/coding.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "cast/identifier.h"
#include "cast/tags.h"
#include "cast/text.h"

/* Coding scheme designators (PS3.16 8) that have a URI of their own. */
static const struct {
    const char *designator;
    const char *system;
} schemes[] = {
    { "DCM", SYSTEM_DCM },
    { "SCT", SYSTEM_SCT },
    { "SNM3", "http://terminology.hl7.org/CodeSystem/snm" },
    { "SRT", "http://terminology.hl7.org/CodeSystem/snm" },
    { "99SDM", "http://terminology.hl7.org/CodeSystem/snm" },
    { "LN", "http://loinc.org" },
    { "UCUM", "http://unitsofmeasure.org" },
    { "RADLEX", "http://radlex.org" },
    { "I10", "http://hl7.org/fhir/sid/icd-10" },
    { "ICD10", "http://hl7.org/fhir/sid/icd-10" },
    { "I10C", "http://hl7.org/fhir/sid/icd-10-cm" },
    { "ICD10CM", "http://hl7.org/fhir/sid/icd-10-cm" },
    { "I9C", "http://hl7.org/fhir/sid/icd-9-cm" },
    { "CPT4", "http://www.ama-assn.org/go/cpt" },
    { "C4", "http://www.ama-assn.org/go/cpt" },
    { "FMA", "http://sig.biostr.washington.edu/projects/fm/AboutFM.html" },
};

cJSON *coding_new(const char *system, const char *code, const char *display)
{
    cJSON *coding = json_object();
    json_set_text(coding, "system", system);
    json_set_text(coding, "code", code);
    json_set_text(coding, "display", display);
    return coding;
}

/* The UID that the header gives to a scheme of its own (PS3.3 C.12.1.1.7). */
static bool identified_system(const struct dataset *header, const char *designator,
                              struct buffer *system)
{
    enum { MOST = 100 }; /* they are looked through for each code */
    bool found = false;
    if (!header)
        return false;
    struct dataset_items items = dataset_items(header, TAG_CODING_SCHEME_IDENTIFICATION_SEQUENCE);
    struct dataset *item;
    for (int i = 0; i < MOST && !found && (item = dataset_items_next(&items)); i++) {
        char name[64], uid[UID_SIZE];
        if (dataset_clean_text(item, TAG_CODING_SCHEME_DESIGNATOR, name, sizeof name) &&
            strcmp(name, designator) == 0 && dataset_uid(item, TAG_CODING_SCHEME_UID, uid) &&
            uid_is_valid(uid)) {
            buffer_append_format(system, "urn:oid:%s", uid);
            found = true;
        }
        dataset_close(item);
    }
    return found;
}

void coding_system(const struct coding_context *context, const char *designator,
                   struct buffer *system)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (strcmp(designator, schemes[i].designator) == 0) {
            buffer_append_text(system, schemes[i].system);
            return;
        }
    if (!identified_system(context->header, designator, system))
        identifier_own_system(context->prefix, "coding-scheme", designator, system);
}

void coding_scheme(const char *system, char designator[CODING_SCHEME_SIZE])
{
    uint32_t hash = 0x811c9dc5u;
    for (size_t i = 0; system && i < sizeof schemes / sizeof *schemes; i++)
        if (strcmp(system, schemes[i].system) == 0) {
            snprintf(designator, CODING_SCHEME_SIZE, "%s", schemes[i].designator);
            return;
        }
    for (const char *at = system ? system : ""; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 0x01000193u;
    snprintf(designator, CODING_SCHEME_SIZE, "99%08X", (unsigned)hash);
}

static bool code_value(const struct dataset *item, char *code, size_t size)
{
    static const uint32_t tags[] = { TAG_CODE_VALUE, TAG_LONG_CODE_VALUE, TAG_URN_CODE_VALUE };
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (dataset_string(item, tags[i], code, size) && text_clean_code(code))
            return true;
    return false;
}

/* A version says what it means only in terminologies that FHIR versions in the same way. */
static bool has_version(const char *designator)
{
    return strcmp(designator, "SCT") == 0 || strcmp(designator, "LN") == 0;
}

/* Old devices give today's concept numbers under SNOMED's old designators. */
static bool is_sct_number(const char *code)
{
    size_t size = strlen(code);
    return size >= 6 && size <= 18 && strspn(code, "0123456789") == size;
}

cJSON *coding_of_item(const struct coding_context *context, const struct dataset *item)
{
    char code[ATTRIBUTE_SIZE], meaning[ATTRIBUTE_SIZE], designator[256], version[256];
    bool coded = code_value(item, code, sizeof code);
    bool named = dataset_clean_text(item, TAG_CODE_MEANING, meaning, sizeof meaning);
    bool schemed = dataset_clean_text(item, TAG_CODING_SCHEME_DESIGNATOR, designator,
                                      sizeof designator);
    if (!coded && !named)
        return NULL;
    if (!coded)
        return coding_new(NULL, NULL, meaning);

    struct buffer system = buffer_up_to(IDENTIFIER_MAX);
    cJSON *coding = json_object();
    if (schemed) {
        bool old_snomed = strcmp(designator, "SRT") == 0 || strcmp(designator, "SNM3") == 0 ||
                          strcmp(designator, "99SDM") == 0;
        coding_system(context, old_snomed && is_sct_number(code) ? "SCT" : designator, &system);
    } else if (text_is_uri(code)) {
        buffer_append_text(&system, SYSTEM_RFC3986);
    }
    json_set_text(coding, "system", buffer_text(&system));
    if (schemed && has_version(designator) &&
        dataset_clean_text(item, TAG_CODING_SCHEME_VERSION, version, sizeof version))
        json_set_text(coding, "version", version);
    json_set_text(coding, "code", code);
    json_set_text(coding, "display", named ? meaning : NULL);
    buffer_release(&system);
    return coding;
}

cJSON *coding_of_sequence(const struct coding_context *context, const struct attributes *attributes,
                          uint32_t tag)
{
    struct dataset *item = attributes_item(attributes, tag, 0);
    cJSON *coding = item ? coding_of_item(context, item) : NULL;
    dataset_close(item);
    return coding;
}

cJSON *concept_of_coding_take(cJSON *coding)
{
    cJSON *concept = json_object();
    json_append_take(json_need_array(concept, "coding"), coding);
    json_set_text(concept, "text", json_text(coding, "display"));
    return concept;
}

void concepts_append(cJSON *concepts, const struct coding_context *context,
                     const struct attributes *attributes, uint32_t tag)
{
    enum { MOST = 100 };
    size_t count = attributes_item_count(attributes, tag);
    for (size_t i = 0; i < count && i < MOST; i++) {
        struct dataset *item = attributes_item(attributes, tag, i);
        cJSON *coding = item ? coding_of_item(context, item) : NULL;
        if (coding)
            json_append_new_take(concepts, concept_of_coding_take(coding));
        dataset_close(item);
    }
}

void concepts_append_text(cJSON *concepts, const char *text)
{
    const cJSON *each;
    for (each = json_first(concepts); each; each = each->next) {
        const char *present = json_text(each, "text");
        if (present && strcmp(present, text) == 0)
            return;
    }
    cJSON *concept = json_object();
    json_set_text(concept, "text", text);
    json_append_new_take(concepts, concept);
}

/* Defined terms of Modality (PS3.3 C.7.3.1.1.1, PS3.16 CID 29 and CID 33), by term. */
static const struct modality {
    const char *term;
    bool acquires; /* in CID 29 */
} modalities[] = {
    { "ANN", false },        { "AR", true },          { "ASMT", false },
    { "AU", false },         { "BDUS", true },        { "BI", true },
    { "BMD", true },         { "CFM", true },         { "CR", true },
    { "CT", true },          { "CTPROTOCOL", false }, { "DG", true },
    { "DMS", true },         { "DOC", false },        { "DX", true },
    { "ECG", true },         { "EEG", true },         { "EMG", true },
    { "EOG", true },         { "EPS", true },         { "ES", true },
    { "FID", false },        { "GM", true },          { "HC", false },
    { "HD", true },          { "IO", true },          { "IOL", true },
    { "IVOCT", true },       { "IVUS", true },        { "KER", true },
    { "KO", false },         { "LEN", true },         { "LS", true },
    { "M3D", false },        { "MG", true },          { "MR", true },
    { "NM", true },          { "OAM", true },         { "OCT", true },
    { "OP", true },          { "OPM", true },         { "OPT", true },
    { "OPTBSV", true },      { "OPTENF", true },      { "OPV", true },
    { "OSS", true },         { "OT", false },         { "PA", true },
    { "PLAN", false },       { "POS", true },         { "PR", false },
    { "PT", true },          { "PX", true },          { "REG", false },
    { "RESP", true },        { "RF", true },          { "RG", true },
    { "RTDOSE", false },     { "RTIMAGE", true },     { "RTINTENT", false },
    { "RTPLAN", false },     { "RTRAD", false },      { "RTRECORD", false },
    { "RTSEGANN", false },   { "RTSTRUCT", false },   { "RWV", false },
    { "SEG", false },        { "SM", true },          { "SMR", false },
    { "SR", false },         { "SRF", true },         { "STAIN", false },
    { "TEXTUREMAP", false }, { "TG", true },          { "US", true },
    { "VA", true },          { "XA", true },          { "XAPROTOCOL", false },
    { "XC", true },
};

static int compare_modality(const void *term, const void *row)
{
    return strcmp(term, ((const struct modality *)row)->term);
}

static const struct modality *modality_find(const char *term)
{
    return bsearch(term, modalities, sizeof modalities / sizeof *modalities, sizeof *modalities,
                   compare_modality);
}

cJSON *coding_of_modality(const char *modality, const char *prefix)
{
    if (modality_find(modality))
        return coding_new(SYSTEM_DCM, modality, NULL);
    struct buffer system = buffer_up_to(IDENTIFIER_MAX);
    identifier_own_system(prefix, "modality", NULL, &system);
    cJSON *coding = coding_new(buffer_text(&system), modality, NULL);
    buffer_release(&system);
    return coding;
}

bool modality_acquires(const char *modality)
{
    const struct modality *row = modality_find(modality);
    return row && row->acquires;
}

bool modality_is_newer_than_r4(const char *modality)
{
    static const char *const newer[] = {
        "ANN", "ASMT",  "CFM",        "CTPROTOCOL", "DMS",      "DOC",    "EEG",
        "EMG", "EOG",   "FID",        "IOL",        "M3D",      "OPTBSV", "OPTENF",
        "PA",  "PLAN",  "POS",        "RESP",       "RTINTENT", "RTRAD",  "RTSEGANN",
        "RWV", "STAIN", "TEXTUREMAP", "XAPROTOCOL",
    };
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        if (strcmp(modality, newer[i]) == 0)
            return true;
    return false;
}
