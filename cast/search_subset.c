/* SPDX-License-Identifier: MIT */
/* Parts of resources (R4 3.1.1.5.8, 3.1.1.5.9). */
#include <stdio.h>
#include <string.h>

#include "cast/coding.h"
#include "cast/search_request.h"

#define SUBSETTED_SYSTEM "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"

static bool is_listed(const char *list, const char *name)
{
    char word[80];
    int size = snprintf(word, sizeof word, " %s ", name[0] == '_' ? name + 1 : name);
    return list && size > 0 && (size_t)size < sizeof word && strstr(list, word);
}

static bool is_always(const char *name)
{
    return strcmp(name, "resourceType") == 0 || strcmp(name, "id") == 0 ||
           strcmp(name, "meta") == 0;
}

static bool is_kept(const struct search_request *request, const char *name)
{
    if (is_always(name))
        return true;
    if (request->summary == SUMMARY_TEXT)
        return is_listed(request->type->mandatory, name);
    if (request->summary == SUMMARY_TRUE && is_listed(request->type->not_summary, name))
        return false;
    return !request->elements || is_listed(request->elements, name) ||
           is_listed(request->type->mandatory, name);
}

void search_request_subset(const struct search_request *request, cJSON *resource)
{
    bool whole = request->summary == SUMMARY_FALSE && !request->elements;
    cJSON *next;
    if (whole)
        return;
    for (cJSON *each = resource->child; each; each = next) {
        next = each->next;
        if (!is_kept(request, each->string))
            cJSON_Delete(cJSON_DetachItemViaPointer(resource, each));
    }
    /* Instances are no part of the summary of a series. */
    if (request->summary == SUMMARY_TRUE)
        for (cJSON *each = json_first(json_get(resource, "series")); each; each = each->next)
            json_remove(each, "instance");
    cJSON *meta = json_get(resource, "meta");
    if (!meta) {
        meta = json_object();
        json_append_take(json_need_array(meta, "tag"),
                         coding_new(SUBSETTED_SYSTEM, "SUBSETTED", NULL));
        json_set_take(resource, "meta", meta);
        return;
    }
    json_append_take(json_need_array(meta, "tag"), coding_new(SUBSETTED_SYSTEM, "SUBSETTED", NULL));
}
