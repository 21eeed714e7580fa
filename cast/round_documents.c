/* SPDX-License-Identifier: MIT */
/* What the documents of a study say, in step with the archive. All of it carries the Study Instance
 * UID as an identifier, so one search of each type tells what the server holds of a study: what is
 * no longer said is removed, whatever document it came from. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "cast/identifier.h"
#include "cast/merge.h"
#include "cast/round_parts.h"

enum {
    PAGES_MAX = 50,
    QUERY_MAX = 32 * 1024,
    WITHDRAW_AFTER = 2, /* conflicts in a row that a DELETE meets */
};

/* The last one is R5's. */
static const char *const types[] = { "Observation", "DiagnosticReport", "DocumentReference",
                                     "ImagingSelection" };
enum { TYPES = sizeof types / sizeof *types, TYPES_R4 = TYPES - 1 };

/* --- what the server holds --- */

struct held {
    char *key; /* "type|system|value" of one of its identifiers */
    cJSON *resource;
};

struct holdings {
    cJSON *resources;   /* array: what is not taken */
    struct held *items; /* of what is taken, too: it lives until all is planned */
    size_t count;
    bool known[TYPES];    /* the server knows the type */
    bool verified[TYPES]; /* and understands a search for identifiers */
};

static char *key_of(const char *type, const cJSON *identifier)
{
    const char *system = json_text(identifier, "system");
    const char *value = json_text(identifier, "value");
    return mem_format("%s|%s|%s", type, system ? system : "", value ? value : "");
}

static int compare_held(const void *a, const void *b)
{
    return strcmp(((const struct held *)a)->key, ((const struct held *)b)->key);
}

/* A type that the server does not have is no reason to give a study up. */
static bool is_unknown_type(int status)
{
    return status == 400 || status == 404 || status == 405 || status == 501;
}

/* The identifier by which what a document says is of a study. */
static bool is_of_study(const cJSON *identifier)
{
    const char *use = json_text(identifier, "use"), *system = json_text(identifier, "system");
    return use && system && strcmp(use, "secondary") == 0 && strcmp(system, SYSTEM_DICOM_UID) == 0;
}

/* An item may call itself by the UID of a study, which does not make it the study's. */
static bool is_called(const cJSON *resource, const cJSON *study)
{
    const cJSON *each;
    bool called = false;
    for (each = json_first(json_get(resource, "identifier")); each; each = each->next) {
        if (!identifier_equal(each, study))
            continue;
        if (is_of_study(each))
            return false;
        called = true;
    }
    return called && mapping_is_ours(resource);
}

static void take_found(struct holdings *holdings, cJSON *resource, const cJSON *study)
{
    if (is_called(resource, study))
        cJSON_Delete(resource);
    else
        json_append_take(holdings->resources, resource);
}

/* Takes what a page found that carries the study's identifier. */
static enum round_result take_page(struct holdings *holdings, size_t type, const cJSON *study,
                                   struct slice body, const char *base, char **next,
                                   struct round_report *report)
{
    struct search_answer found;
    cJSON *page = NULL;
    if (!search_answer_read(body, types[type], study, &found, &report->error))
        return round_no_answer(report);
    if (found.unverified)
        holdings->verified[type] = false;
    if (found.best) {
        take_found(holdings, found.best, study);
        found.best = NULL;
    }
    while (found.others->child)
        take_found(holdings, cJSON_DetachItemFromArray(found.others, 0), study);
    search_answer_release(&found);
    if (json_parse(body, &page, NULL))
        *next = search_answer_next_page(page, types[type], base);
    cJSON_Delete(page);
    return ROUND_DONE;
}

static enum round_result search_type(struct round *round, size_t type, const cJSON *study,
                                     struct holdings *holdings, struct round_report *report)
{
    struct buffer first = buffer_up_to(QUERY_MAX);
    enum round_result result = ROUND_DONE;
    buffer_append_format(&first, "%s?", types[type]);
    identifier_query(study, &first);
    buffer_append_text(&first, "&_count=200");
    char *path = mem_copy_text(buffer_text(&first));
    holdings->known[type] = holdings->verified[type] = true;
    for (int pages = 0; path && pages < PAGES_MAX && result == ROUND_DONE; pages++) {
        struct fhir_answer answer = { 0 };
        struct fhir_request request = { .method = "GET", .path = path };
        char *next = NULL;
        result = round_send(round, &request, "a search", &answer, report);
        if (result == ROUND_DONE)
            result = take_page(holdings, type, study, buffer_slice(&answer.body),
                               fhir_client_base(round->client), &next, report);
        else if (is_unknown_type(report->status))
            holdings->known[type] = false;
        fhir_answer_release(&answer);
        free(path);
        path = next;
    }
    if (!holdings->known[type]) {
        log_warn("cast: server has no %s, what documents say is not cast as such", types[type]);
        result = ROUND_DONE;
    }
    free(path);
    buffer_release(&first);
    return result;
}

