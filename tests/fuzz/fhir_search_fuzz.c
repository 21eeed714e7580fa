/* SPDX-License-Identifier: MIT */
/* Search parameters of the FHIR view as a URL has them, and what they are compared with. The first
 * byte chooses type and release. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cast/search_request.h"
#include "http/target.h"

static const char resource_text[] =
    "{\"resourceType\":\"ImagingStudy\",\"id\":\"1.2\",\"meta\":{\"lastUpdated\":"
    "\"2026-01-31T08:05:00.123Z\",\"tag\":[{\"system\":\"a\",\"code\":\"b\"}],\"source\":\"urn:x\"}"
    ","
    "\"identifier\":[{\"system\":\"urn:dicom:uid\",\"value\":\"urn:oid:1.2\"},{\"value\":\"A-1\"}],"
    "\"subject\":{\"reference\":\"Patient/1\",\"identifier\":{\"value\":\"P\"}},\"status\":\"x\","
    "\"name\":[{\"family\":\"Doe\",\"given\":[\"A\",\"B\"]}],\"birthDate\":\"1970\",\"gender\":"
    "\"male\",\"started\":\"2026-01-31\",\"series\":[{\"uid\":\"1.2.3\",\"modality\":{\"code\":"
    "\"CT\"},\"bodySite\":{\"coding\":[{\"code\":\"1\"}]},\"instance\":[{\"uid\":\"1.2.3.4\","
    "\"sopClass\":{\"code\":\"urn:oid:1.2\"}}]}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char base[] = "http://h/fhir";
    struct target target = { 0 };
    struct search_request request = { .heeded = buffer_up_to(0) };
    cJSON *resource = NULL;
    if (size < 1 || size > 32 * 1024)
        return 0;
    char *url = mem_format("/?%.*s", (int)(size - 1), (const char *)data + 1);
    if (target_parse(url, NULL, &target, NULL) &&
        json_parse(slice_text(resource_text), &resource, NULL)) {
        const struct search_input input = {
            .type = &search_types[data[0] % search_type_count],
            .version = data[0] & 0x80 ? FHIR_R5 : FHIR_R4,
            .base = base,
            .pairs = target.pairs,
            .count = target.pair_count,
            .strict = data[0] & 0x40,
        };
        if (search_request_read(&input, &request, NULL)) {
            search_request_fits(&request, resource, resource, 1800000000000);
            fhir_version_shape(resource, request.version);
            search_request_subset(&request, resource);
        }
    }
    search_request_release(&request);
    cJSON_Delete(resource);
    target_release(&target);
    free(url);
    return 0;
}
