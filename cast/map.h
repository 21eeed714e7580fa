/* SPDX-License-Identifier: MIT */
#pragma once
/* What the parts of the mapping share. Only for mapping*.c. */

#include "cast/coding.h"
#include "cast/fhir_time.h"
#include "cast/identifier.h"
#include "cast/mapping.h"

struct map {
    const struct study *study;
    const struct mapping_options *options;
    struct attributes attributes; /* of the study */
    struct coding_context coding;
    const char *zone; /* NULL: none is known */
    char zone_text[FHIR_TIME_SIZE];
    cJSON *notes; /* Annotation[] */
};

void map_init(struct map *map, const struct study *study, const struct mapping_options *options);
/* Tells what was left out; no patient data. */
void map_note(struct map *map, const char *format, ...) __attribute__((format(printf, 2, 3)));
cJSON *map_meta(const struct map *map);

/* A person as a logical reference: by the identification sequence's code, and by name. One for each
 * value of `name_tag`. */
void map_persons(const struct map *map, const struct attributes *attributes, uint32_t name_tag,
                 uint32_t identification_tag, cJSON *references);
/* {type, identifier}. Takes the identifier. */
cJSON *map_logical_reference_take(const char *type, cJSON *identifier);

cJSON *map_patient(struct map *map);
cJSON *map_imaging_study(struct map *map);
/* Orders named by the series' Request Attributes Sequences, and by the study. */
cJSON *map_orders(const struct map *map);
cJSON *map_procedures(const struct map *map);
cJSON *map_reasons(const struct map *map);
/* NULL when its UID is no FHIR id. */
cJSON *map_series(struct map *map, const struct study_series *series);