static void index_holdings(struct holdings *holdings, const cJSON *study)
{
    size_t room = 0;
    const cJSON *each, *identifier;
    for (each = json_first(holdings->resources); each; each = each->next)
        room += (size_t)cJSON_GetArraySize(json_get(each, "identifier"));
    holdings->items = mem_alloc_array(room + 1, sizeof *holdings->items);
    for (each = json_first(holdings->resources); each; each = each->next)
        for (identifier = json_first(json_get(each, "identifier")); identifier;
             identifier = identifier->next)
            if (!identifier_equal(identifier, study))
                holdings->items[holdings->count++] = (struct held){
                    key_of(json_text(each, "resourceType"), identifier), (cJSON *)(uintptr_t)each
                };
    if (holdings->count)
        qsort(holdings->items, holdings->count, sizeof *holdings->items, compare_held);
}

static enum round_result holdings_read(struct round *round, const cJSON *study,
                                       struct holdings *holdings, struct round_report *report)
{
    enum round_result result = ROUND_DONE;
    size_t count = round_version(round) == FHIR_R5 ? TYPES : TYPES_R4;
    *holdings = (struct holdings){ .resources = json_array() };
    for (size_t i = 0; i < count && result == ROUND_DONE; i++)
        result = search_type(round, i, study, holdings, report);
    index_holdings(holdings, study);
    return result;
}

static void holdings_release(struct holdings *holdings)
{
    for (size_t i = 0; i < holdings->count; i++)
        free(holdings->items[i].key);
    free(holdings->items);
    cJSON_Delete(holdings->resources);
}

static size_t type_of(const cJSON *resource)
{
    const char *type = json_text(resource, "resourceType");
    size_t i = 0;
    while (i < TYPES - 1 && strcmp(types[i], type) != 0)
        i++;
    return i;
}

static cJSON *find_held(const struct holdings *holdings, const cJSON *mapped)
{
    struct held key = { key_of(json_text(mapped, "resourceType"), identifier_of_resource(mapped)),
                        NULL };
    const struct held *found = holdings->count ? bsearch(&key, holdings->items, holdings->count,
                                                         sizeof *holdings->items, compare_held)
                                               : NULL;
    free(key.key);
    return found ? found->resource : NULL;
}

/* cJSON gives every member of an array one before it (the first one has the last). */
static bool is_left(const cJSON *held)
{
    return held->prev != NULL;
}

/* Takes the resource out of what is left over. */
static cJSON *take_held(struct holdings *holdings, cJSON *resource)
{
    return cJSON_DetachItemViaPointer(holdings->resources, resource);
}

bool round_has_documents(const struct round *round, const cJSON *imaging_study)
{
    const cJSON *tag;
    if (!imaging_study)
        return false;
    for (tag = json_first(json_get(json_get(imaging_study, "meta"), "tag")); tag; tag = tag->next) {
        const char *code = json_text(tag, "code");
        if (code && strcmp(code, ROUND_TAG_DOCUMENTS) == 0)
            return true;
    }
    return !mapping_is_of(imaging_study, round->mapping->source);
}

/* --- what goes --- */

/* What others refer to was withdrawn before: it stays so. */
static bool is_withdrawn(const cJSON *held)
{
    const char *status = json_text(held, "status");
    return status && (!strcmp(status, "entered-in-error") || !strcmp(status, "cancelled"));
}

static void remove_held(struct round *round, struct bundle *bundle, cJSON *held, unsigned attempt)
{
    const char *status = round->removal == REMOVAL_CANCELLED ? "cancelled" : "entered-in-error";
    if (!mapping_is_of(held, round->mapping->source) || is_withdrawn(held))
        return;
    if (round->removal == REMOVAL_DELETE && attempt < WITHDRAW_AFTER) {
        bundle_delete(bundle, held);
        return;
    }
    cJSON *copy = json_copy(held);
    if (merge_withdraw_document(copy, status))
        bundle_update_take(bundle, copy);
    else
        cJSON_Delete(copy);
}

static void remove_rest(struct round *round, struct bundle *bundle, struct holdings *holdings,
                        unsigned attempt)
{
    cJSON *each;
    /* Of a type whose search failed in the middle not all is known, and nothing is too much. */
    for (each = json_first(holdings->resources); each; each = each->next)
        if (holdings->known[type_of(each)])
            remove_held(round, bundle, each, attempt);
}

