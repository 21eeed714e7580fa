/* SPDX-License-Identifier: MIT */
#include "cast/fhir_search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/patient_ids.h"
#include "cast/identifier.h"
#include "cast/search_entries.h"
#include "cast/search_keys.h"
#include "cast/view_changes.h"

/* What one walk may look at before the page ends, full or not; a link leads on. A large study
 * counts as several. */
enum { MOST_CANDIDATES = 2000, INSTANCES_OF_CANDIDATE = 100 };
/* Likewise of one that only counts. */
enum { MOST_COUNTED = 20 * 1000 };

struct search {
    struct search_entries entries;
    const struct view_source *source;
    const struct search_request *request;
    unsigned candidates;
    bool whole;                       /* it came to the end */
    char here[SEARCH_PAGE_SIZE + 16]; /* "_offset=20": where the page begins, and the next one */
    char next[SEARCH_PAGE_SIZE + 16];
};

/* The page has its matches, or has taken long enough. */
static bool is_over(struct search *search)
{
    if (search->candidates >= (search->entries.counting ? MOST_COUNTED : MOST_CANDIDATES))
        search->entries.more = true;
    return search->entries.more;
}

static bool is_absence(const struct error *err)
{
    return err->code == ERROR_NOT_FOUND || err->code == ERROR_GONE;
}

/* --- candidates --- */

static unsigned weight_of(const cJSON *imaging_study)
{
    const cJSON *count = json_get(imaging_study, "numberOfInstances");
    unsigned long instances = cJSON_IsRaw(count) ? strtoul(count->valuestring, NULL, 10) : 0;
    return 1 + (unsigned)(instances / INSTANCES_OF_CANDIDATE);
}

static void offer_documents(struct search *search, struct mapping *mapping)
{
    const char *type = search->request->type->name;
    cJSON *next;
    for (cJSON *each = json_first(mapping->documents); each; each = next) {
        next = each->next;
        if (!json_text(each, "id") || strcmp(json_text(each, "resourceType"), type) != 0)
            continue;
        cJSON *document = cJSON_DetachItemViaPointer(mapping->documents, each);
        search_entries_offer(&search->entries, &document, mapping->patient);
        cJSON_Delete(document);
    }
}

/* The ImagingStudy, or what documents of the study say. A study that is not there is none. */
static bool offer_study(struct search *search, const char *uid, struct error *err)
{
    struct mapping mapping;
    struct error why = { 0 };
    bool documents = search->request->type->is_document;
    if (search->entries.more || (!documents && search_entries_seen(&search->entries, uid)))
        return true;
    if (!view_study(search->source, uid, &mapping, &why)) {
        if (is_absence(&why))
            return true;
        *err = why;
        return false;
    }
    search->candidates += weight_of(mapping.imaging_study);
    if (documents)
        offer_documents(search, &mapping);
    else
        search_entries_offer(&search->entries, &mapping.imaging_study, mapping.patient);
    mapping_release(&mapping);
    return true;
}

/* The Patient of a study, if no newer study tells of it: each Patient is met just once. */
static bool offer_patient_of(struct search *search, const char *uid, struct error *err)
{
    cJSON *patient = NULL, *newest = NULL;
    char newest_uid[UID_SIZE];
    struct error why = { 0 };
    bool ok = true;
    if (search->entries.more)
        return true;
    search->candidates++;
    if (view_patient_of_study(search->source, uid, &patient, &why) &&
        !search_entries_seen(&search->entries, json_text(patient, "id")) &&
        view_patient_from(search->source, json_text(patient, "id"), &newest, newest_uid, &why) &&
        strcmp(newest_uid, uid) == 0)
        search_entries_offer(&search->entries, &newest, NULL);
    if (why.code && !is_absence(&why)) {
        *err = why;
        ok = false;
    }
    cJSON_Delete(patient);
    cJSON_Delete(newest);
    return ok;
}

static bool offer_patient(struct search *search, const char *id, struct error *err)
{
    cJSON *patient = NULL;
    struct error why = { 0 };
    if (search->entries.more)
        return true;
    search->candidates++;
    if (!view_patient(search->source, id, &patient, &why)) {
        if (is_absence(&why))
            return true;
        *err = why;
        return false;
    }
    search_entries_offer(&search->entries, &patient, NULL);
    cJSON_Delete(patient);
    return true;
}

