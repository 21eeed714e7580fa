/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cast/human_name.h"
#include "cast/map.h"
#include "cast/tags.h"

/* Where the identity stands: one data set's Patient ID is never put beside another one's issuer. */
static struct attributes identity_attributes(const struct map *map)
{
    char kept[ATTRIBUTE_SIZE], sent[ATTRIBUTE_SIZE];
    struct attributes attributes = map->attributes;
    if (attributes.level &&
        dataset_clean_text(attributes.level, TAG_PATIENT_ID, kept, sizeof kept) &&
        (!dataset_clean_text(attributes.header, TAG_PATIENT_ID, sent, sizeof sent) ||
         strcmp(kept, sent) != 0))
        attributes.header = NULL;
    return attributes;
}

/* Types of v2-0203 that name a person; others would say something wrong. */
static const char *identifier_type(const struct dataset *qualifiers, char code[64])
{
    static const char *const types[] = { "AN", "AM",  "BR",  "DL", "DR", "HC",  "JHN", "MA",
                                         "MB", "MC",  "MCR", "MR", "MS", "NI",  "NH",  "PI",
                                         "PN", "PPN", "PT",  "RI", "SS", "TAX", "VN",  "WC" };
    if (qualifiers && dataset_clean_text(qualifiers, TAG_IDENTIFIER_TYPE_CODE, code, 64))
        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            if (strcmp(code, types[i]) == 0)
                return types[i];
    return "MR";
}

static void set_facility(const struct dataset *qualifiers, struct issuer *issuer)
{
    struct dataset *facility = dataset_item(qualifiers, TAG_ASSIGNING_FACILITY_SEQUENCE, 0);
    char name[256];
    if (facility && dataset_clean_text(facility, TAG_LOCAL_NAMESPACE_ENTITY_ID, name, sizeof name))
        snprintf(issuer->display, sizeof issuer->display, "%s", name);
    dataset_close(facility);
}

/* The qualifiers win over the plain text of the issuer (PS3.3 10.15). */
static cJSON *patient_identifier(const struct map *map, const struct attributes *attributes,
                                 const char *use, const char *branch, const char *value)
{
    const char *prefix = map->options->prefix;
    char text[ATTRIBUTE_SIZE], code[64];
    struct dataset *qualifiers = attributes_item(attributes,
                                                 TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE, 0);
    attributes_text(attributes, TAG_ISSUER_OF_PATIENT_ID, text, sizeof text);

    struct issuer issuer = issuer_of_text("", prefix);
    if (qualifiers) {
        issuer_release(&issuer);
        issuer = issuer_of_item(qualifiers, prefix);
    }
    if (!issuer.system.size) {
        issuer_release(&issuer);
        issuer = issuer_of_text(text, prefix);
    }
    if (qualifiers)
        set_facility(qualifiers, &issuer);
    cJSON *identifier = identifier_new(use, identifier_type(qualifiers, code), &issuer, prefix,
                                       branch, value);
    issuer_release(&issuer);
    dataset_close(qualifiers);
    return identifier;
}

/* A namespace of its own for those who are no patients of the hospital's: a pseudonym or a phantom
 * must never meet a real one. */
static cJSON *separate_identifier(const struct map *map, const char *branch, const char *value)
{
    struct issuer nobody = issuer_of_text("", map->options->prefix);
    cJSON *identifier = identifier_new("usual", NULL, &nobody, map->options->prefix, branch, value);
    issuer_release(&nobody);
    return identifier;
}

cJSON *map_patient_identity(struct map *map)
{
    struct attributes attributes = identity_attributes(map);
    char value[IDENTIFIER_MAX];
    if (!attributes_text(&attributes, TAG_PATIENT_ID, value, sizeof value)) {
        map_note(map, "Patient ID (0010,0020) is missing: the subject is known by the study alone");
        return separate_identifier(map, IDENTIFIER_NO_PATIENT_ID, map->study->uid);
    }
    if (attributes_say(&map->attributes, TAG_PATIENT_IDENTITY_REMOVED, "YES"))
        return separate_identifier(map, "deidentified", value);
    if (attributes_say(&map->attributes, TAG_QUALITY_CONTROL_SUBJECT, "YES"))
        return separate_identifier(map, "quality-control-subject", value);
    return patient_identifier(map, &attributes, "usual", NULL, value);
}

static void append_identifier_take(cJSON *identifiers, cJSON *identifier)
{
    const cJSON *each;
    for (each = json_first(identifiers); each; each = each->next)
        if (identifier_equal(each, identifier)) {
            cJSON_Delete(identifier);
            return;
        }
    json_append_take(identifiers, identifier);
}

/* Those without an issuer are in a system of ours of their own, lest they be taken for a Patient
 * ID that nobody issued. */
