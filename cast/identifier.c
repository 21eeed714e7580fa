/* SPDX-License-Identifier: MIT */
#include "cast/identifier.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cast/tags.h"
#include "cast/text.h"
#include "cast/uuid.h"

void identifier_own_system(const char *prefix, const char *branch, const char *text,
                           struct buffer *system)
{
    size_t size = strlen(prefix);
    while (branch && size && prefix[size - 1] == '/')
        size--;
    buffer_append(system, slice_of(prefix, size));
    if (branch)
        buffer_append_format(system, "/%s", branch);
    if (text) {
        buffer_append_byte(system, '/');
        text_percent_encode(slice_text(text), system);
    }
}

static struct issuer nobody(void)
{
    struct issuer issuer = { .system = buffer_up_to(IDENTIFIER_MAX) };
    return issuer;
}

struct issuer issuer_of_text(const char *text, const char *prefix)
{
    struct issuer issuer = nobody();
    if (!*text)
        return issuer;
    snprintf(issuer.display, sizeof issuer.display, "%s", text);
    if (text_is_uri(text) && (strncmp(text, "urn:", 4) == 0 || strncmp(text, "http", 4) == 0))
        buffer_append_text(&issuer.system, text);
    else if (isdigit((unsigned char)text[0]) && strchr(text, '.') && uid_is_valid(text))
        buffer_append_format(&issuer.system, "urn:oid:%s", text);
    else
        identifier_own_system(prefix, "issuer", text, &issuer.system);
    return issuer;
}

static bool is_uuid(const char *text)
{
    for (int i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return !text[36];
}

/* Universal Entity ID Type (0040,0033), PS3.3 10.14. False for a type that makes no URI. */
static bool universal_system(const char *type, const char *id, struct buffer *system)
{
    if (strcmp(type, "ISO") == 0 && uid_is_valid(id)) {
        buffer_append_format(system, "urn:oid:%s", id);
    } else if (strcmp(type, "UUID") == 0 && is_uuid(id)) {
        buffer_append_text(system, "urn:uuid:");
        for (; *id; id++)
            buffer_append_byte(system, (uint8_t)tolower((unsigned char)*id));
    } else if (strcmp(type, "URI") == 0 && text_is_uri(id)) {
        buffer_append_text(system, id);
    } else if (strcmp(type, "DNS") == 0) {
        buffer_append_text(system, "http://");
        text_percent_encode(slice_text(id), system);
    } else {
        return false;
    }
    return true;
}

struct issuer issuer_of_item(const struct dataset *item, const char *prefix)
{
    char local[256], id[512], type[64];
    bool named = dataset_clean_text(item, TAG_LOCAL_NAMESPACE_ENTITY_ID, local, sizeof local);
    bool universal = dataset_clean_text(item, TAG_UNIVERSAL_ENTITY_ID, id, sizeof id);
    dataset_clean_text(item, TAG_UNIVERSAL_ENTITY_ID_TYPE, type, sizeof type);

    struct issuer issuer = nobody();
    if (universal && universal_system(type, id, &issuer.system)) {
        snprintf(issuer.display, sizeof issuer.display, "%s", local);
        return issuer;
    }
    issuer_release(&issuer);
    return issuer_of_text(named ? local : universal ? id : "", prefix);
}

struct issuer issuer_of_sequence(const struct attributes *attributes, uint32_t tag,
                                 const char *prefix)
{
    struct dataset *item = attributes_item(attributes, tag, 0);
    struct issuer issuer = item ? issuer_of_item(item, prefix) : nobody();
    dataset_close(item);
    return issuer;
}

void issuer_release(struct issuer *issuer)
{
    buffer_release(&issuer->system);
}

static void set_type(cJSON *identifier, const char *code)
{
    cJSON *type = json_object();
    cJSON *coding = json_object();
    json_set_text(coding, "system", SYSTEM_V2_0203);
    json_set_text(coding, "code", code);
    json_append_take(json_need_array(type, "coding"), coding);
    json_set_take(identifier, "type", type);
}

cJSON *identifier_of_system(const char *use, const char *system, const char *value)
{
    cJSON *identifier = json_object();
    json_set_text(identifier, "use", use);
    json_set_text(identifier, "system", system);
    json_set_text(identifier, "value", value);
    return identifier;
}

cJSON *identifier_new(const char *use, const char *type_code, struct issuer *issuer,
                      const char *prefix, const char *branch, const char *value)
{
    cJSON *identifier = json_object();
    json_set_text(identifier, "use", use);
    if (type_code)
        set_type(identifier, type_code);
    if (!issuer->system.size)
        identifier_own_system(prefix, branch, NULL, &issuer->system);
    json_set_text(identifier, "system", buffer_text(&issuer->system));
    json_set_text(identifier, "value", value);
    if (issuer->display[0]) {
        cJSON *assigner = json_object();
        json_set_text(assigner, "display", issuer->display);
        json_set_take(identifier, "assigner", assigner);
    }
    return identifier;
}

cJSON *identifier_of_uid(const char *use, const char *uid)
{
    char value[UID_SIZE + 16];
    snprintf(value, sizeof value, "urn:oid:%s", uid);
    return identifier_of_system(use, SYSTEM_DICOM_UID, value);
}

const cJSON *identifier_of_resource(const cJSON *resource)
{
    return json_first(json_get(resource, "identifier"));
}

static bool text_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool identifier_equal(const cJSON *a, const cJSON *b)
{
    return text_equal(json_text(a, "system"), json_text(b, "system")) &&
           text_equal(json_text(a, "value"), json_text(b, "value"));
}

bool identifier_carried(const cJSON *resource, const cJSON *identifier)
{
    const cJSON *each;
    for (each = json_first(json_get(resource, "identifier")); each; each = each->next)
        if (identifier_equal(each, identifier))
            return true;
    return false;
}

void identifier_urn(const cJSON *resource, char text[IDENTIFIER_URN_SIZE])
{
    const cJSON *identifier = identifier_of_resource(resource);
    const char *type = json_text(resource, "resourceType");
    const char *system = json_text(identifier, "system");
    const char *value = json_text(identifier, "value");
    char uuid[UUID_SIZE];
    char *name = mem_format("%s|%s|%s", type ? type : "", system ? system : "", value ? value : "");
    uuid_of_name(slice_text(name), uuid);
    snprintf(text, IDENTIFIER_URN_SIZE, "urn:uuid:%s", uuid);
    free(name);
}

static void append_escaped(const char *text, struct buffer *out)
{
    for (; *text; text++) {
        if (strchr("\\|,$", *text))
            text_percent_encode(slice_text("\\"), out);
        text_percent_encode(slice_of(text, 1), out);
    }
}

void identifier_query(const cJSON *identifier, struct buffer *query)
{
    const char *system = json_text(identifier, "system");
    const char *value = json_text(identifier, "value");
    buffer_append_text(query, "identifier=");
    append_escaped(system ? system : "", query);
    text_percent_encode(slice_text("|"), query);
    append_escaped(value ? value : "", query);
}