typedef bool (*offer_function)(struct search *search, const char *uid, struct error *err);

/* All studies with a value of a key. */
static bool offer_by_key(struct search *search, offer_function offer, const struct view_key *key,
                         uint64_t at_most, struct error *err)
{
    struct view_studies studies;
    struct error why = { 0 };
    char uid[UID_SIZE];
    bool found = true;
    bool ok = true;
    if (!view_studies_open(search->source, key, 1, 0, &studies, &why)) {
        if (why.code == ERROR_INVALID)
            return true; /* no value that the attribute can have */
        *err = why;
        return false;
    }
    uint64_t count = 0;
    for (; count < at_most && ok && !search->entries.more; count++) {
        ok = view_studies_next(&studies, uid, &found, err);
        if (!ok || !found)
            break;
        ok = offer(search, uid, err);
    }
    view_studies_close(&studies);
    if (ok && count == VIEW_MOST_STUDIES)
        ok = error_set(err, ERROR_LIMIT, "a value has more than %d studies", VIEW_MOST_STUDIES);
    return ok;
}

/* --- by values that lead to few studies --- */

static const char *study_uid_of(const struct search_value *value)
{
    static const char oid[] = "urn:oid:";
    bool is_uid = !value->system || strcmp(value->system, SYSTEM_DICOM_UID) == 0;
    if (!is_uid)
        return NULL;
    const char *uid = value->text;
    if (strncmp(uid, oid, sizeof oid - 1) == 0)
        return uid + sizeof oid - 1;
    return value->system ? uid : NULL;
}

static bool by_study_identifier(struct search *search, const struct search_value *value,
                                struct error *err)
{
    const struct view_key accession = { LEVEL_STUDY, TAG_ACCESSION_NUMBER, value->text, true };
    const struct view_key study_id = { LEVEL_STUDY, TAG_STUDY_ID, value->text, true };
    const char *uid = study_uid_of(value);
    if (uid)
        return offer_study(search, uid, err);
    if (!*value->text)
        return true;
    if (uid_is_valid(value->text) && !offer_study(search, value->text, err))
        return false;
    return offer_by_key(search, offer_study, &accession, VIEW_MOST_STUDIES, err) &&
           offer_by_key(search, offer_study, &study_id, VIEW_MOST_STUDIES, err);
}

/* The studies of a Patient: by its Patient ID, or the one study that tells of it. */
static bool by_patient(struct search *search, const struct search_value *value, struct error *err)
{
    struct error why = { 0 };
    cJSON *patient = NULL;
    if (value->whole_type)
        return true;
    if (!view_patient(search->source, value->text, &patient, &why)) {
        if (is_absence(&why))
            return true;
        *err = why;
        return false;
    }
    char id[FHIR_ID_SIZE];
    const char *text = json_text(identifier_of_resource(patient), "value");
    const struct view_key key = { LEVEL_PATIENT, TAG_PATIENT_ID, text, true };
    bool ok = patient_id_read(value->text, id) == PATIENT_ID_STUDY
                  ? offer_study(search, text, err)
                  : offer_by_key(search, offer_study, &key, VIEW_MOST_STUDIES, err);
    cJSON_Delete(patient);
    return ok;
}

static bool by_patient_identifier_of(struct search *search, offer_function offer,
                                     const struct search_value *value, uint64_t at_most,
                                     struct error *err)
{
    const struct view_key key = { LEVEL_PATIENT, TAG_PATIENT_ID, value->text, true };
    if (!*value->text)
        return true;
    if (uid_is_valid(value->text) && !offer(search, value->text, err))
        return false;
    return offer_by_key(search, offer, &key, at_most, err);
}

static bool by_patient_identifier(struct search *search, const struct search_value *value,
                                  struct error *err)
{
    return by_patient_identifier_of(search, offer_study, value, VIEW_MOST_STUDIES, err);
}

static bool by_identifier_of_patient(struct search *search, const struct search_value *value,
                                     struct error *err)
{
    return by_patient_identifier_of(search, offer_patient_of, value, VIEW_MOST_OF_PATIENT, err);
}