static void append_other_identifiers(const struct map *map, cJSON *identifiers)
{
    enum { MOST = 50 };
    struct attributes own = identity_attributes(map);
    size_t count = attributes_item_count(&own, TAG_OTHER_PATIENT_IDS_SEQUENCE);
    char value[IDENTIFIER_MAX];
    for (size_t i = 0; i < count && i < MOST; i++) {
        struct dataset *item = attributes_item(&own, TAG_OTHER_PATIENT_IDS_SEQUENCE, i);
        struct attributes attributes = { item, NULL };
        /* The content of an RFID tag names the tag. */
        if (item && !attributes_say(&attributes, TAG_TYPE_OF_PATIENT_ID, "RFID") &&
            attributes_text(&attributes, TAG_PATIENT_ID, value, sizeof value))
            append_identifier_take(identifiers, patient_identifier(map, &attributes, "secondary",
                                                                   "other-patient-id", value));
        dataset_close(item);
    }
    for (size_t i = 0; !count && i < MOST; i++) {
        struct issuer nobody = issuer_of_text("", map->options->prefix);
        bool found = attributes_value(&own, TAG_OTHER_PATIENT_IDS, i, value, sizeof value);
        if (found && *value)
            append_identifier_take(identifiers,
                                   identifier_new("secondary", NULL, &nobody, map->options->prefix,
                                                  "other-patient-id", value));
        issuer_release(&nobody);
        if (!found)
            break;
    }
}

static cJSON *map_names(const struct map *map)
{
    enum { MOST = 20 };
    char name[ATTRIBUTE_SIZE];
    cJSON *names = json_array();
    if (attributes_value(&map->attributes, TAG_PATIENT_NAME, 0, name, sizeof name))
        human_name_append(names, name, "official");
    if (attributes_value(&map->attributes, TAG_PATIENT_BIRTH_NAME, 0, name, sizeof name))
        human_name_append(names, name, "maiden");
    for (size_t i = 0; i < MOST; i++) {
        if (!attributes_value(&map->attributes, TAG_OTHER_PATIENT_NAMES, i, name, sizeof name))
            break;
        human_name_append(names, name, NULL);
    }
    return names;
}

/* An empty Patient's Sex is no value, so it is not `unknown`. */
static const char *map_gender(struct map *map)
{
    static const struct {
        const char *sex;
        const char *gender;
    } genders[] = { { "M", "male" }, { "F", "female" }, { "O", "other" } };
    char sex[64];
    if (!attributes_text(&map->attributes, TAG_PATIENT_SEX, sex, sizeof sex))
        return NULL;
    for (size_t i = 0; i < sizeof genders / sizeof *genders; i++)
        if (strcmp(sex, genders[i].sex) == 0)
            return genders[i].gender;
    map_note(map, "Patient's Sex (0010,0040) is none of M, F, O and was left out");
    return NULL;
}

static void set_birth_time(const struct map *map, cJSON *patient, const char *da)
{
    char tm[64], text[FHIR_TIME_SIZE];
    if (!attributes_text(&map->attributes, TAG_PATIENT_BIRTH_TIME, tm, sizeof tm) ||
        !fhir_date_time(da, tm, map->zone, text) || !strchr(text, 'T'))
        return;
    cJSON *element = json_object();
    cJSON *extension = json_object();
    json_set_text(extension, "url", "http://hl7.org/fhir/StructureDefinition/patient-birthTime");
    json_set_text(extension, "valueDateTime", text);
    json_append_take(json_need_array(element, "extension"), extension);
    json_set_take(patient, "_birthDate", element);
}

static void set_birth_date(struct map *map, cJSON *patient)
{
    char da[64], date[FHIR_TIME_SIZE];
    if (!attributes_text(&map->attributes, TAG_PATIENT_BIRTH_DATE, da, sizeof da))
        return;
    /* What devices write when they must write something. */
    if (strcmp(da, "00000000") == 0 || strcmp(da, "19000101") == 0)
        return;
    if (!fhir_date(da, date)) {
        map_note(map, "Patient's Birth Date (0010,0030) is no date and was left out");
        return;
    }
    json_set_text(patient, "birthDate", date);
    set_birth_time(map, patient, da);
}

static cJSON *species(const struct map *map)
{
    char text[ATTRIBUTE_SIZE];
    cJSON *concept = json_object();
    cJSON *coding = coding_of_sequence(&map->coding, &map->attributes,
                                       TAG_PATIENT_SPECIES_CODE_SEQUENCE);
    if (coding)
        json_append_take(json_need_array(concept, "coding"), coding);
    if (attributes_text(&map->attributes, TAG_PATIENT_SPECIES_DESCRIPTION, text, sizeof text))
        json_set_text(concept, "text", text);
    return concept;
}

static void append_animal(const struct map *map, cJSON *extensions)
{
    cJSON *concept = species(map);
    if (!concept->child) {
        cJSON_Delete(concept);
        return;
    }
    cJSON *inner = json_object();
    json_set_text(inner, "url", "species");
    json_set_take(inner, "valueCodeableConcept", concept);
    cJSON *animal = json_object();
    json_set_text(animal, "url", "http://hl7.org/fhir/StructureDefinition/patient-animal");
    json_append_take(json_need_array(animal, "extension"), inner);
    json_append_take(extensions, animal);
}

