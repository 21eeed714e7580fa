/* SPDX-License-Identifier: MIT */
/* What a study was made for: orders, procedures, reasons. They stand in the study's own attributes
 * and in the Request Attributes Sequences of its series (PS3.3 10.6). */
#include "cast/map.h"
#include "cast/tags.h"

enum { MOST_REQUESTS = 50, MOST_OF_STUDY = 1000 };

static struct attributes series_attributes(const struct study_series *series)
{
    struct attributes attributes = { series->attributes, series->header };
    return attributes;
}

static void append_order(const struct map *map, const struct attributes *attributes, cJSON *orders)
{
    static const struct {
        uint32_t tag;
        uint32_t issuer;
        const char *type;
        const char *branch;
    } kinds[] = {
        { TAG_PLACER_ORDER_NUMBER, TAG_ORDER_PLACER_IDENTIFIER_SEQUENCE, "PLAC", "placer-order" },
        { TAG_FILLER_ORDER_NUMBER, TAG_ORDER_FILLER_IDENTIFIER_SEQUENCE, "FILL", "filler-order" },
        { TAG_ACCESSION_NUMBER, TAG_ISSUER_OF_ACCESSION_NUMBER_SEQUENCE, "ACSN", "accession" },
    };
    char value[IDENTIFIER_MAX];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!attributes_text(attributes, kinds[i].tag, value, sizeof value))
            continue;
        struct issuer issuer = issuer_of_sequence(attributes, kinds[i].issuer,
                                                  map->options->prefix);
        cJSON *identifier = identifier_new(NULL, kinds[i].type, &issuer, map->options->prefix,
                                           kinds[i].branch, value);
        json_append_new_take(orders, map_logical_reference_take("ServiceRequest", identifier));
        issuer_release(&issuer);
        return;
    }
}

/* Runs through the study itself and every request of every series. */
struct requests {
    const struct study *study;
    size_t series; /* 0: the study itself; else series + 1 */
    size_t item;
    size_t count; /* of items so far */
    struct dataset *open;
};

static bool requests_next(struct requests *requests, const struct map *map,
                          struct attributes *attributes)
{
    dataset_close(requests->open);
    requests->open = NULL;
    if (requests->series == 0) {
        requests->series = 1;
        *attributes = map->attributes;
        return true;
    }
    for (; requests->series <= requests->study->series_count; requests->series++) {
        struct attributes series = series_attributes(
            &requests->study->series[requests->series - 1]);
        if (requests->item < MOST_REQUESTS && requests->count < MOST_OF_STUDY)
            requests->open = attributes_item(&series, TAG_REQUEST_ATTRIBUTES_SEQUENCE,
                                             requests->item++);
        if (requests->open) {
            requests->count++;
            *attributes = (struct attributes){ requests->open, NULL };
            return true;
        }
        requests->item = 0;
    }
    return false;
}

cJSON *map_orders(const struct map *map)
{
    cJSON *orders = json_array();
    struct requests requests = { .study = map->study };
    struct attributes attributes;
    while (requests_next(&requests, map, &attributes))
        append_order(map, &attributes, orders);
    return orders;
}

cJSON *map_procedures(const struct map *map)
{
    char text[ATTRIBUTE_SIZE];
    cJSON *procedures = json_array();
    struct requests requests = { .study = map->study };
    struct attributes attributes;
    concepts_append(procedures, &map->coding, &map->attributes, TAG_PROCEDURE_CODE_SEQUENCE);
    while (requests_next(&requests, map, &attributes)) {
        size_t before = (size_t)cJSON_GetArraySize(procedures);
        concepts_append(procedures, &map->coding, &attributes,
                        TAG_REQUESTED_PROCEDURE_CODE_SEQUENCE);
        /* A description beside a code says the same once more. */
        if ((size_t)cJSON_GetArraySize(procedures) == before &&
            !attributes_item_count(&attributes, TAG_REQUESTED_PROCEDURE_CODE_SEQUENCE) &&
            attributes_text(&attributes, TAG_REQUESTED_PROCEDURE_DESCRIPTION, text, sizeof text))
            concepts_append_text(procedures, text);
    }
    return procedures;
}

static void append_reason(const struct map *map, const struct attributes *attributes,
                          cJSON *reasons, uint32_t code_tag, uint32_t text_tag)
{
    char text[ATTRIBUTE_SIZE];
    concepts_append(reasons, &map->coding, attributes, code_tag);
    if (attributes_text(attributes, text_tag, text, sizeof text))
        concepts_append_text(reasons, text);
}

cJSON *map_reasons(const struct map *map)
{
    cJSON *reasons = json_array();
    struct requests requests = { .study = map->study };
    struct attributes attributes;
    while (requests_next(&requests, map, &attributes))
        append_reason(map, &attributes, reasons, TAG_REASON_FOR_REQUESTED_PROCEDURE_CODE_SEQUENCE,
                      TAG_REASON_FOR_REQUESTED_PROCEDURE);
    append_reason(map, &map->attributes, reasons, TAG_ADMITTING_DIAGNOSES_CODE_SEQUENCE,
                  TAG_ADMITTING_DIAGNOSES_DESCRIPTION);
    return reasons;
}