static bool by_uid(struct search *search, const struct search_value *value, enum level level,
                   uint32_t tag, struct error *err)
{
    static const char oid[] = "urn:oid:";
    const char *uid = value->text;
    if (strncmp(uid, oid, sizeof oid - 1) == 0)
        uid += sizeof oid - 1;
    const struct view_key key = { level, tag, uid, true };
    return !uid_is_safe(slice_text(uid)) ||
           offer_by_key(search, offer_study, &key, VIEW_MOST_STUDIES, err);
}

static bool by_series(struct search *search, const struct search_value *value, struct error *err)
{
    return by_uid(search, value, LEVEL_SERIES, TAG_SERIES_INSTANCE_UID, err);
}

static bool by_instance(struct search *search, const struct search_value *value, struct error *err)
{
    return by_uid(search, value, LEVEL_INSTANCE, TAG_SOP_INSTANCE_UID, err);
}

static bool by_study_id(struct search *search, const struct search_value *value, struct error *err)
{
    return offer_study(search, value->text, err);
}

static bool by_patient_id(struct search *search, const struct search_value *value,
                          struct error *err)
{
    return offer_patient(search, value->text, err);
}

static bool by_study_reference(struct search *search, const struct search_value *value,
                               struct error *err)
{
    return value->whole_type || offer_study(search, value->text, err);
}

static bool by_study_uid(struct search *search, const struct search_value *value, struct error *err)
{
    static const char oid[] = "urn:oid:";
    bool has_oid = strncmp(value->text, oid, sizeof oid - 1) == 0;
    return offer_study(search, has_oid ? value->text + sizeof oid - 1 : value->text, err);
}

static bool by_document_id(struct search *search, const struct search_value *value,
                           struct error *err)
{
    char uid[FHIR_ID_SIZE];
    return !document_id_read(value->text, uid) || offer_study(search, uid, err);
}

/* The UID of the document or of the study, or the accession number. What an item of a document
 * calls itself (Observation UID) is in no index. */
static bool by_document_identifier(struct search *search, const struct search_value *value,
                                   struct error *err)
{
    static const char oid[] = "urn:oid:";
    const struct view_key accession = { LEVEL_STUDY, TAG_ACCESSION_NUMBER, value->text, true };
    char uid[UID_SIZE];
    const char *at = value->text;
    if (strncmp(at, oid, sizeof oid - 1) == 0)
        at += sizeof oid - 1;
    /* "<SOP Instance UID>#1.2.3" of an item of its content */
    size_t size = strcspn(at, "#");
    if (!size || size >= sizeof uid)
        return true;
    memcpy(uid, at, size);
    uid[size] = 0;
    if (!uid_is_safe(slice_text(uid)))
        return offer_by_key(search, offer_study, &accession, VIEW_MOST_STUDIES, err);
    const struct view_key key = { LEVEL_INSTANCE, TAG_SOP_INSTANCE_UID, uid, true };
    return offer_study(search, uid, err) &&
           offer_by_key(search, offer_study, &key, VIEW_MOST_STUDIES, err) &&
           offer_by_key(search, offer_study, &accession, VIEW_MOST_STUDIES, err);
}

/* The first one that a search has leads to its studies; all others are only compared. `type` NULL:
 * of every one that has documents. */
static const struct way {
    const char *type;
    const char *parameter;
    bool of_patient;
    bool (*go)(struct search *search, const struct search_value *value, struct error *err);
} ways[] = {
    { "ImagingStudy", "_id", false, by_study_id },
    { "ImagingStudy", "instance", false, by_instance },
    { "ImagingStudy", "series", false, by_series },
    { "ImagingStudy", "identifier", false, by_study_identifier },
    { "ImagingStudy", "patient", false, by_patient },
    { "ImagingStudy", "subject", false, by_patient },
    { "ImagingStudy", "patient", true, by_patient_identifier },
    { "ImagingStudy", "subject", true, by_patient_identifier },
    { "Patient", "_id", false, by_patient_id },
    { "Patient", "identifier", false, by_identifier_of_patient },
    { NULL, "_id", false, by_document_id },
    { NULL, "derived-from", false, by_study_reference },
    { NULL, "part-of", false, by_study_reference },
    { NULL, "study-uid", false, by_study_uid },
    { NULL, "study", false, by_study_reference },
    { NULL, "patient", false, by_patient },
    { NULL, "subject", false, by_patient },
    { NULL, "patient", true, by_patient_identifier },
    { NULL, "subject", true, by_patient_identifier },
    { NULL, "has-member", false, by_document_id },
    { NULL, "result", false, by_document_id },
    { NULL, "identifier", false, by_document_identifier },
};