static cJSON *map_extensions(const struct map *map)
{
    cJSON *extensions = json_array();
    char pn[ATTRIBUTE_SIZE], text[ATTRIBUTE_SIZE];
    append_animal(map, extensions);
    if (attributes_value(&map->attributes, TAG_PATIENT_MOTHER_BIRTH_NAME, 0, pn, sizeof pn) &&
        human_name_text(pn, text, sizeof text)) {
        cJSON *extension = json_object();
        json_set_text(extension, "url",
                      "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName");
        json_set_text(extension, "valueString", text);
        json_append_take(extensions, extension);
    }
    return extensions;
}

cJSON *map_patient(struct map *map)
{
    cJSON *patient = json_object();
    json_set_text(patient, "resourceType", "Patient");
    json_set_take(patient, "meta", map_meta(map));
    json_set_take(patient, "extension", map_extensions(map));
    cJSON *identifiers = json_need_array(patient, "identifier");
    json_append_take(identifiers, map_patient_identity(map));
    append_other_identifiers(map, identifiers);
    json_set_take(patient, "name", map_names(map));
    json_set_text(patient, "gender", map_gender(map));
    set_birth_date(map, patient);
    return patient;
}

/* --- before it was amended --- */

/* Not a pseudonym or a phantom: those are nobody's. */
static bool is_a_patients(const struct map *map)
{
    return !attributes_say(&map->attributes, TAG_PATIENT_IDENTITY_REMOVED, "YES") &&
           !attributes_say(&map->attributes, TAG_QUALITY_CONTROL_SUBJECT, "YES");
}

/* What stands there may be empty: then it was. */
static bool says(const struct dataset *dataset, uint32_t tag)
{
    struct element element;
    return dataset_find(dataset, tag, &element);
}

static void set_former_identifier(const struct map *map, const struct dataset *modified,
                                  struct mapping_former *former)
{
    /* The issuer is that of today, unless it was another one. */
    struct attributes attributes = { modified, says(modified, TAG_ISSUER_OF_PATIENT_ID)
                                                   ? NULL
                                                   : map->study->header };
    char value[IDENTIFIER_MAX], issuer[ATTRIBUTE_SIZE];
    if (!dataset_clean_text(modified, TAG_PATIENT_ID, value, sizeof value))
        return;
    attributes_text(&attributes, TAG_ISSUER_OF_PATIENT_ID, issuer, sizeof issuer);
    former->identifier = patient_identifier(map, &attributes, "usual", NULL, value);
    former->id = mem_copy_text(value);
    former->issuer = mem_copy_text(issuer);
}

/* What is said today, or what nothing has taken the place of, is not of before. */
static void drop_what_stays(cJSON *former, const cJSON *patient)
{
    cJSON *next;
    for (cJSON *element = former->child; element; element = next) {
        const cJSON *present = json_get(patient, element->string);
        cJSON *names = cJSON_IsArray(element) ? element : NULL;
        cJSON *next_name;
        next = element->next;
        for (cJSON *name = json_first(names); name && present; name = next_name) {
            const cJSON *each = json_first(present);
            next_name = name->next;
            while (each && !json_equal(each, name))
                each = each->next;
            if (each)
                cJSON_Delete(cJSON_DetachItemViaPointer(names, name));
        }
        if (!present || json_equal(present, element) || (names && !names->child))
            cJSON_Delete(cJSON_DetachItemViaPointer(former, element));
    }
}

static void add_former(const struct map *map, const struct dataset *modified,
                       struct mapping *mapping)
{
    struct mapping_former *former = &mapping->formers[mapping->former_count++];
    struct map before = *map;
    /* What was not modified is as today, and dropped again. */
    before.attributes = (struct attributes){ modified, map->study->header };
    before.notes = json_array(); /* nobody reads them */
    former->patient = json_object();
    json_set_text(former->patient, "resourceType", "Patient");
    json_set_take(former->patient, "name", map_names(&before));
    json_set_text(former->patient, "gender", map_gender(&before));
    set_birth_date(&before, former->patient);
    drop_what_stays(former->patient, mapping->patient);
    cJSON_Delete(before.notes);
    set_former_identifier(map, modified, former);
}

void map_former_patients(const struct map *map, struct mapping *mapping)
{
    enum { MOST = 64 };
    const struct dataset *header = map->study->header;
    struct attributes own = identity_attributes(map);
    char id[IDENTIFIER_MAX];
    size_t count = header ? dataset_item_count(header, TAG_ORIGINAL_ATTRIBUTES_SEQUENCE) : 0;
    if (!is_a_patients(map) || !attributes_text(&own, TAG_PATIENT_ID, id, sizeof id))
        return;
    mapping->patient_id = mem_copy_text(id);
    for (size_t i = 0; i < count && i < MOST && mapping->former_count < MAPPING_FORMERS; i++) {
        struct dataset *item = dataset_item(header, TAG_ORIGINAL_ATTRIBUTES_SEQUENCE, i);
        struct dataset *modified = item ? dataset_item(item, TAG_MODIFIED_ATTRIBUTES_SEQUENCE, 0)
                                        : NULL;
        if (modified)
            add_former(map, modified, mapping);
        dataset_close(modified);
        dataset_close(item);
    }
}
