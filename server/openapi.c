/* SPDX-License-Identifier: MIT */
#include "server/openapi.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "http/negotiate.h"

enum { OWN_ROUTES = 4, DOCUMENT_LIMIT = 4 << 20, NAME_SIZE = 160 };

struct openapi {
    struct route_table tables[OPENAPI_TABLES_MAX + 1]; /* the last one our own */
    size_t count;
    struct route own[OWN_ROUTES];
    char *patterns[2];
    char *dicomweb_prefix;
    atomic_bool login;
};

/* --- lists with commas; those in quotes do not part --- */

static bool next_member(const char **at, char out[NAME_SIZE])
{
    size_t size = 0;
    bool quoted = false;
    if (!*at || !**at)
        return false;
    for (; **at && (quoted || **at != ','); (*at)++) {
        quoted ^= **at == '"';
        if (size + 1 < NAME_SIZE)
            out[size++] = **at;
    }
    out[size] = '\0';
    *at += **at == ',';
    return true;
}

/* "study" of "/studies/{study}/series". */
static bool next_parameter(const char **at, char out[NAME_SIZE])
{
    const char *open = strchr(*at, '{');
    const char *close = open ? strchr(open, '}') : NULL;
    if (!close || close - open > NAME_SIZE)
        return false;
    size_t size = (size_t)(close - open) - 1;
    memcpy(out, open + 1, size);
    out[size] = '\0';
    *at = close;
    return true;
}

/* --- OpenAPI 3.0 --- */

static void add_parameter(cJSON *list, const char *in, const char *name)
{
    cJSON *parameter = cJSON_CreateObject();
    cJSON_AddItemToArray(list, parameter);
    bool attributes = strcmp(name, "*") == 0;
    cJSON_AddStringToObject(parameter, "name", attributes ? "attributes" : name);
    cJSON_AddStringToObject(parameter, "in", in);
    if (!strcmp(in, "path"))
        cJSON_AddBoolToObject(parameter, "required", true);
    cJSON *schema = cJSON_AddObjectToObject(parameter, "schema");
    if (!attributes) {
        cJSON_AddStringToObject(schema, "type", "string");
        return;
    }
    cJSON_AddStringToObject(parameter, "description",
                            "Attributes to match, by keyword or tag (PS3.18 8.3.4)");
    cJSON_AddStringToObject(parameter, "style", "form");
    cJSON_AddBoolToObject(parameter, "explode", true);
    cJSON_AddStringToObject(schema, "type", "object");
    cJSON *any = cJSON_AddObjectToObject(schema, "additionalProperties");
    cJSON_AddStringToObject(any, "type", "string");
}

static void add_content(cJSON *object, const char *types)
{
    char type[NAME_SIZE];
    if (!types)
        return;
    cJSON *content = cJSON_AddObjectToObject(object, "content");
    while (next_member(&types, type))
        cJSON_AddItemToObject(content, type, cJSON_CreateObject());
}

static void add_responses(cJSON *operation, const struct route *route)
{
    cJSON *responses = cJSON_AddObjectToObject(operation, "responses");
    /* 200, 201, 202, 204 or 206: a client that was generated takes any of them as done. */
    cJSON *success = cJSON_AddObjectToObject(responses, "2XX");
    cJSON_AddStringToObject(success, "description", "It was done");
    add_content(success, route->produces);
    cJSON *failure = cJSON_AddObjectToObject(responses, "default");
    cJSON_AddStringToObject(failure, "description", "It was not, and why");
    add_content(failure, "text/plain,application/json");
}

static void add_operation_id(cJSON *operation, const char *method, const char *path)
{
    char id[NAME_SIZE * 2];
    size_t size = 0;
    for (const char *c = method; *c; c++)
        id[size++] = (char)tolower((unsigned char)*c);
    for (const char *c = path; *c && size + 1 < sizeof(id); c++)
        if (isalnum((unsigned char)*c))
            id[size++] = *c;
        else if (id[size - 1] != '_')
            id[size++] = '_';
    id[size] = '\0';
    cJSON_AddStringToObject(operation, "operationId", id);
}

static cJSON *describe(const struct openapi *openapi, const struct route *route, const char *path)
{
    cJSON *operation = cJSON_CreateObject();
    char name[NAME_SIZE];
    add_operation_id(operation, route->method, path);
    cJSON_AddStringToObject(operation, "summary", route->summary);
    cJSON *parameters = cJSON_AddArrayToObject(operation, "parameters");
    for (const char *at = path; next_parameter(&at, name);)
        add_parameter(parameters, "path", name);
    for (const char *at = route->query; next_member(&at, name);)
        add_parameter(parameters, "query", name);
    if (route->consumes) {
        cJSON *body = cJSON_AddObjectToObject(operation, "requestBody");
        cJSON_AddBoolToObject(body, "required", true);
        add_content(body, route->consumes);
    }
    add_responses(operation, route);
    if (atomic_load(&openapi->login) && route->right == HTTP_ANYBODY)
        cJSON_AddArrayToObject(operation, "security");
    return operation;
}