static const struct search_criterion *criterion_of(const struct search_request *request,
                                                   const struct way *way)
{
    for (size_t i = 0; i < request->criterion_count; i++) {
        const struct search_criterion *criterion = &request->criteria[i];
        if (criterion->modifier == MODIFIER_NONE && criterion->of_patient == way->of_patient &&
            strcmp(criterion->parameter->name, way->parameter) == 0)
            return criterion;
    }
    return NULL;
}

static bool is_way_of(const struct way *way, const struct search_type *type)
{
    return way->type ? strcmp(way->type, type->name) == 0 : type->is_document;
}

static const struct way *find_way(const struct search_request *request,
                                  const struct search_criterion **criterion)
{
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (is_way_of(&ways[i], request->type) && (*criterion = criterion_of(request, &ways[i])))
            return &ways[i];
    return NULL;
}

/* Pages of it begin behind so many matches: there are few. */
static bool go_way(struct search *search, const struct way *way,
                   const struct search_criterion *criterion, struct error *err)
{
    uint64_t offset = search->entries.counting ? 0 : search->request->offset;
    bool ok = true;
    if (offset)
        snprintf(search->here, sizeof search->here, "_offset=%llu", (unsigned long long)offset);
    search->entries.skip = offset;
    for (size_t i = 0; ok && i < criterion->count && !search->entries.more; i++)
        ok = way->go(search, &criterion->values[i], err);
    search->whole = ok && !search->entries.more;
    snprintf(search->next, sizeof search->next, "_offset=%llu",
             (unsigned long long)(offset + search->entries.given));
    return ok;
}

/* --- the few of a way in the order that is asked for --- */

/* What documents of one study say comes together: it is mapped once. */
struct kept_study {
    char uid[FHIR_ID_SIZE];
    struct mapping mapping;
    bool is_there;
};

static bool offer_document(struct search *search, struct kept_study *kept, const char *id,
                           struct error *err)
{
    char uid[FHIR_ID_SIZE];
    struct error why = { 0 };
    if (!document_id_read(id, uid))
        return true;
    if (strcmp(kept->uid, uid) != 0) {
        if (kept->is_there)
            mapping_release(&kept->mapping);
        memcpy(kept->uid, uid, sizeof kept->uid);
        kept->is_there = view_study(search->source, uid, &kept->mapping, &why);
        if (!kept->is_there && !is_absence(&why)) {
            *err = why;
            return false;
        }
    }
    cJSON *each = kept->is_there ? json_first(kept->mapping.documents) : NULL;
    for (; each; each = each->next)
        if (json_text(each, "id") && strcmp(json_text(each, "id"), id) == 0)
            break;
    if (!each)
        return true;
    each = cJSON_DetachItemViaPointer(kept->mapping.documents, each);
    search_entries_offer(&search->entries, &each, kept->mapping.patient);
    cJSON_Delete(each);
    return true;
}

static bool offer_again(struct search *search, struct kept_study *kept, const char *id,
                        struct error *err)
{
    const struct search_type *type = search->request->type;
    if (type->is_document)
        return offer_document(search, kept, id, err);
    return strcmp(type->name, "Patient") == 0 ? offer_patient(search, id, err)
                                              : offer_study(search, id, err);
}

/* All matches are looked at, and those of the page once more: there are few. */
static bool go_way_in_order(struct search *search, const struct way *way,
                            const struct search_criterion *criterion, struct error *err)
{
    const struct search_request *request = search->request;
    struct search_sorted sorted = { .order = request->order, .descending = request->descending };
    struct kept_study kept = { .is_there = false };
    bool ok = true;
    size_t at = request->offset;
    if (at)
        snprintf(search->here, sizeof search->here, "_offset=%zu", at);
    search->entries.sorted = &sorted;
    for (size_t i = 0; ok && i < criterion->count; i++)
        ok = way->go(search, &criterion->values[i], err);
    search_entries_begin_again(&search->entries);
    ok = ok && search_sorted_end(&sorted, err);
    for (; ok && at < sorted.count; at++) {
        ok = offer_again(search, &kept, sorted.matches[at].id, err);
        if (search->entries.more)
            break;
    }
    search->entries.matched = sorted.count;
    search->whole = ok && !search->entries.more;
    snprintf(search->next, sizeof search->next, "_offset=%zu", at);
    if (kept.is_there)
        mapping_release(&kept.mapping);
    search_sorted_release(&sorted);
    return ok;
}

