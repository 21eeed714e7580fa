/* SPDX-License-Identifier: MIT */
/* UPS-RS: search (PS3.18 11.9), with parameters as QIDO-RS has them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/json.h"
#include "dicom/match.h"
#include "dicom/xml.h"
#include "dicomweb/attribute_path.h"
#include "dicomweb/memory_share.h"
#include "dicomweb/search_watch.h"
#include "dicomweb/workitems.h"
#include "http/multipart_writer.h"
#include "worklist/search.h"

enum { MAX_RESULT_BYTES = 64 << 20, MAX_INCLUDE_FIELDS = 1000 };

/* What is returned without being asked for: the return keys of PS3.4 table CC.2.5-3. */
static const uint32_t returns[] = {
    TAG_SOP_CLASS_UID,
    TAG_SOP_INSTANCE_UID,
    TAG_PATIENT_NAME,
    TAG_PATIENT_ID,
    TAG_ISSUER_OF_PATIENT_ID,
    TAG_PATIENT_BIRTH_DATE,
    TAG_PATIENT_SEX,
    TAG_STUDY_INSTANCE_UID,
    TAG_ADMISSION_ID,
    TAG_SCHEDULED_PROCEDURE_STEP_START_DATE_TIME,
    TAG_SCHEDULED_WORKITEM_CODE_SEQUENCE,
    TAG_SCHEDULED_STATION_NAME_CODE_SEQUENCE,
    TAG_SCHEDULED_STATION_CLASS_CODE_SEQUENCE,
    TAG_SCHEDULED_STATION_GEOGRAPHIC_LOCATION_CODE_SEQUENCE,
    TAG_SCHEDULED_HUMAN_PERFORMERS_SEQUENCE,
    TAG_INPUT_READINESS_STATE,
    TAG_REFERENCED_REQUEST_SEQUENCE,
    TAG_PROCEDURE_STEP_STATE,
    TAG_SCHEDULED_PROCEDURE_STEP_PRIORITY,
    TAG_WORKLIST_LABEL,
    TAG_PROCEDURE_STEP_LABEL,
};

struct listing {
    struct request *request;
    struct search *search;
    uint64_t offset;
    uint64_t limit;
    size_t include_count;
    bool has_ignored; /* parameters that are no attributes */
    bool xml;
    struct multipart_writer writer;
    struct buffer page;
    struct memory_share share;
    uint64_t count;
    bool has_more;
};

static bool parse_number(const struct query_pair *pair, uint64_t *number, struct error *err)
{
    size_t digits = strspn(pair->value, "0123456789");
    errno = 0;
    *number = strtoull(pair->value, NULL, 10);
    if (!digits || pair->value[digits] || errno || *number > INT64_MAX)
        return error_set(err, ERROR_INVALID, "%s must be a whole number, 0 or more", pair->name);
    return true;
}

static bool add_include(struct listing *listing, const char *name, struct error *err)
{
    struct attribute_path path;
    if (++listing->include_count > MAX_INCLUDE_FIELDS)
        return error_set(err, ERROR_INVALID, "more than %d include fields", MAX_INCLUDE_FIELDS);
    if (strcmp(name, "all") == 0) {
        search_return_all(listing->search);
        return true;
    }
    if (!attribute_path_parse(name, &path) || path.tags[0] == TAG_TRANSACTION_UID) {
        listing->has_ignored = true;
        return true;
    }
    return search_add_return(listing->search, path.tags[0], err);
}

static bool add_includes(struct listing *listing, const char *value, struct error *err)
{
    bool ok = true;
    char *copy = mem_copy_text(value);
    char *rest = copy;
    for (char *name; ok && (name = strsep(&rest, ","));)
        if (*name)
            ok = add_include(listing, name, err);
    free(copy);
    return ok;
}

static bool add_key(struct listing *listing, const struct query_pair *pair, struct error *err)
{
    struct attribute_path path;
    if (!attribute_path_parse(pair->name, &path) || path.tags[0] == TAG_TRANSACTION_UID) {
        listing->has_ignored = true;
        return true;
    }
    char *copy = mem_copy_text(pair->value);
    if (dictionary_vr(path.tags[path.depth - 1]) == VR_UI) /* a list (PS3.18 8.3.4.1) */
        for (char *c = copy; *c; c++)
            if (*c == ',')
                *c = '\\';
    bool ok = search_add_key(listing->search, path.tags, path.depth, slice_text(copy), err);
    free(copy);
    return ok;
}

static bool add_parameter(struct listing *listing, const struct query_pair *pair, struct error *err)
{
    uint64_t limit;
    if (strcmp(pair->name, "offset") == 0)
        return parse_number(pair, &listing->offset, err);
    if (strcmp(pair->name, "limit") == 0) {
        if (!parse_number(pair, &limit, err))
            return false;
        listing->limit = limit < listing->limit ? limit : listing->limit;
        return true;
    }
    if (strcmp(pair->name, "includefield") == 0)
        return add_includes(listing, pair->value, err);
    if (strcmp(pair->name, "fuzzymatching") == 0 || strcmp(pair->name, "accept") == 0 ||
        strcmp(pair->name, "charset") == 0)
        return true;
    return add_key(listing, pair, err);
}

