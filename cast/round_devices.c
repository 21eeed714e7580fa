/* SPDX-License-Identifier: MIT */
/* The Devices that a study names. They are shared by many studies, so what is known of them is
 * remembered, and as long as one is not there, one writer alone makes it. */
#include <stdlib.h>

#include "cast/identifier.h"
#include "cast/round_parts.h"

static enum round_result plan_device(struct round *round, struct bundle *bundle,
                                     const cJSON *mapped, struct links *links,
                                     struct round_report *report)
{
    struct search_answer found;
    const cJSON *identifier = identifier_of_resource(mapped);
    enum round_result result = round_search(round, mapped, &found, report);
    if (result == ROUND_DONE) {
        size_t before = bundle_count(bundle);
        char *reference = round_plan(bundle, &found, mapped, NULL, false);
        if (bundle_count(bundle) == before)
            round_know(round, "Device", identifier, reference);
        links_add(links, "Device", identifier, reference, false);
        free(reference);
    }
    search_answer_release(&found);
    return result;
}

static bool link_known(struct round *round, const cJSON *mapped, struct links *links)
{
    const cJSON *identifier = identifier_of_resource(mapped);
    char *reference = round_known(round, "Device", identifier);
    if (reference)
        links_add(links, "Device", identifier, reference, false);
    free(reference);
    return reference != NULL;
}

enum round_result round_plan_devices(struct round *round, struct bundle *bundle,
                                     const struct mapping *mapping, struct links *links,
                                     bool *remembered, bool *claimed, struct round_report *report)
{
    enum round_result result = ROUND_DONE;
    const cJSON *each;
    size_t unknown = 0;
    for (each = json_first(mapping->devices); each; each = each->next) {
        if (link_known(round, each, links))
            *remembered = true;
        else
            unknown++;
    }
    if (!unknown)
        return ROUND_DONE;
    if (!claims_enter(round_claims(round), ROUND_CLAIM_DEVICES))
        return ROUND_STOPPED;
    *claimed = true;
    for (each = json_first(mapping->devices); each && result == ROUND_DONE; each = each->next)
        if (!links_find(links, "Device", identifier_of_resource(each)) &&
            !link_known(round, each, links))
            result = plan_device(round, bundle, each, links, report);
    return result;
}