/* --- by walks that go on where the page before ended --- */

/* A place in the archive's order or in the feed, and among the matches of the study there. */
static void read_study_place(const char *page, uint64_t *place, uint64_t *within)
{
    char number[17];
    if (!page)
        return;
    snprintf(number, sizeof number, "%.16s", page);
    *place = strtoull(number, NULL, 16);
    if (strlen(page) > 16)
        *within = strtoull(page + 16, NULL, 16);
}

/* The archive's own order is that of `started`, the latest first. */
static bool set_order(struct search *search, struct view_studies *studies, struct error *err)
{
    const struct search_request *request = search->request;
    if (search->entries.counting)
        return true;
    if (request->order == ORDER_ID)
        return view_studies_order(studies, TAG_STUDY_INSTANCE_UID, 0, request->descending, err);
    return request->order != ORDER_STARTED || request->descending ||
           view_studies_order(studies, TAG_STUDY_DATE, TAG_STUDY_TIME, false, err);
}

/* Studies by what the archive can tell from its index, newest first unless another order is asked
 * for. A page begins at a place in that order, which it finds without mapping all before. */
static bool walk_studies(struct search *search, const struct search_keys *keys,
                         offer_function offer, struct error *err)
{
    const char *page = search->entries.counting ? NULL : search->request->page;
    uint64_t place = 0, within = 0;
    struct view_studies studies;
    struct error why = { 0 };
    char uid[UID_SIZE];
    bool found = true;
    bool ok = true;
    read_study_place(page, &place, &within);
    if (place > SEARCH_MOST_OFFSET)
        place = SEARCH_MOST_OFFSET;
    search->entries.skip = page || search->entries.counting ? within : search->request->offset;
    search->whole = false;
    if (page)
        snprintf(search->here, sizeof search->here, "_page=%s", page);
    if (!view_studies_open(search->source, keys->keys, keys->count, place, &studies, &why)) {
        search->whole = why.code == ERROR_INVALID; /* no value that the attribute can have */
        if (!search->whole)
            *err = why;
        return search->whole;
    }
    within = 0;
    ok = set_order(search, &studies, err);
    while (ok && found && !is_over(search)) {
        uint64_t before = search->entries.matched;
        place = studies.passed;
        ok = view_studies_next(&studies, uid, &found, err);
        if (ok && found)
            ok = offer(search, uid, err);
        if (search->entries.more) {
            within = search->entries.matched - before;
            break;
        }
        place = studies.passed;
        if (page)
            search->entries.skip = 0; /* what was within the first study is past */
    }
    view_studies_close(&studies);
    search->whole = ok && !search->entries.more && !page;
    snprintf(search->next, sizeof search->next, "_page=%016llx%08llx", (unsigned long long)place,
             (unsigned long long)within);
    return ok;
}

/* The least moment that _lastUpdated leaves; false when it leaves the past open. */
static bool changed_since(const struct search_request *request, int64_t *since_ms)
{
    *since_ms = 0;
    bool found = false;
    for (size_t i = 0; i < request->criterion_count; i++) {
        const struct search_criterion *criterion = &request->criteria[i];
        const struct search_value *value = &criterion->values[0];
        enum search_prefix prefix = value->prefix;
        if (strcmp(criterion->parameter->name, "_lastUpdated") != 0 || criterion->count != 1 ||
            criterion->modifier != MODIFIER_NONE ||
            (prefix != PREFIX_EQ && prefix != PREFIX_GT && prefix != PREFIX_GE &&
             prefix != PREFIX_SA))
            continue;
        if (!found || value->span.from_ms > *since_ms)
            *since_ms = value->span.from_ms;
        found = true;
    }
    return found;
}

/* What changed lately, by the change feed and not by a look at every study. A page begins at a
 * number of the feed. */
