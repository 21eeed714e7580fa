/* SPDX-License-Identifier: MIT */
#include "cast/patient_link.h"

#include <string.h>

#include "cast/mapping.h"

static bool is_of_type(const cJSON *link, const char *type)
{
    const char *present = json_text(link, "type");
    return present && strcmp(present, type) == 0;
}

static cJSON *find(const cJSON *patient, const char *type, const char *reference)
{
    cJSON *link;
    for (link = json_first(json_get(patient, "link")); link; link = link->next) {
        const char *present = json_text(json_get(link, "other"), "reference");
        if (is_of_type(link, type) && present && (!reference || strcmp(present, reference) == 0))
            return link;
    }
    return NULL;
}

static void add(cJSON *patient, const char *type, const char *reference)
{
    cJSON *link = json_object();
    cJSON *other = json_object();
    json_set_text(other, "reference", reference);
    json_set_take(link, "other", other);
    json_set_text(link, "type", type);
    json_append_take(json_need_array(patient, "link"), link);
}

static bool take_away(cJSON *patient, const char *type, const char *reference)
{
    cJSON *links = json_get(patient, "link");
    cJSON *link = find(patient, type, reference);
    if (!link)
        return false;
    cJSON_Delete(cJSON_DetachItemViaPointer(links, link));
    if (!links->child)
        json_remove(patient, "link");
    return true;
}

bool patient_link_replaced_by(cJSON *gone, const char *reference)
{
    if (!mapping_is_ours(gone) || find(gone, "replaced-by", NULL))
        return false;
    take_away(gone, "replaces", reference); /* it was the other way round */
    add(gone, "replaced-by", reference);
    json_set_take(gone, "active", json_boolean(false));
    return true;
}

bool patient_link_replaces(cJSON *survivor, const char *reference)
{
    if (!mapping_is_ours(survivor) || find(survivor, "replaces", reference))
        return false;
    add(survivor, "replaces", reference);
    return true;
}

bool patient_link_revive(cJSON *patient, const char *reference)
{
    if (!mapping_is_ours(patient) || !take_away(patient, "replaced-by", reference))
        return false;
    json_remove(patient, "active");
    return true;
}

bool patient_link_release(cJSON *survivor, const char *reference)
{
    return mapping_is_ours(survivor) && take_away(survivor, "replaces", reference);
}
