/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/memory.h"
#include "cast/map.h"

/* The services of PS3.18 that our DICOMweb offers, as FHIR names them. */
static const struct service {
    const char *name;
    const char *code; /* endpoint-connection-type */
    const char *display;
    const char *mime_types[5];
} services[MAPPING_ENDPOINTS] = {
    { "wado-rs",
      "dicom-wado-rs",
      "DICOM WADO-RS",
      { "application/dicom", "application/dicom+json", "application/octet-stream", "image/jpeg" } },
    { "qido-rs", "dicom-qido-rs", "DICOM QIDO-RS", { "application/dicom+json" } },
};

static cJSON *payload_type(void)
{
    cJSON *concept = json_object();
    json_append_take(
        json_need_array(concept, "coding"),
        coding_new("http://terminology.hl7.org/CodeSystem/endpoint-payload-type", "any", "Any"));
    json_set_text(concept, "text", "DICOM");
    return concept;
}

/* Service and address together: two archives behind one FHIR server have Endpoints of their own. */
static cJSON *endpoint_identifier(const struct map *map, const struct service *service,
                                  const char *address)
{
    struct buffer system = buffer_up_to(IDENTIFIER_MAX);
    identifier_own_system(map->options->prefix, "endpoint", NULL, &system);
    char *value = mem_format("%s:%s", service->name, address);
    cJSON *identifier = identifier_of_system("official", buffer_text(&system), value);
    free(value);
    buffer_release(&system);
    return identifier;
}

static cJSON *map_endpoint(const struct map *map, const struct service *service,
                           const char *address)
{
    cJSON *endpoint = json_object();
    json_set_text(endpoint, "resourceType", "Endpoint");
    json_set_take(endpoint, "meta", map_meta(map));
    json_append_take(json_need_array(endpoint, "identifier"),
                     endpoint_identifier(map, service, address));
    json_set_text(endpoint, "status", "active");
    json_set_take(endpoint, "connectionType",
                  coding_new("http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
                             service->code, service->display));
    json_set_text(endpoint, "name", service->display);
    json_append_take(json_need_array(endpoint, "payloadType"), payload_type());
    cJSON *mime_types = json_array();
    for (size_t i = 0; service->mime_types[i]; i++)
        json_append_take(mime_types, json_string(service->mime_types[i]));
    json_set_take(endpoint, "payloadMimeType", mime_types);
    json_set_text(endpoint, "address", address);
    return endpoint;
}

size_t mapping_endpoints(const struct mapping_options *options, cJSON *endpoints[MAPPING_ENDPOINTS])
{
    const char *url = options->dicomweb_url;
    if (!url || !*url || (options->withhold & WITHHOLD_ENDPOINT))
        return 0;
    size_t size = strlen(url);
    while (size && url[size - 1] == '/')
        size--;
    char *address = mem_copy_text_up_to(url, size);
    struct map map = { .options = options };
    for (size_t i = 0; i < MAPPING_ENDPOINTS; i++)
        endpoints[i] = map_endpoint(&map, &services[i], address);
    free(address);
    return MAPPING_ENDPOINTS;
}