static void add_login(const struct openapi *openapi, cJSON *root)
{
    static const char *const schemes[] = { "basic", "bearer" };
    if (!atomic_load(&openapi->login))
        return;
    cJSON *components = cJSON_AddObjectToObject(root, "components");
    cJSON *all = cJSON_AddObjectToObject(components, "securitySchemes");
    cJSON *security = cJSON_AddArrayToObject(root, "security");
    for (size_t i = 0; i < 2; i++) {
        cJSON *scheme = cJSON_AddObjectToObject(all, schemes[i]);
        cJSON_AddStringToObject(scheme, "type", "http");
        cJSON_AddStringToObject(scheme, "scheme", schemes[i]);
        cJSON *needed = cJSON_CreateObject();
        cJSON_AddArrayToObject(needed, schemes[i]);
        cJSON_AddItemToArray(security, needed);
    }
}

static void add_paths(const struct openapi *openapi, const char *prefix, cJSON *paths)
{
    for (size_t i = 0; i < openapi->count; i++) {
        const struct route_table *table = &openapi->tables[i];
        for (size_t j = 0; j < table->count; j++) {
            const struct route *route = &table->routes[j];
            if (!route->summary)
                continue;
            char *path = mem_format("%s%s", table->prefix, route->pattern);
            if (!strncmp(path, prefix, strlen(prefix))) {
                char method[16];
                size_t size = 0;
                for (; size < sizeof(method) - 1 && route->method[size]; size++)
                    method[size] = (char)tolower((unsigned char)route->method[size]);
                method[size] = '\0';
                cJSON *item = cJSON_GetObjectItemCaseSensitive(paths, path);
                if (!item)
                    item = cJSON_AddObjectToObject(paths, path);
                cJSON_AddItemToObject(item, method, describe(openapi, route, path));
            }
            free(path);
        }
    }
}

static void take_json(struct response *response, cJSON *root)
{
    char *text = cJSON_PrintUnformatted(root);
    struct buffer body = buffer_up_to(DOCUMENT_LIMIT);
    buffer_append_text(&body, text);
    free(text);
    cJSON_Delete(root);
    response_status(response, 200);
    response_content_type(response, "application/json");
    response_body_take(response, &body);
}

static void answer_openapi(const struct openapi *openapi, const struct request *request,
                           const char *prefix, struct response *response)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "openapi", "3.0.3");
    cJSON *info = cJSON_AddObjectToObject(root, "info");
    cJSON_AddStringToObject(info, "title", "Hounsfield");
    cJSON_AddStringToObject(info, "version", HOUNSFIELD_VERSION);
    cJSON_AddStringToObject(info, "description",
                            "DICOM imaging server. HEAD goes wherever GET does, OPTIONS "
                            "everywhere.");
    cJSON *servers = cJSON_AddArrayToObject(root, "servers");
    cJSON *server = cJSON_CreateObject();
    cJSON_AddStringToObject(server, "url", request_base_url(request));
    cJSON_AddItemToArray(servers, server);
    add_login(openapi, root);
    add_paths(openapi, prefix, cJSON_AddObjectToObject(root, "paths"));
    take_json(response, root);
}

/* --- WADL --- */

static void append_xml(struct buffer *xml, const char *text)
{
    for (; *text; text++)
        if (*text == '&' || *text == '<' || *text == '"')
            buffer_append_format(xml, "&#%d;", *text);
        else
            buffer_append_byte(xml, (uint8_t)*text);
}

static void append_representations(struct buffer *xml, const char *types)
{
    char type[NAME_SIZE];
    while (next_member(&types, type)) {
        buffer_append_text(xml, "<representation mediaType=\"");
        append_xml(xml, type);
        buffer_append_text(xml, "\"/>");
    }
}

static void append_method(struct buffer *xml, const struct route *route)
{
    char name[NAME_SIZE];
    buffer_append_format(xml, "<method name=\"%s\"><doc>", route->method);
    append_xml(xml, route->summary);
    buffer_append_text(xml, "</doc><request>");
    for (const char *at = route->query; next_member(&at, name);) {
        buffer_append_text(xml, "<param style=\"query\" name=\"");
        append_xml(xml, strcmp(name, "*") ? name : "{attributeID}");
        buffer_append_text(xml, "\"/>");
    }
    append_representations(xml, route->consumes);
    /* As 2XX above: a client that was generated takes any of them as done. */
    buffer_append_text(xml, "</request><response status=\"200 201 202 204 206\">");
    append_representations(xml, route->produces);
    buffer_append_text(xml, "</response></method>");
}

