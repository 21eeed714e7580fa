/* SPDX-License-Identifier: MIT */
#include "cast/capability.h"

#include "cast/fhir_search.h"

static void add_interaction(cJSON *resource, const char *code)
{
    cJSON *interaction = json_object();
    json_set_text(interaction, "code", code);
    json_append_take(json_need_array(resource, "interaction"), interaction);
}

static cJSON *describe(const char *type)
{
    size_t count;
    const struct search_parameter *parameters = fhir_search_parameters(type, &count);
    cJSON *resource = json_object();
    json_set_text(resource, "type", type);
    add_interaction(resource, "read");
    add_interaction(resource, "search-type");
    json_set_text(resource, "versioning", "no-version");
    cJSON *list = json_array();
    for (size_t i = 0; i < count; i++) {
        cJSON *parameter = json_object();
        json_set_text(parameter, "name", parameters[i].name);
        json_set_text(parameter, "type", parameters[i].kind);
        json_set_text(parameter, "documentation", parameters[i].documentation);
        json_append_take(list, parameter);
    }
    json_set_take(resource, "searchParam", list);
    return resource;
}

static cJSON *describe_rest(void)
{
    static const char *const types[] = { "ImagingStudy", "Patient", "Endpoint" };
    cJSON *rest = json_object();
    json_set_text(rest, "mode", "server");
    json_set_text(rest, "documentation",
                  "The studies of an imaging archive, read-only and as they are now.");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        json_append_take(json_need_array(rest, "resource"), describe(types[i]));
    return rest;
}

cJSON *capability_statement(const char *base)
{
    cJSON *statement = json_object();
    json_set_text(statement, "resourceType", "CapabilityStatement");
    json_set_text(statement, "status", "active");
    json_set_text(statement, "date", "2026-11-21");
    json_set_text(statement, "kind", "instance");
    cJSON *software = json_object();
    json_set_text(software, "name", "Hounsfield");
    json_set_text(software, "version", HOUNSFIELD_VERSION);
    json_set_take(statement, "software", software);
    cJSON *implementation = json_object();
    json_set_text(implementation, "description", "Hounsfield, a DICOM imaging server");
    json_set_text(implementation, "url", base);
    json_set_take(statement, "implementation", implementation);
    json_set_text(statement, "fhirVersion", "4.0.1");
    cJSON *formats = json_need_array(statement, "format");
    json_append_take(formats, json_string("application/fhir+json"));
    json_append_take(formats, json_string("json"));
    json_append_take(json_need_array(statement, "rest"), describe_rest());
    return statement;
}
