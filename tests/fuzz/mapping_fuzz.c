/* SPDX-License-Identifier: MIT */
/* One byte for the transfer syntax and what kind of document it is taken for, then a data set. What
 * the scan lets pass is mapped as a study of one instance: no string, object or array may be empty,
 * what is mapped once again is the same, and no two resources have one identity. */
#include "cast/mapping.h"

#include <stdlib.h>

#include "cast/identifier.h"
#include "cast/links.h"
#include "cast/merge.h"
#include "cast/patient_id.h"
#include "dicom/scan.h"
#include "dicom/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tree(const cJSON *tree)
{
    if (cJSON_IsString(tree) &&
        (!*tree->valuestring || !utf8_is_valid(slice_text(tree->valuestring))))
        abort();
    if ((cJSON_IsArray(tree) || cJSON_IsObject(tree)) && !tree->child)
        abort();
    for (const cJSON *child = tree->child; child; child = child->next)
        check_tree(child);
}

static void check_text(const cJSON *tree)
{
    struct buffer text = buffer_up_to(64 << 20);
    cJSON *again = NULL;
    json_print(tree, &text);
    if (!json_parse(buffer_slice(&text), &again, NULL) || !json_equal(tree, again) ||
        merge_resource(again, tree))
        abort();
    cJSON_Delete(again);
    buffer_release(&text);
}

static void check_patient_id(const cJSON *patient)
{
    char id[FHIR_ID_SIZE], value[FHIR_ID_SIZE];
    patient_id_make(patient, id);
    if (patient_id_read(id, value) == PATIENT_ID_NONE)
        abort();
}

/* As a round does it: every reference to what is made here becomes a literal one. */
static void check_documents(const struct mapping *mapping)
{
    struct links *links = links_new();
    const cJSON *each;
    if (cJSON_GetArraySize(mapping->documents) > 1000)
        abort();
    for (each = json_first(mapping->documents); each; each = each->next)
        if (!links_add(links, json_text(each, "resourceType"), identifier_of_resource(each), "X/1",
                       true))
            abort();
    for (cJSON *linked = json_first(mapping->documents); linked; linked = linked->next) {
        check_tree(linked);
        check_text(linked);
        links_apply(links, linked);
        check_tree(linked);
    }
    links_free(links);
}

static void map(const struct dataset *header, const char *sop_class)
{
    static const struct mapping_options options = { .prefix = "urn:x",
                                                    .dicomweb_url = "http://x/y",
                                                    .timezone = "Z" };
    struct study_instance instance = { "1.2.3.4", sop_class, header, header };
    struct study_series series = { "1.2.3", header, header, 1, &instance };
    struct study study = { "1.2", header, header, 1, 1, &series, 0 };
    struct mapping mapping;
    mapping_init(&mapping, &study, &options);
    mapping_set_references(mapping.imaging_study, "Patient/1", NULL, 0);
    check_tree(mapping.patient);
    check_tree(mapping.imaging_study);
    check_text(mapping.patient);
    check_text(mapping.imaging_study);
    check_patient_id(mapping.patient);
    check_documents(&mapping);
    for (const cJSON *each = json_first(mapping.devices); each; each = each->next)
        check_tree(each);
    for (const cJSON *each = json_first(mapping.selections); each; each = each->next)
        check_tree(each);
    mapping_release(&mapping);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const syntaxes[] = { UID_EXPLICIT_LITTLE_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN,
                                            UID_EXPLICIT_BIG_ENDIAN };
    static const char *const classes[] = {
        "1.2.840.10008.5.1.4.1.1.88.33", /* a report; a dose report by its title */
        "1.2.840.10008.5.1.4.1.1.88.59", /* key objects */
        "1.2.840.10008.5.1.4.1.1.104.1", /* encapsulated */
    };
    if (size < 1)
        return 0;
    const struct transfer_syntax *syntax = transfer_syntax_find(slice_text(syntaxes[data[0] % 3]));
    struct scan *scan = scan_new(syntax, &scan_default_limits);
    struct dataset *dataset = NULL;
    size_t count;
    if (scan_write(scan, slice_of(data + 1, size - 1), NULL) && scan_finish(scan, NULL)) {
        const struct elision *elisions = scan_elisions(scan, &count);
        if (dataset_open(scan_header(scan), syntax, elisions, count, &dataset, NULL))
            map(dataset, classes[data[0] / 3 % 3]);
    }
    dataset_close(dataset);
    scan_free(scan);
    return 0;
}
