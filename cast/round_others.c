/* SPDX-License-Identifier: MIT */
/* Persons, orders and visits are others' resources: none is made, but where the server has one by
 * the identifier that a study gives, the reference to it becomes a literal one. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "cast/round_parts.h"

enum { MOST = 200 }; /* references of a study */

static bool is_others(const char *type)
{
    static const char *const types[] = { "Practitioner", "ServiceRequest", "Encounter" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

/* A server may not have the type, or not let us see it. */
static bool is_unknown_type(int status)
{
    return status == 400 || status == 403 || status == 404 || status == 405 || status == 501;
}

/* "" for what is not there, or is there more than once; that is remembered, too. */
static enum round_result look_up(struct round *round, const char *type, const cJSON *identifier,
                                 char **reference, struct round_report *report)
{
    struct search_answer found;
    cJSON *wanted = json_object();
    json_set_text(wanted, "resourceType", type);
    json_append_take(json_need_array(wanted, "identifier"), json_copy(identifier));
    enum round_result result = round_search(round, wanted, &found, report);
    if (result == ROUND_DONE && found.best && !json_first(found.others))
        *reference = round_reference(found.best);
    else if (result == ROUND_DONE)
        *reference = mem_copy_text("");
    if (result != ROUND_DONE && is_unknown_type(report->status)) {
        log_warn("cast: server has no %s for us, references stay identifiers", type);
        round_know(round, type, NULL, "");
        *reference = mem_copy_text("");
        result = ROUND_DONE;
    }
    search_answer_release(&found);
    cJSON_Delete(wanted);
    return result;
}

static enum round_result link_one(struct round *round, const char *type, const cJSON *identifier,
                                  struct links *links, bool *remembered,
                                  struct round_report *report)
{
    enum round_result result = ROUND_DONE;
    char *unknown_type = round_known(round, type, NULL);
    char *reference = unknown_type ? mem_copy_text("") : round_known(round, type, identifier);
    if (!reference) {
        result = look_up(round, type, identifier, &reference, report);
        if (result == ROUND_DONE)
            round_know(round, type, identifier, reference);
    } else if (*reference) {
        *remembered = true;
    }
    if (result == ROUND_DONE && *reference)
        links_add(links, type, identifier, reference, false);
    free(reference);
    free(unknown_type);
    return result;
}

static enum round_result link_here(struct round *round, const cJSON *object, struct links *links,
                                   struct links *seen, bool *remembered,
                                   struct round_report *report)
{
    const char *type = json_text(object, "type");
    const cJSON *identifier = json_get(object, "identifier");
    if (!type || !cJSON_IsObject(identifier) || !is_others(type) || links_count(seen) >= MOST ||
        !links_add(seen, type, identifier, "", false))
        return ROUND_DONE;
    return link_one(round, type, identifier, links, remembered, report);
}

static enum round_result link_all(struct round *round, const cJSON *tree, struct links *links,
                                  struct links *seen, bool *remembered, struct round_report *report)
{
    struct json_walk walk = { .depth = 0 };
    enum round_result result = ROUND_DONE;
    for (const cJSON *item = tree; item && result == ROUND_DONE; item = json_walk_next(&walk, item))
        if (cJSON_IsObject(item))
            result = link_here(round, item, links, seen, remembered, report);
    return result;
}

enum round_result round_link_others(struct round *round, const struct mapping *mapping,
                                    struct links *links, bool *remembered,
                                    struct round_report *report)
{
    struct links *seen = links_new();
    enum round_result result = ROUND_DONE;
    if (round->looks_up)
        result = link_all(round, mapping->imaging_study, links, seen, remembered, report);
    if (round->looks_up && result == ROUND_DONE && mapping->documents)
        result = link_all(round, mapping->documents, links, seen, remembered, report);
    links_free(seen);
    return result;
}