static bool walk_changes(struct search *search, offer_function offer, int64_t since_ms,
                         bool ascending, struct error *err)
{
    enum { MOST_CHANGES = 200 * 1000 };
    const char *page = search->entries.counting ? NULL : search->request->page;
    struct view_changes changes;
    struct view_change change;
    uint64_t place = 0, within = 0;
    bool found = true;
    bool ok = true;
    read_study_place(page, &place, &within);
    search->entries.skip = page || search->entries.counting ? within : search->request->offset;
    if (page)
        snprintf(search->here, sizeof search->here, "_page=%s", page);
    if (!view_changes_open(&changes, search->source, place, since_ms, ascending, err))
        return false;
    place = changes.next;
    within = 0;
    while (ok && found && !is_over(search)) {
        uint64_t before = search->entries.matched;
        uint64_t at_most = search->entries.counting ? MOST_CHANGES
                                                    : MOST_CHANGES - changes.examined;
        ok = view_changes_next(&changes, at_most, &change, &found, err);
        search->entries.more = ok && !found && changes.next; /* long enough for one page */
        if (ok && found && !change.is_gone)
            ok = offer(search, change.study, err);
        if (search->entries.more && found) {
            within = search->entries.matched - before;
            place = change.sequence;
            break;
        }
        place = changes.next;
        if (page)
            search->entries.skip = 0;
    }
    view_changes_close(&changes);
    search->whole = ok && !search->entries.more && !page;
    snprintf(search->next, sizeof search->next, "_page=%016llx%08llx", (unsigned long long)place,
             (unsigned long long)within);
    return ok;
}

/* The place of a Patient among those of one Patient ID, and the key of the ID before. */
static void read_patient_place(const char *page, uint64_t *within, struct buffer *key)
{
    char number[9], pair[3] = "";
    snprintf(number, sizeof number, "%.8s", page);
    *within = strtoull(number, NULL, 16);
    for (const char *at = page + strlen(number); at[0] && at[1]; at += 2) {
        memcpy(pair, at, 2);
        buffer_append_byte(key, (uint8_t)strtoul(pair, NULL, 16));
    }
}

static void set_patient_place(struct search *search, uint64_t within, struct slice key)
{
    size_t used = (size_t)snprintf(search->next, sizeof search->next, "_page=%08llx",
                                   (unsigned long long)within);
    for (size_t i = 0; i < key.size; i++)
        used += (size_t)snprintf(search->next + used, sizeof search->next - used, "%02x",
                                 key.data[i]);
}

/* All Patients of one Patient ID. */
static bool offer_patients(struct search *search, struct slice name, const char *uid,
                           struct error *err)
{
    cJSON *patient = NULL;
    struct error why = { 0 };
    if (!name.size || !name.data[0]) /* none: the study is a Patient of its own */
        return offer_patient_of(search, uid, err);
    if (!view_patient_of_study(search->source, uid, &patient, &why)) {
        if (is_absence(&why))
            return true;
        *err = why;
        return false;
    }
    const char *value = json_text(identifier_of_resource(patient), "value");
    const struct view_key same = { LEVEL_PATIENT, TAG_PATIENT_ID, value, true };
    bool ok = offer_by_key(search, offer_patient_of, &same, VIEW_MOST_OF_PATIENT, err);
    cJSON_Delete(patient);
    return ok;
}

/* All Patients in the order of their IDs. */
static bool walk_patients(struct search *search, struct error *err)
{
    const char *page = search->entries.counting ? NULL : search->request->page;
    struct buffer key = buffer_up_to(PATIENT_IDS_KEY_MAX), next = buffer_up_to(PATIENT_IDS_KEY_MAX);
    char uid[UID_SIZE];
    uint64_t within = 0, before = 0;
    bool found = true;
    bool ok = true;
    if (page) {
        snprintf(search->here, sizeof search->here, "_page=%s", page);
        read_patient_place(page, &within, &key);
        search->entries.skip = within;
    }
    while (ok && !is_over(search)) {
        ok = patient_ids_next(search->source->archive, buffer_slice(&key), &next, uid, &found, err);
        if (!ok || !found)
            break;
        before = search->entries.matched;
        ok = offer_patients(search, buffer_slice(&next), uid, err);
        if (search->entries.more)
            break;
        search->entries.skip = 0;
        within = 0;
        buffer_clear(&key);
        buffer_append(&key, buffer_slice(&next));
        before = search->entries.matched;
    }
    set_patient_place(search, search->entries.matched - before, buffer_slice(&key));
    search->whole = ok && !search->entries.more && !page;
    buffer_release(&key);
    buffer_release(&next);
    return ok;
}