static void append_resource(struct buffer *xml, const struct route_table *table,
                            const struct route *route)
{
    char name[NAME_SIZE];
    buffer_append_format(xml, "<resource path=\"%s%s\">", table->prefix + (*table->prefix == '/'),
                         *table->prefix ? route->pattern : route->pattern + 1);
    for (const char *at = route->pattern; next_parameter(&at, name);)
        buffer_append_format(xml, "<param style=\"template\" name=\"%s\"/>", name);
    for (size_t i = 0; i < table->count; i++)
        if (table->routes[i].summary && !strcmp(table->routes[i].pattern, route->pattern))
            append_method(xml, &table->routes[i]);
    buffer_append_text(xml, "</resource>");
}

static bool is_first_of_its_path(const struct route_table *table, const struct route *route)
{
    for (const struct route *other = table->routes; other < route; other++)
        if (other->summary && !strcmp(other->pattern, route->pattern))
            return false;
    return route->summary;
}

static void answer_wadl(const struct openapi *openapi, const struct request *request,
                        const char *prefix, struct response *response)
{
    struct buffer xml = buffer_up_to(DOCUMENT_LIMIT);
    buffer_append_text(&xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<application "
                             "xmlns=\"http://wadl.dev.java.net/2009/02\"><resources base=\"");
    append_xml(&xml, request_base_url(request));
    buffer_append_text(&xml, "/\">");
    for (size_t i = 0; i < openapi->count; i++) {
        const struct route_table *table = &openapi->tables[i];
        bool wanted = !strncmp(table->prefix, prefix, strlen(prefix));
        for (size_t j = 0; wanted && j < table->count; j++)
            if (is_first_of_its_path(table, &table->routes[j]))
                append_resource(&xml, table, &table->routes[j]);
    }
    buffer_append_text(&xml, "</resources></application>\n");
    response_status(response, 200);
    response_content_type(response, "application/vnd.sun.wadl+xml");
    response_body_take(response, &xml);
}

/* --- requests --- */

static void get_openapi(struct request *request, struct response *response)
{
    answer_openapi(request_context(request), request, "", response);
}

static void answer_options(struct request *request, struct response *response, const char *prefix)
{
    static const struct offer offers[] = {
        { "application/vnd.sun.wadl+xml", NULL, NULL, false },
        { "application/json", NULL, NULL, false },
    };
    const struct openapi *openapi = request_context(request);
    struct accept accept;
    struct error err;
    if (!accept_of_request(request, &accept, &err)) {
        response_error(response, request, 400, err.message);
        return;
    }
    int offer = accept_choose(&accept, offers, 2, NULL);
    if (offer < 0)
        response_error(response, request, 406,
                       "available: application/vnd.sun.wadl+xml, application/json");
    else if (offer == 0)
        answer_wadl(openapi, request, prefix, response);
    else
        answer_openapi(openapi, request, prefix, response);
}

static void options_of_all(struct request *request, struct response *response)
{
    answer_options(request, response, "");
}

static void options_of_dicomweb(struct request *request, struct response *response)
{
    const struct openapi *openapi = request_context(request);
    answer_options(request, response, openapi->dicomweb_prefix);
}

/* --- life --- */

struct openapi *openapi_new(const struct route_table *tables, size_t count,
                            const char *dicomweb_prefix, bool login)
{
    struct openapi *openapi = mem_alloc(sizeof(*openapi));
    if (count > OPENAPI_TABLES_MAX)
        abort();
    memcpy(openapi->tables, tables, count * sizeof(tables[0]));
    atomic_store(&openapi->login, login);
    openapi->dicomweb_prefix = mem_copy_text(dicomweb_prefix);
    openapi->patterns[0] = mem_copy_text(dicomweb_prefix);
    openapi->patterns[1] = mem_format("%s/", dicomweb_prefix);
    openapi->own[0] = (struct route){ .method = "GET",
                                      .pattern = "/openapi.json",
                                      .respond = get_openapi,
                                      .right = HTTP_ANYBODY,
                                      .summary = "This document",
                                      .produces = "application/json" };
    openapi->own[1] = (struct route){
        .method = "OPTIONS", .pattern = "/", .respond = options_of_all, .right = HTTP_ANYBODY
    };
    for (size_t i = 0; i < 2; i++)
        openapi->own[2 + i] = (struct route){ .method = "OPTIONS",
                                              .pattern = openapi->patterns[i],
                                              .respond = options_of_dicomweb,
                                              .right = HTTP_ANYBODY };
    openapi->tables[count] = openapi_routes(openapi);
    openapi->count = count + 1;
    return openapi;
}

void openapi_set_login(struct openapi *openapi, bool login)
{
    atomic_store(&openapi->login, login);
}

void openapi_free(struct openapi *openapi)
{
    if (!openapi)
        return;
    free(openapi->dicomweb_prefix);
    free(openapi->patterns[0]);
    free(openapi->patterns[1]);
    free(openapi);
}

struct route_table openapi_routes(struct openapi *openapi)
{
    return (struct route_table){ "", openapi->own, OWN_ROUTES, openapi };
}