enum round_result round_remove_documents(struct round *round, const char *study_uid, bool hand_over,
                                         unsigned attempt, struct round_report *report)
{
    struct holdings holdings;
    struct bundle *bundle = bundle_new(fhir_client_base(round->client));
    cJSON *study = identifier_of_uid(NULL, study_uid);
    enum round_result result = holdings_read(round, study, &holdings, report);
    cJSON *each;
    for (each = json_first(holdings.resources); hand_over && each; each = each->next)
        if (mapping_is_of(each, round->mapping->source) &&
            json_text(json_get(each, "meta"), "source")) {
            cJSON *copy = json_copy(each);
            merge_hand_over_document(copy);
            bundle_update_take(bundle, copy);
        }
    if (!hand_over)
        remove_rest(round, bundle, &holdings, attempt);
    if (result == ROUND_DONE && bundle_count(bundle))
        result = round_post(round, bundle, report);
    bundle_free(bundle);
    holdings_release(&holdings);
    cJSON_Delete(study);
    return result;
}

/* --- what is said --- */

/* Is it what a document of another study says? One event may be told of in two studies, each of
 * which says, changes and removes its own. */
static bool is_of_other_study(const cJSON *held, const cJSON *study)
{
    const cJSON *each;
    if (!mapping_is_ours(held) || identifier_carried(held, study))
        return false;
    for (each = json_first(json_get(held, "identifier")); each; each = each->next)
        if (is_of_study(each))
            return true;
    return false;
}

static void leave_other_studies(struct search_answer *found, const cJSON *study)
{
    while (found->best && is_of_other_study(found->best, study)) {
        cJSON_Delete(found->best);
        found->best = cJSON_DetachItemFromArray(found->others, 0);
        found->beside = study;
    }
}

/* A resource that carries the identifier and not the study's is found only by asking for it: that
 * costs a search each, so only when a create has met one. */
static enum round_result find_stranger(struct round *round, const cJSON *mapped, const cJSON *study,
                                       struct search_answer *found, struct round_report *report)
{
    size_t patients = report->patient_duplicates, studies = report->duplicates;
    enum round_result result = round_search(round, mapped, found, report);
    leave_other_studies(found, study);
    report->patient_duplicates = patients;
    report->duplicates = studies;
    return result;
}

struct planned {
    const cJSON *mapped; /* of mapping->documents */
    const cJSON *withheld;
    struct search_answer found;
};

static enum round_result find_all(struct round *round, struct holdings *holdings,
                                  const struct mapping *mapping, struct planned *planned,
                                  size_t *count, struct links *links, unsigned attempt,
                                  struct round_report *report)
{
    const cJSON *study = identifier_of_resource(mapping->imaging_study);
    const cJSON *mapped = json_first(mapping->documents);
    const cJSON *withheld = json_first(mapping->withheld_documents);
    enum round_result result = ROUND_DONE;
    for (; mapped && result == ROUND_DONE; mapped = mapped->next, withheld = withheld->next) {
        size_t type = type_of(mapped);
        char urn[IDENTIFIER_URN_SIZE];
        if (!holdings->known[type])
            continue;
        struct planned *one = &planned[(*count)++];
        *one = (struct planned){ mapped, withheld, { .unverified = !holdings->verified[type] } };
        cJSON *held = find_held(holdings, mapped);
        if (held && is_left(held))
            one->found.best = take_held(holdings, held);
        else if (attempt)
            result = find_stranger(round, mapped, study, &one->found, report);
        identifier_urn(mapped, urn);
        char *reference = one->found.best ? round_reference(one->found.best) : mem_copy_text(urn);
        links_add(links, types[type], identifier_of_resource(mapped), reference, true);
        free(reference);
    }
    return result;
}

enum round_result round_plan_documents(struct round *round, struct bundle *bundle,
                                       const struct mapping *mapping, struct links *links,
                                       unsigned attempt, struct round_report *report)
{
    struct holdings holdings;
    size_t room = (size_t)cJSON_GetArraySize(mapping->documents), count = 0;
    struct planned *planned = mem_alloc_array(room + 1, sizeof *planned);
    enum round_result result = holdings_read(round, identifier_of_resource(mapping->imaging_study),
                                             &holdings, report);
    if (result == ROUND_DONE)
        result = find_all(round, &holdings, mapping, planned, &count, links, attempt, report);
    for (size_t i = 0; i < count; i++) {
        if (result == ROUND_DONE) {
            cJSON *document = json_copy(planned[i].mapped);
            links_apply(links, document);
            free(round_plan(bundle, &planned[i].found, document, planned[i].withheld, false));
            cJSON_Delete(document);
        }
        search_answer_release(&planned[i].found);
    }
    if (result == ROUND_DONE)
        remove_rest(round, bundle, &holdings, attempt);
    free(planned);
    holdings_release(&holdings);
    return result;
}
