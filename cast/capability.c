/* SPDX-License-Identifier: MIT */
#include "cast/capability.h"

#include <string.h>

#include "cast/search_parameters.h"

static void add_interaction(cJSON *resource, const char *code)
{
    cJSON *interaction = json_object();
    json_set_text(interaction, "code", code);
    json_append_take(json_need_array(resource, "interaction"), interaction);
}

static cJSON *names_of(const char *const names[SEARCH_INCLUDES])
{
    cJSON *list = json_array();
    for (size_t i = 0; i < SEARCH_INCLUDES && names[i]; i++)
        json_append_take(list, json_string(names[i]));
    return list;
}

static cJSON *parameters_of(const struct search_type *type, enum fhir_version version)
{
    cJSON *list = json_array();
    for (size_t i = 0; i < type->parameter_count; i++) {
        const struct search_parameter *from = &type->parameters[i];
        if (from->version != FHIR_UNKNOWN && from->version != version)
            continue;
        cJSON *parameter = json_object();
        json_set_text(parameter, "name", from->name);
        json_set_text(parameter, "type", search_kind_name(from->kind));
        json_set_text(parameter, "documentation", from->documentation);
        json_append_take(list, parameter);
    }
    return list;
}

static void tell_orders(const struct search_type *type, cJSON *resource)
{
    struct buffer text = buffer_up_to(256);
    if (type->orders[1]) {
        buffer_append_format(&text, "_sort by one of:%.*s; descending with - before it",
                             (int)strlen(type->orders) - 1, type->orders);
        json_set_text(resource, "documentation", buffer_text(&text));
    }
    buffer_release(&text);
}

static cJSON *describe(const struct search_type *type, enum fhir_version version)
{
    cJSON *resource = json_object();
    json_set_text(resource, "type", type->name);
    tell_orders(type, resource);
    add_interaction(resource, "read");
    add_interaction(resource, "vread");
    add_interaction(resource, "search-type");
    if (strcmp(type->name, "ImagingStudy") == 0) {
        add_interaction(resource, "history-type");
        add_interaction(resource, "history-instance");
    }
    json_set_text(resource, "versioning", "versioned");
    json_set_take(resource, "readHistory", json_boolean(false));
    json_set_text(resource, "conditionalRead", "full-support");
    json_set_take(resource, "searchInclude", names_of(type->includes));
    json_set_take(resource, "searchRevInclude", names_of(type->revincludes));
    json_set_take(resource, "searchParam", parameters_of(type, version));
    return resource;
}

static cJSON *describe_orders(void)
{
    cJSON *resource = json_object();
    cJSON *interaction = json_object();
    json_set_text(resource, "type", "ServiceRequest");
    json_set_text(resource, "documentation",
                  "Orders become entries of the modality worklist; they cannot be read here.");
    json_set_text(interaction, "code", "create");
    json_set_text(interaction, "documentation",
                  "With its Patient contained, or in a Bundle of both. The same identifier again "
                  "changes the order.");
    json_append_take(json_need_array(resource, "interaction"), interaction);
    return resource;
}

static cJSON *describe_rest(enum fhir_version version, bool orders)
{
    cJSON *rest = json_object();
    json_set_text(rest, "mode", "server");
    json_set_text(rest, "documentation",
                  "The studies of an imaging archive, read-only and as they are now. Of each "
                  "resource there is the present version only.");
    for (size_t i = 0; i < search_type_count; i++)
        if (search_type_is_of(&search_types[i], version))
            json_append_take(json_need_array(rest, "resource"),
                             describe(&search_types[i], version));
    cJSON *operation = json_object();
    json_set_text(operation, "name", "export");
    json_set_text(operation, "definition",
                  "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export");
    json_append_take(json_need_array(rest, "operation"), operation);
    if (orders)
        json_append_take(json_need_array(rest, "resource"), describe_orders());
    return rest;
}

cJSON *capability_statement(const char *base, enum fhir_version version, bool orders)
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
    json_set_text(statement, "fhirVersion", fhir_version_number(version));
    cJSON *formats = json_need_array(statement, "format");
    json_append_take(formats, json_string("application/fhir+json"));
    json_append_take(formats, json_string("json"));
    json_append_take(json_need_array(statement, "rest"), describe_rest(version, orders));
    return statement;
}