static bool add_parameters(struct listing *listing, struct error *err)
{
    size_t count;
    const struct query_pair *pairs = request_query(listing->request, &count);
    for (size_t i = 0; i < count; i++) {
        bool is_true = strcmp(pairs[i].value, "true") == 0;
        if (strcmp(pairs[i].name, "fuzzymatching") != 0)
            continue;
        if (!is_true && strcmp(pairs[i].value, "false") != 0)
            return error_set(err, ERROR_INVALID, "fuzzymatching must be true or false");
        search_set_options(listing->search, is_true ? MATCH_FUZZY_NAMES : 0);
    }
    for (size_t i = 0; i < count; i++)
        if (!add_parameter(listing, &pairs[i], err))
            return false;
    for (size_t i = 0; i < sizeof(returns) / sizeof(returns[0]); i++)
        if (!search_add_return(listing->search, returns[i], err))
            return false;
    return true;
}

static void write_match(struct listing *listing, const struct dataset *match)
{
    const struct json_options options = { .bulk_data_prefix = NULL };
    if (listing->xml) {
        multipart_begin_part(&listing->writer, "application/dicom+xml", NULL, &listing->page);
        xml_write_dataset(match, &options, &listing->page);
        return;
    }
    if (listing->count)
        buffer_append_byte(&listing->page, ',');
    json_write_dataset(match, &options, &listing->page);
}

static bool write_page(struct listing *listing, struct worklist *worklist, int64_t timeout_ms,
                       struct error *err)
{
    struct object object = object_init();
    const struct dataset *match = NULL;
    bool ok = true;
    if (!listing->xml)
        buffer_append_byte(&listing->page, '[');
    struct search_watch watch = search_watch_begin(listing->request, timeout_ms);
    search_set_watch(listing->search, search_watch_look, &watch);
    for (uint64_t seen = 0; ok; seen++) {
        ok = search_next(listing->search, worklist, &object, &match, err);
        if (!ok || !match)
            break;
        search_watch_matched(&watch);
        if (seen < listing->offset)
            continue;
        listing->has_more = listing->count == listing->limit;
        if (listing->has_more)
            break;
        write_match(listing, match);
        listing->count++;
        ok = buffer_check(&listing->page, "the result", err) &&
             memory_share_cover(&listing->share, listing->page.size, err);
    }
    if (listing->xml)
        multipart_end(&listing->writer, &listing->page);
    else
        buffer_append_byte(&listing->page, ']');
    object_release(&object);
    return ok && buffer_check(&listing->page, "the result", err);
}

static void answer(struct listing *listing, struct response *response, const char *type)
{
    struct buffer text = buffer_up_to(256);
    if (!listing->count) {
        response_status(response, 204);
    } else {
        response_status(response, listing->has_more ? 206 : 200);
        if (listing->xml)
            multipart_content_type(&listing->writer, &text);
        else
            buffer_append_text(&text, type);
        response_content_type(response, buffer_text(&text));
        memory_share_answer_take(&listing->share, &listing->page, response);
    }
    if (listing->has_more && listing->limit)
        workitems_warn(listing->request, response,
                       "There are additional results that can be requested");
    if (listing->has_ignored)
        workitems_warn(listing->request, response,
                       "Parameters that are no attributes to search by were ignored");
    buffer_release(&text);
}

void workitems_search(struct request *request, struct response *response)
{
    static const struct offer offers[] = {
        { "application/dicom+json", NULL, NULL, false },
        { "application/json", NULL, NULL, false },
        { "multipart/related", "application/dicom+xml", NULL, false },
    };
    struct dicomweb *dicomweb = request_context(request);
    struct listing listing = { .request = request,
                               .limit = dicomweb->query_limit,
                               .page = buffer_up_to(MAX_RESULT_BYTES),
                               .share = { .budget = dicomweb->text_memory } };
    struct error err = { .code = ERROR_NONE };
    size_t offer;
    if (!workitems_are_there(request, response) ||
        !dicomweb_choose(request, response, offers, 3, &offer))
        return;
    listing.search = search_new(OBJECT_WORKITEM);
    listing.xml = offers[offer].inner != NULL;
    if (listing.xml)
        listing.writer = multipart_writer_for(offers[offer].inner);
    if (add_parameters(&listing, &err) &&
        write_page(&listing, dicomweb->worklist, dicomweb->query_timeout_ms, &err))
        answer(&listing, response, offers[offer].type);
    else
        workitems_fail(request, response, &err);
    search_free(listing.search);
    buffer_release(&listing.page);
    memory_share_release(&listing.share);
}
