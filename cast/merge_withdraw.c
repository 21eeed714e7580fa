/* SPDX-License-Identifier: MIT */
/* What becomes of a resource whose study or document is gone from the archive. */
#include "cast/merge.h"

#include <string.h>

/* Takes the value; NULL: the element goes. */
static bool set_take(cJSON *held, const char *name, cJSON *value)
{
    const cJSON *present = json_get(held, name);
    bool changed = value ? !present || !json_equal(present, value) : present != NULL;
    if (changed && value)
        json_set_take(held, name, value);
    else if (changed)
        json_remove(held, name);
    else
        cJSON_Delete(value);
    return changed;
}

bool merge_withdraw(cJSON *held, const char *status)
{
    bool changed = set_take(held, "status", json_string(status));
    changed = set_take(held, "series", NULL) || changed;
    changed = set_take(held, "endpoint", NULL) || changed;
    changed = set_take(held, "numberOfSeries", json_integer(0)) || changed;
    return set_take(held, "numberOfInstances", json_integer(0)) || changed;
}

/* A DocumentReference or ImagingSelection cannot be cancelled. */
bool merge_withdraw_document(cJSON *held, const char *status)
{
    const char *present = json_text(held, "status");
    if (json_is_resource(held, "DocumentReference") || json_is_resource(held, "ImagingSelection"))
        status = "entered-in-error";
    if (present && strcmp(present, status) == 0)
        return false;
    json_set_text(held, "status", status);
    return true;
}

bool merge_is_withdrawn(const cJSON *held)
{
    const char *status = json_text(held, "status");
    return status && (!strcmp(status, "entered-in-error") || !strcmp(status, "cancelled")) &&
           !json_first(json_get(held, "series"));
}

static bool refers_to(const cJSON *item, const void *endpoint)
{
    const char *reference = json_text(item, "reference");
    return reference && strcmp(reference, endpoint) == 0;
}

bool merge_detach(cJSON *held, const char *endpoint)
{
    return json_remove_items(held, "endpoint", refers_to, endpoint);
}

void merge_hand_over(cJSON *held)
{
    cJSON *meta = json_get(held, "meta");
    if (cJSON_IsObject(meta))
        json_remove(meta, "source");
}

void merge_hand_over_document(cJSON *held)
{
    cJSON *extension = json_object();
    json_set_text(extension, "url", MERGE_HANDED_OVER);
    json_set_text(extension, "valueCode", "unowned");
    merge_hand_over(held);
    json_append_new_take(json_need_array(held, "extension"), extension);
}
