/* SPDX-License-Identifier: MIT */
#pragma once
/* What the parts of the mapping share. Only for mapping*.c. */

#include "cast/coding.h"
#include "cast/fhir_time.h"
#include "cast/identifier.h"
#include "cast/mapping.h"
#include "dicom/content.h"

/* What all documents of a study become: beyond it none of them has but its own resource. */
enum { MAP_MAX_MEMORY = 64 << 20 };

struct map {
    const struct study *study;
    const struct mapping_options *options;
    struct attributes attributes; /* of the study */
    struct coding_context coding;
    const char *zone; /* NULL: none is known */
    char zone_text[FHIR_TIME_SIZE];
    cJSON *notes;      /* Annotation[] */
    cJSON *selections; /* ImagingSelection[] */
    cJSON *orders;     /* Reference[]: those that map_orders told, of each document again */
    size_t room;       /* bytes of memory that what documents say may take yet */
};

void map_init(struct map *map, const struct study *study, const struct mapping_options *options);
/* Tells what was left out; no patient data. */
void map_note(struct map *map, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What was made of a document takes so much of the room that is left. */
void map_take_room(struct map *map, const cJSON *made);
cJSON *map_meta(const struct map *map);

/* A person as a logical reference: by the identification sequence's code, and by name. One for each
 * value of `name_tag`. */
void map_persons(const struct map *map, const struct attributes *attributes, uint32_t name_tag,
                 uint32_t identification_tag, cJSON *references);
/* One: by the code of its identification (may be NULL) and by name (PN; may be NULL). NULL when
 * neither says anything. */
cJSON *map_person(const struct map *map, const struct dataset *code_item, const char *name);
/* {type, identifier}. Takes the identifier. */
cJSON *map_logical_reference_take(const char *type, cJSON *identifier);

cJSON *map_patient(struct map *map);
/* The identifier that the Patient is found by. */
cJSON *map_patient_identity(struct map *map);
/* Accession Number, and admission: nothing when there is none. */
void map_append_accession(const struct map *map, cJSON *identifiers);
void map_set_encounter(const struct map *map, cJSON *resource);
/* What the study said of its patient before its instances were amended. */
void map_former_patients(const struct map *map, struct mapping *mapping);
cJSON *map_imaging_study(struct map *map);
/* Orders named by the series' Request Attributes Sequences, and by the study. */
cJSON *map_orders(const struct map *map);
cJSON *map_procedures(const struct map *map);
cJSON *map_reasons(const struct map *map);
/* NULL when its UID is no FHIR id. */
cJSON *map_series(struct map *map, const struct study_series *series);

/* A document that is being mapped: what it says, and where it stands. */
struct map_document {
    struct map *map;
    const struct study_series *series;
    const struct study_instance *instance;
    struct content_tree tree;
    struct attributes attributes; /* of the document */
    struct coding_context coding;
    const char *zone; /* its own, else the study's */
    char zone_text[FHIR_TIME_SIZE];
    cJSON *resources;  /* what becomes of it; those that others refer to come first */
    size_t count;      /* of them */
    size_t left_out;   /* for which there was no room */
    size_t *inherited; /* see map_items_inherited; of mapping_measurement.c */
};
enum { MAP_MAX_RESOURCES = 1000 }; /* of one document */

/* Device[]: those that the study's series name by an identifier. */
cJSON *map_devices(const struct map *map);
/* A logical reference to the device of an equipment; NULL when it says nothing. */
cJSON *map_device_reference(const struct map *map, const struct attributes *attributes);
/* Observation[], DiagnosticReport[], DocumentReference[] of all documents. */
cJSON *map_documents(struct map *map);

/* The kinds of documents. */
void map_dose_report(struct map_document *document);
void map_key_objects(struct map_document *document);
void map_report(struct map_document *document);
/* Observations of what is measured; logical references to those at the top are appended. */
void map_measurements(struct map_document *document, cJSON *results);

/* --- for the kinds: mapping_content.c --- */

/* A resource with what all have: type, meta, identifiers. */
cJSON *map_document_resource(const struct map_document *document, const char *type,
                             cJSON *identifier);
/* Is there room for one more, beside those that hold others? To be asked
 * before it is made: what a document says may be more than memory holds. */
bool map_document_has_room(struct map_document *document);
/* Takes it into the document's resources; the result is a logical reference to it. */
cJSON *map_document_add_take(struct map_document *document, cJSON *resource);
/* So too, of what holds others that were taken in: there is room for it in any case. */
cJSON *map_document_add_whole_take(struct map_document *document, cJSON *resource);
/* The document's SOP instance, or an item of it, as an identifier. */
cJSON *map_document_identifier(const struct map_document *document);
cJSON *map_item_identifier(const struct map_document *document, size_t node);
/* May this UID of an item be its identifier? */
bool map_uid_is_own(const struct map_document *document, const char *uid);
/* References: Patient and ImagingStudy of the study. */
void map_set_subject(const struct map_document *document, cJSON *resource);
cJSON *map_imaging_study_reference(const struct map_document *document);
/* Is it final, by its flags (PS3.3 C.17.2)? */
bool map_document_is_verified(const struct map_document *document);
bool map_document_is_partial(const struct map_document *document);
/* When its content came about. False when that is not known. */
bool map_document_time(const struct map_document *document, char text[FHIR_TIME_SIZE]);
/* Where it can be fetched: "" in `suffix`, "/rendered"; nothing without an address. */
void map_set_url(const struct map_document *document, const char *suffix, cJSON *attachment);

/* Of a content item: NULL or false when it says nothing. */
cJSON *map_item_concept(const struct map_document *document, size_t node);
cJSON *map_item_code(const struct map_document *document, size_t node);
bool map_item_text(const struct map_document *document, size_t node, struct buffer *text);
/* Of one that map_item_text does not give: is it there, and too long? */
bool map_item_has_text(const struct map_document *document, size_t node);
bool map_item_time(const struct map_document *document, size_t node, char text[FHIR_TIME_SIZE]);
bool map_item_uid(const struct map_document *document, size_t node, char uid[UID_SIZE]);
/* Sets valueQuantity, or dataAbsentReason. */
void map_item_quantity(const struct map_document *document, size_t node, cJSON *target);
/* Adds a component {code, value}, if there is room. */
void map_append_component(struct map_document *document, size_t node, cJSON *observation);

/* Concept names that mean the same, NULL-terminated by scheme. */
struct map_name {
    const char *scheme;
    const char *code;
};
bool map_item_is(const struct map_document *document, size_t node, const struct map_name *names);
/* The first item right below with one of the names. */
size_t map_item_child(const struct map_document *document, size_t node,
                      const struct map_name *names);
/* The same of every item, else of the nearest one that it is in, for each of `kinds` of names: that
 * of kind k of a node stands at [node * count + k]. Free it. */
size_t *map_items_inherited(const struct map_document *document,
                            const struct map_name *const *kinds, size_t count);
/* The nodes of an item and all below it are those from `node` up to here. */
size_t map_item_end(const struct map_document *document, size_t node);