static bool walk_endpoints(struct search *search)
{
    cJSON *endpoints[MAPPING_ENDPOINTS];
    size_t count = view_endpoints(search->source, endpoints);
    uint64_t offset = search->entries.counting ? 0 : search->request->offset;
    if (offset)
        snprintf(search->here, sizeof search->here, "_offset=%llu", (unsigned long long)offset);
    search->entries.skip = offset;
    for (size_t i = 0; i < count; i++) {
        search_entries_offer(&search->entries, &endpoints[i], NULL);
        cJSON_Delete(endpoints[i]);
    }
    search->whole = !search->entries.more;
    snprintf(search->next, sizeof search->next, "_offset=%llu",
             (unsigned long long)(offset + search->entries.given));
    return true;
}

static bool go(struct search *search, struct error *err)
{
    const struct search_request *request = search->request;
    const struct search_criterion *criterion;
    const struct way *way = find_way(request, &criterion);
    struct search_keys keys;
    int64_t since_ms = 0;
    bool is_guess = way && way->go == by_document_identifier;
    enum search_order order = search->entries.counting ? ORDER_OWN : request->order;
    if (way && !(is_guess && request->page)) {
        bool ok = order == ORDER_OWN ? go_way(search, way, criterion, err)
                                     : go_way_in_order(search, way, criterion, err);
        if (!ok || !is_guess || search->entries.matched || search->request->offset)
            return ok;
    }
    if (strcmp(request->type->name, "Endpoint") == 0)
        return walk_endpoints(search);
    bool is_patient = strcmp(request->type->name, "Patient") == 0;
    bool is_recent = changed_since(request, &since_ms);
    if (order == ORDER_LAST_UPDATED || (order == ORDER_OWN && is_recent))
        return walk_changes(search, is_patient ? offer_patient_of : offer_study, since_ms,
                            order == ORDER_LAST_UPDATED && !request->descending, err);
    search_keys_init(&keys, request);
    if (!is_patient)
        return walk_studies(search, &keys, offer_study, err);
    return keys.count ? walk_studies(search, &keys, offer_patient_of, err)
                      : walk_patients(search, err);
}

/* --- how many there are --- */

static bool count_all(const struct view_source *source, const struct search_request *request,
                      uint64_t *total, struct error *err)
{
    struct archive_counts counts;
    if (!request->criterion_count && strcmp(request->type->name, "ImagingStudy") == 0) {
        if (!archive_count(source->archive, &counts, err))
            return false;
        *total = counts.studies;
        return true;
    }
    struct search search = { .source = source, .request = request };
    search_entries_init(&search.entries, source, request);
    search.entries.counting = true;
    bool ok = go(&search, err);
    *total = search.entries.matched;
    if (ok && !search.whole)
        ok = error_set(err, ERROR_LIMIT, "there are too many matches to be counted");
    search_entries_release(&search.entries);
    return ok;
}

bool fhir_search(const struct view_source *source, const struct search_request *request,
                 cJSON **out, struct error *err)
{
    struct search search = { .source = source, .request = request };
    bool is_count = request->summary == SUMMARY_COUNT;
    bool is_known = is_count || request->total == TOTAL_ACCURATE;
    uint64_t total = 0;
    bool ok = false;
    *out = NULL;
    search_entries_init(&search.entries, source, request);
    if (is_known && !count_all(source, request, &total, err))
        goto out;
    if (!is_count && (!go(&search, err) || !search_entries_include(&search.entries, err)))
        goto out;
    /* A page that begins at the beginning and reaches the end has them all. */
    if (!is_known && search.whole && request->total != TOTAL_NONE) {
        total = search.entries.matched;
        is_known = true;
    }
    *out = search_entries_bundle(&search.entries, search.here,
                                 search.entries.more ? search.next : NULL,
                                 is_known ? &total : NULL);
    ok = true;
out:
    search_entries_release(&search.entries);
    return ok;
}
