/* SPDX-License-Identifier: MIT */
#include "cast/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cast/identifier.h"

struct bundle {
    char *base;
    cJSON *tree;
    cJSON *entries; /* in the tree */
};

enum { QUERY_MAX = 2 * 3 * 6 * IDENTIFIER_MAX };

struct bundle *bundle_new(const char *base)
{
    struct bundle *bundle = mem_alloc(sizeof *bundle);
    bundle->base = mem_copy_text(base);
    bundle->tree = json_object();
    json_set_text(bundle->tree, "resourceType", "Bundle");
    json_set_text(bundle->tree, "type", "transaction");
    bundle->entries = json_need_array(bundle->tree, "entry");
    return bundle;
}

void bundle_free(struct bundle *bundle)
{
    if (!bundle)
        return;
    cJSON_Delete(bundle->tree);
    free(bundle->base);
    free(bundle);
}

static cJSON *add_entry(struct bundle *bundle, const char *url, cJSON *resource)
{
    cJSON *entry = json_object();
    json_set_text(entry, "fullUrl", url);
    json_set_take(entry, "resource", resource);
    json_append_take(bundle->entries, entry);
    return entry;
}

const char *bundle_create_take(struct bundle *bundle, cJSON *resource, bool conditional,
                               const cJSON *beside)
{
    char url[IDENTIFIER_URN_SIZE];
    struct buffer query = buffer_up_to(QUERY_MAX);
    identifier_urn(resource, url);
    cJSON *request = json_object();
    json_set_text(request, "method", "POST");
    json_set_text(request, "url", json_text(resource, "resourceType"));
    if (conditional) {
        identifier_query(identifier_of_resource(resource), &query);
        if (beside) {
            buffer_append_byte(&query, '&');
            identifier_query(beside, &query);
        }
        json_set_text(request, "ifNoneExist", buffer_text(&query));
    }
    cJSON *entry = add_entry(bundle, url, resource);
    json_set_take(entry, "request", request);
    buffer_release(&query);
    return json_text(entry, "fullUrl");
}

void bundle_etag(const cJSON *resource, char etag[ETAG_SIZE])
{
    const char *version = json_text(json_get(resource, "meta"), "versionId");
    etag[0] = 0;
    if (version && *version && strlen(version) < ETAG_SIZE - 8 && !strpbrk(version, "\"\r\n"))
        snprintf(etag, ETAG_SIZE, "W/\"%s\"", version);
}

void bundle_update_take(struct bundle *bundle, cJSON *resource)
{
    char etag[ETAG_SIZE];
    const char *type = json_text(resource, "resourceType");
    const char *id = json_text(resource, "id");
    char *url = mem_format("%s/%s", type ? type : "", id ? id : "");
    bundle_etag(resource, etag);
    /* The server gives these two anew. */
    cJSON *meta = json_get(resource, "meta");
    if (meta) {
        json_remove(meta, "versionId");
        json_remove(meta, "lastUpdated");
        if (!meta->child)
            json_remove(resource, "meta");
    }
    cJSON *request = json_object();
    json_set_text(request, "method", "PUT");
    json_set_text(request, "url", url);
    json_set_text(request, "ifMatch", etag);
    char *whole_url = mem_format("%s/%s", bundle->base, url);
    json_set_take(add_entry(bundle, whole_url, resource), "request", request);
    free(whole_url);
    free(url);
}

void bundle_delete(struct bundle *bundle, const cJSON *resource)
{
    char etag[ETAG_SIZE];
    char *url = mem_format("%s/%s", json_text(resource, "resourceType"), json_text(resource, "id"));
    cJSON *request = json_object(), *entry = json_object();
    bundle_etag(resource, etag);
    json_set_text(request, "method", "DELETE");
    json_set_text(request, "url", url);
    json_set_text(request, "ifMatch", etag);
    json_set_take(entry, "request", request);
    json_append_take(bundle->entries, entry);
    free(url);
}

size_t bundle_count(const struct bundle *bundle)
{
    return (size_t)cJSON_GetArraySize(bundle->entries);
}

void bundle_print(const struct bundle *bundle, struct buffer *text)
{
    json_print(bundle->tree, text);
}

static bool is_method(const cJSON *entry, const char *method)
{
    const char *present = json_text(json_get(entry, "request"), "method");
    return present && strcmp(present, method) == 0;
}

bool bundle_check(const struct bundle *bundle, struct slice answer, enum bundle_answer *result,
                  struct error *err)
{
    cJSON *tree = NULL;
    bool ok = false;
    *result = BUNDLE_WRITTEN;
    if (!json_parse(answer, &tree, err))
        goto out;
    const char *type = json_text(tree, "resourceType");
    const cJSON *answers = json_get(tree, "entry");
    if (!type || strcmp(type, "Bundle") != 0 ||
        (size_t)cJSON_GetArraySize(answers) != bundle_count(bundle)) {
        error_set(err, ERROR_INVALID, "the answer is no transaction-response of %zu entries",
                  bundle_count(bundle));
        goto out;
    }
    const cJSON *entry = json_first(bundle->entries);
    for (const cJSON *each = json_first(answers); each; each = each->next, entry = entry->next) {
        const char *status = json_text(json_get(each, "response"), "status");
        int code = status ? (int)strtol(status, NULL, 10) : 0;
        if (code < 200 || code > 299) {
            error_set(err, ERROR_INVALID, "an entry of the transaction has the status %d", code);
            goto out;
        }
        if (code == 200 && is_method(entry, "POST"))
            *result = BUNDLE_EXISTED;
    }
    ok = true;
out:
    cJSON_Delete(tree);
    return ok;
}
