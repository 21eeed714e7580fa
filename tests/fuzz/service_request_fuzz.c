/* SPDX-License-Identifier: MIT */
/* A bundle as a FHIR server, or somebody who posts, may send it: the first three entries are taken
 * as a request, a patient and an appointment. What is made of it must be a data set. */
#include <stdlib.h>

#include "cast/service_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const cJSON *resource(const cJSON *entries, int index)
{
    return json_get(cJSON_GetArrayItem(entries, index), "resource");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const issuers[] = { "urn:x=HOSP", NULL };
    const struct service_request_options options = { "OT", "STATION", issuers };
    struct service_request request;
    struct dataset *dataset;
    struct error err = { 0 };
    cJSON *bundle;
    if (!json_parse(slice_of(data, size), &bundle, &err))
        return 0;
    const cJSON *entries = json_get(bundle, "entry");
    const struct service_request_parts parts = { resource(entries, 0), resource(entries, 1),
                                                 resource(entries, 2) };
    if (service_request_read(&parts, &options, &request, &err) && request.dataset.size) {
        if (!dataset_open(buffer_slice(&request.dataset),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &dataset, &err))
            abort();
        struct walk walk = dataset_walk(dataset);
        struct element element;
        while (walk_next(&walk, &element) != WALK_END)
            if (element.size % 2)
                abort();
        if (walk.broken)
            abort();
        dataset_close(dataset);
    }
    service_request_release(&request);
    cJSON_Delete(bundle);
    return 0;
}
