/* SPDX-License-Identifier: MIT */
#include "cast/search_answer.h"

#include <ctype.h>
#include <string.h>

#include "base/memory.h"
#include "cast/identifier.h"
#include "cast/mapping.h"
#include "cast/merge.h"

static bool is_id(const char *id)
{
    size_t size = strlen(id);
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)id[i]) && id[i] != '-' && id[i] != '.')
            return false;
    return size > 0 && size <= 64;
}

const char *search_answer_survivor(const cJSON *patient)
{
    const cJSON *link;
    for (link = json_first(json_get(patient, "link")); link; link = link->next) {
        const char *type = json_text(link, "type");
        const char *reference = json_text(json_get(link, "other"), "reference");
        if (type && strcmp(type, "replaced-by") == 0 && reference &&
            strncmp(reference, "Patient/", 8) == 0 && is_id(reference + 8))
            return reference + 8;
    }
    return NULL;
}

/* Of several, one that was not merged away or withdrawn, then one with our tag, then the one with
 * the first id: the oldest where the server counts, and everywhere the same one each time. */
static bool is_better(const cJSON *a, const cJSON *b)
{
    bool a_merged = search_answer_survivor(a), b_merged = search_answer_survivor(b);
    if (a_merged != b_merged)
        return b_merged;
    if (merge_is_withdrawn(a) != merge_is_withdrawn(b))
        return merge_is_withdrawn(b);
    if (mapping_is_ours(a) != mapping_is_ours(b))
        return mapping_is_ours(a);
    const char *a_id = json_text(a, "id"), *b_id = json_text(b, "id");
    size_t a_size = strlen(a_id), b_size = strlen(b_id);
    return a_size != b_size ? a_size < b_size : strcmp(a_id, b_id) < 0;
}

static void take(struct search_answer *out, cJSON *resource)
{
    if (out->best && !is_better(resource, out->best)) {
        json_append_take(out->others, resource);
        return;
    }
    if (out->best)
        json_append_take(out->others, out->best);
    out->best = resource;
}

bool search_answer_read(struct slice text, const char *type, const cJSON *identifier,
                        struct search_answer *out, struct error *err)
{
    cJSON *tree = NULL;
    *out = (struct search_answer){ .best = NULL };
    if (!json_parse(text, &tree, err))
        return error_add_context(err, "a search for %s", type);
    if (!json_is_resource(tree, "Bundle")) {
        cJSON_Delete(tree);
        return error_set(err, ERROR_INVALID, "a search for %s: the answer is no Bundle", type);
    }
    out->others = json_array();
    cJSON *entry;
    for (entry = json_first(json_get(tree, "entry")); entry; entry = entry->next) {
        const cJSON *resource = json_get(entry, "resource");
        const char *id = json_text(resource, "id");
        if (!json_is_resource(resource, type))
            continue; /* an outcome, or something included */
        if (id && is_id(id) && identifier_carried(resource, identifier))
            take(out, cJSON_DetachItemFromObjectCaseSensitive(entry, "resource"));
        else
            out->unverified++;
    }
    cJSON_Delete(tree);
    return true;
}

void search_answer_release(struct search_answer *answer)
{
    cJSON_Delete(answer->best);
    cJSON_Delete(answer->others);
    *answer = (struct search_answer){ .best = NULL };
}

char *search_answer_next_page(const cJSON *bundle, const char *type, const char *base)
{
    const cJSON *link;
    for (link = json_first(json_get(bundle, "link")); link; link = link->next) {
        const char *relation = json_text(link, "relation");
        const char *url = json_text(link, "url");
        size_t size = strlen(base);
        if (!relation || !url || strcmp(relation, "next") != 0)
            continue;
        if (strncmp(url, base, size) == 0 && url[size] == '/')
            return mem_copy_text(url + size + 1);
        if (strncmp(url, base, size) == 0 && url[size] == '?')
            return mem_copy_text(url + size);
        /* Behind a proxy a server may know itself by another name: only the query is its own. */
        const char *query = strchr(url, '?');
        if (!query)
            return NULL;
        const char *path = query;
        while (path > url && path[-1] != '/')
            path--;
        bool typed = (size_t)(query - path) == strlen(type) &&
                     strncmp(path, type, strlen(type)) == 0;
        return mem_format("%s%s", typed ? type : "", query);
    }
    return NULL;
}
