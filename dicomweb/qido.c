/* SPDX-License-Identifier: MIT */
/* QIDO-RS (PS3.18 10.6): the six search resources over one archive/query. Beyond the standard:
 * orderby= (or sort=) with attributes, "-" before one turns it round, and X-Total-Count. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/query.h"
#include "base/memory.h"
#include "dicom/encode.h"
#include "dicom/json.h"
#include "dicom/match.h"
#include "dicom/xml.h"
#include "dicomweb/attribute_path.h"
#include "dicomweb/memory_share.h"
#include "dicomweb/routes.h"
#include "dicomweb/search_watch.h"
#include "http/multipart_writer.h"
#include "http/negotiate.h"

enum {
    MAX_RESULT_BYTES = 256 << 20,
    MAX_WARNING = 512,
    MAX_ZONE = 64,
    MAX_KEYS = 256,
    MAX_INCLUDE_FIELDS = 1000,
    COUNT_REST = 1000, /* more results than these are not counted one by one */
};

/* What is returned without being asked for (PS3.18 10.6.3.3), by the level it belongs to. */
static const uint32_t study_returns[] = {
    TAG_STUDY_DATE,
    TAG_STUDY_TIME,
    TAG_ACCESSION_NUMBER,
    TAG_INSTANCE_AVAILABILITY,
    TAG_MODALITIES_IN_STUDY,
    TAG_REFERRING_PHYSICIAN_NAME,
    TAG_TIMEZONE_OFFSET_FROM_UTC,
    TAG_PATIENT_NAME,
    TAG_PATIENT_ID,
    TAG_PATIENT_BIRTH_DATE,
    TAG_PATIENT_SEX,
    TAG_STUDY_INSTANCE_UID,
    TAG_STUDY_ID,
    TAG_NUMBER_OF_STUDY_RELATED_SERIES,
    TAG_NUMBER_OF_STUDY_RELATED_INSTANCES,
};
static const uint32_t series_returns[] = {
    TAG_MODALITY,
    TAG_TIMEZONE_OFFSET_FROM_UTC,
    TAG_SERIES_DESCRIPTION,
    TAG_SERIES_INSTANCE_UID,
    TAG_SERIES_NUMBER,
    TAG_NUMBER_OF_SERIES_RELATED_INSTANCES,
    TAG_PERFORMED_PROCEDURE_STEP_START_DATE,
    TAG_PERFORMED_PROCEDURE_STEP_START_TIME,
    TAG_REQUEST_ATTRIBUTES_SEQUENCE,
};
static const uint32_t instance_returns[] = {
    TAG_SOP_CLASS_UID,
    TAG_SOP_INSTANCE_UID,
    TAG_INSTANCE_AVAILABILITY,
    TAG_TIMEZONE_OFFSET_FROM_UTC,
    TAG_INSTANCE_NUMBER,
    TAG_ROWS,
    TAG_COLUMNS,
    TAG_BITS_ALLOCATED,
    TAG_NUMBER_OF_FRAMES,
};

struct search {
    const struct dicomweb *dicomweb;
    struct request *request;
    struct path_uids place;
    enum level level;
    struct query *query;
    struct attribute_path keys[MAX_KEYS];
    size_t key_count;
    size_t include_count;
    bool include_all;
    bool include_some;
    bool is_sorted;
    uint64_t limit;
    uint64_t offset;
    struct search_watch watch;
    struct memory_share share;
    char warning[MAX_WARNING]; /* names of what was ignored */
    bool xml;                  /* the answer is multipart, a part for each match */
    struct multipart_writer writer;
    unsigned options;   /* enum match_option */
    struct buffer zone; /* that dates and times are said in; empty: as they are stored */
};

static bool add_returns(struct query *query, const uint32_t *tags, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!query_add_return(query, tags[i], err))
            return false;
    return true;
}

#define ADD_RETURNS(query, table, err)                                                             \
    add_returns(query, table, sizeof(table) / sizeof(table[0]), err)

/* The levels above are returned as far as the path does not name them (PS3.18 table 10.6.3-3 ff.).
 */
static bool add_default_returns(struct search *search, struct error *err)
{
    if (!*search->place.study && !ADD_RETURNS(search->query, study_returns, err))
        return false;
    if (search->level >= LEVEL_SERIES && !*search->place.series &&
        !ADD_RETURNS(search->query, series_returns, err))
        return false;
    return search->level < LEVEL_INSTANCE || ADD_RETURNS(search->query, instance_returns, err);
}

/* A whole number from 0 in decimal, and nothing else. */
static bool parse_number(const char *name, const char *text, uint64_t *number, struct error *err)
{
    size_t digits = strspn(text, "0123456789");
    errno = 0;
    *number = strtoull(text, NULL, 10);
    if (!digits || text[digits] || errno || *number > INT64_MAX)
        return error_set(err, ERROR_INVALID, "%s must be a whole number, 0 or more", name);
    return true;
}

/* Notes a name for the Warning field; only harmless characters of it, as it comes from the client.
 */
static void ignore(struct search *search, const char *name)
{
    size_t size = strlen(search->warning);
    size_t used = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    if (!used || name[used] || size + used + 3 > MAX_WARNING)
        return;
    snprintf(search->warning + size, MAX_WARNING - size, "%s%s", size ? ", " : "", name);
}

static bool add_include_field(struct search *search, const char *name, struct error *err)
{
    struct attribute_path path;
    if (++search->include_count > MAX_INCLUDE_FIELDS)
        return error_set(err, ERROR_INVALID, "more than %d include fields", MAX_INCLUDE_FIELDS);
    if (!strcmp(name, "all")) {
        search->include_all = true;
        query_return_all(search->query);
        return true;
    }
    search->include_some = true;
    if (!attribute_path_parse(name, &path)) {
        ignore(search, name);
        return true;
    }
    /* A path into a sequence returns the sequence. */
    return query_add_return(search->query, path.tags[0], err);
}

/* The value is decoded as a whole first, so that an encoded comma separates too: viewers do that.
 */
static bool add_names(struct search *search, const char *value,
                      bool (*add)(struct search *search, const char *name, struct error *err),
                      struct error *err)
{
    bool ok = true;
    char *copy = mem_copy_text(value);
    char *rest = copy;
    for (char *name; ok && (name = strsep(&rest, ","));)
        if (*name)
            ok = add(search, name, err);
    free(copy);
    return ok;
}

/* The newest study first is what all answers begin with: that needs no sorting. */
static bool add_order(struct search *search, const char *name, struct error *err)
{
    struct attribute_path path;
    bool descending = *name == '-';
    name += descending;
    if (!attribute_path_parse(name, &path) || path.depth > 1 ||
        !query_supports(search->level, path.tags, 1)) {
        ignore(search, name);
        return true;
    }
    if (path.tags[0] == TAG_STUDY_DATE && descending && !search->is_sorted)
        return true;
    search->is_sorted = true;
    return query_add_order(search->query, path.tags[0], descending, err);
}

/* A comma separates values where none of them can hold one. */
static bool has_commas_between(const struct search *search, uint32_t tag)
{
    switch (dictionary_vr(tag)) {
    case VR_UI:
        return true;
    case VR_AS:
    case VR_CS:
    case VR_DA:
    case VR_DS:
    case VR_DT:
    case VR_IS:
    case VR_TM:
        return search->options & MATCH_MULTIPLE_VALUES;
    default:
        return false;
    }
}

/* Lists of UIDs have commas here (PS3.18 8.3.4.1), backslashes in the matching rules. */
static bool add_key(struct search *search, const char *name, const char *value, struct error *err)
{
    struct attribute_path path;
    if (!attribute_path_parse(name, &path)) {
        ignore(search, name);
        return true;
    }
    for (size_t i = 0; i < search->key_count; i++)
        if (attribute_path_equal(&search->keys[i], &path))
            return error_set(err, ERROR_INVALID, "%.64s is given twice", name);
    if (search->key_count == MAX_KEYS)
        return error_set(err, ERROR_INVALID, "more than %d attributes", MAX_KEYS);
    search->keys[search->key_count++] = path;
    char *copy = mem_copy_text(value);
    if (has_commas_between(search, path.tags[path.depth - 1]))
        for (char *c = copy; *c; c++)
            if (*c == ',')
                *c = '\\';
    bool ok = query_add_key(search->query, path.tags, path.depth, slice_text(copy), err);
    free(copy);
    return ok;
}

static const struct {
    const char *name;
    unsigned option;
} match_options[] = {
    { "fuzzymatching", MATCH_FUZZY_NAMES },
    { "emptyvaluematching", MATCH_EMPTY_VALUE },
    { "multiplevaluematching", MATCH_MULTIPLE_VALUES },
};

static unsigned option_of(const char *name)
{
    for (size_t i = 0; i < sizeof(match_options) / sizeof(match_options[0]); i++)
        if (!strcmp(name, match_options[i].name))
            return match_options[i].option;
    return 0;
}

static bool is_zone(const char *name)
{
    struct attribute_path path;
    return !strcmp(name, "timezone") || (attribute_path_parse(name, &path) && path.depth == 1 &&
                                         path.tags[0] == TAG_TIMEZONE_OFFSET_FROM_UTC);
}

static bool set_option(struct search *search, const struct query_pair *pair, struct error *err)
{
    if (!strcmp(pair->value, "true"))
        search->options |= option_of(pair->name);
    else if (strcmp(pair->value, "false") != 0)
        return error_set(err, ERROR_INVALID, "%s must be true or false", pair->name);
    return true;
}

static bool set_zone(struct search *search, const struct query_pair *pair, struct error *err)
{
    if (search->zone.size)
        return error_set(err, ERROR_INVALID, "a time zone is given twice");
    buffer_append_text(&search->zone, pair->value);
    return buffer_check(&search->zone, "time zone", err);
}

/* First of all: keys are matched as all parameters together say. */
static bool add_options(struct search *search, const struct query_pair *pairs, size_t count,
                        struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if ((option_of(pairs[i].name) && !set_option(search, &pairs[i], err)) ||
            (is_zone(pairs[i].name) && !set_zone(search, &pairs[i], err)))
            return false;
    query_set_options(search->query, search->options);
    return !search->zone.size || query_set_zone(search->query, buffer_slice(&search->zone), err);
}

static bool add_parameter(struct search *search, const struct query_pair *pair, struct error *err)
{
    if (!strcmp(pair->name, "limit")) {
        uint64_t limit;
        if (!parse_number("limit", pair->value, &limit, err))
            return false;
        if (limit < search->limit)
            search->limit = limit;
        return true;
    }
    if (!strcmp(pair->name, "offset"))
        return parse_number("offset", pair->value, &search->offset, err);
    if (!strcmp(pair->name, "includefield"))
        return add_names(search, pair->value, add_include_field, err);
    if (!strcmp(pair->name, "orderby") || !strcmp(pair->name, "sort"))
        return add_names(search, pair->value, add_order, err);
    if (option_of(pair->name) || is_zone(pair->name) || !strcmp(pair->name, "accept") ||
        !strcmp(pair->name, "charset"))
        return true;
    return add_key(search, pair->name, pair->value, err);
}

static bool add_path_key(struct search *search, const char *uid, uint32_t tag, struct error *err)
{
    if (!*uid)
        return true;
    struct attribute_path *path = &search->keys[search->key_count++];
    path->tags[0] = tag;
    path->depth = 1;
    return query_add_key(search->query, &tag, 1, slice_text(uid), err);
}

static bool add_parameters(struct search *search, struct error *err)
{
    size_t count;
    const struct query_pair *pairs = request_query(search->request, &count);
    if (!add_options(search, pairs, count, err) ||
        !add_path_key(search, search->place.study, TAG_STUDY_INSTANCE_UID, err) ||
        !add_path_key(search, search->place.series, TAG_SERIES_INSTANCE_UID, err) ||
        !add_default_returns(search, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!add_parameter(search, &pairs[i], err))
            return false;
    if (search->include_all && search->include_some)
        return error_set(err, ERROR_INVALID, "includefield=all stands alone");
    return true;
}

/* Where the match can be retrieved (PS3.18 10.6.3.3). */
static void write_retrieve_url(struct search *search, const struct dataset *match,
                               struct buffer *url)
{
    char uid[UID_SIZE];
    dicomweb_base_url(search->dicomweb, search->request, url);
    if (dataset_uid(match, TAG_STUDY_INSTANCE_UID, uid))
        buffer_append_format(url, "/studies/%s", uid);
    if (search->level >= LEVEL_SERIES && dataset_uid(match, TAG_SERIES_INSTANCE_UID, uid))
        buffer_append_format(url, "/series/%s", uid);
    if (search->level >= LEVEL_INSTANCE && dataset_uid(match, TAG_SOP_INSTANCE_UID, uid))
        buffer_append_format(url, "/instances/%s", uid);
}

/* The attributes of a match with its URL among them, in order of the tags. */
static void encode_match(const struct dataset *match, const char *url, struct buffer *bytes)
{
    struct encoder encoder = { bytes, true };
    struct walk walk = dataset_walk(match);
    struct element element;
    bool written = false;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        /* A sequence counts as open while its own event is reported. */
        bool top = (event == WALK_ELEMENT && walk.depth == 0) ||
                   (event == WALK_SEQUENCE && walk.depth == 1);
        if (!top)
            continue;
        if (!written && element.tag > TAG_RETRIEVE_URL) {
            encode_text(&encoder, TAG_RETRIEVE_URL, VR_UR, url);
            written = true;
        }
        encode_copy(&encoder, match, element.tag);
    }
    if (!written)
        encode_text(&encoder, TAG_RETRIEVE_URL, VR_UR, url);
}

static bool write_match(struct search *search, const struct dataset *match, struct buffer *page,
                        struct error *err)
{
    const struct json_options options = { .bulk_data_prefix = NULL };
    struct buffer url = buffer_up_to(4096);
    struct buffer bytes = buffer_up_to(MAX_RESULT_BYTES);
    struct dataset *complete = NULL;
    write_retrieve_url(search, match, &url);
    encode_match(match, buffer_text(&url), &bytes);
    bool ok = buffer_check(&bytes, "a result", err) &&
              dataset_open(buffer_slice(&bytes), dataset_syntax(match), NULL, 0, &complete, err);
    if (ok && search->xml) {
        multipart_begin_part(&search->writer, "application/dicom+xml", buffer_text(&url), page);
        xml_write_dataset(complete, &options, page);
    } else if (ok) {
        json_write_dataset(complete, &options, page);
    }
    dataset_close(complete);
    buffer_release(&bytes);
    buffer_release(&url);
    return ok;
}

/* The whole page is made before the first byte goes out: the Warning field counts what is left. */
static bool write_page(struct search *search, struct buffer *page, uint64_t *count,
                       struct error *err)
{
    const struct dataset *match;
    query_set_page(search->query, search->offset, search->limit);
    query_combine_date_time(search->query);
    if (!search->xml)
        buffer_append_byte(page, '[');
    for (*count = 0; *count < search->limit; (*count)++) {
        if (!query_next(search->query, &match, err))
            return false;
        if (!match)
            break;
        search_watch_matched(&search->watch);
        if (*count && !search->xml)
            buffer_append_byte(page, ',');
        if (!write_match(search, match, page, err) || !buffer_check(page, "the result", err) ||
            !memory_share_cover(&search->share, page->size, err))
            return false;
    }
    if (search->xml)
        multipart_end(&search->writer, page);
    else
        buffer_append_byte(page, ']');
    return buffer_check(page, "the result", err);
}

static void add_warning(struct search *search, struct response *response, const char *text)
{
    struct buffer value = buffer_up_to(4096);
    buffer_append_format(&value, "299 %.200s: %s", request_base_url(search->request), text);
    response_header(response, "Warning", buffer_text(&value));
    buffer_release(&value);
}

/* The rest is counted up to a limit, so that a broad search costs no more than its page; and the
 * page stands when that takes too long. */
static bool add_counts(struct search *search, struct response *response, struct error *err)
{
    char text[80];
    uint64_t rest, total;
    bool known;
    if (!query_count_rest(search->query, COUNT_REST, &rest, err)) {
        if (err->code == ERROR_LIMIT)
            add_warning(search, response, "There may be additional results that can be requested");
        return err->code == ERROR_LIMIT;
    }
    if (!query_total(search->query, &total, &known, err))
        return false;
    if (known) {
        snprintf(text, sizeof(text), "%" PRIu64, total);
        response_header(response, "X-Total-Count", text);
    }
    if (rest && search->limit) {
        snprintf(text, sizeof(text),
                 "There are %" PRIu64 " additional results that can be requested", rest);
        add_warning(search, response, text);
    }
    return true;
}

static bool add_warnings(struct search *search, struct response *response, struct error *err)
{
    char text[MAX_WARNING + 40];
    if (!add_counts(search, response, err))
        return false;
    if (search->warning[0]) {
        snprintf(text, sizeof(text), "These parameters were ignored: %s", search->warning);
        add_warning(search, response, text);
    }
    return true;
}

static void answer_type(const struct search *search, struct response *response, const char *type)
{
    struct buffer text = buffer_up_to(256);
    if (search->xml)
        multipart_content_type(&search->writer, &text);
    else
        buffer_append_text(&text, type);
    response_content_type(response, buffer_text(&text));
    buffer_release(&text);
}

static void search_level(struct request *request, struct response *response, enum level level)
{
    static const struct offer offers[] = {
        { "application/dicom+json", NULL, NULL, false },
        { "application/json", NULL, NULL, false },
        { "multipart/related", "application/dicom+xml", NULL, false },
    };
    struct dicomweb *dicomweb = request_context(request);
    struct buffer page = buffer_up_to(MAX_RESULT_BYTES);
    struct error err = { 0 };
    uint64_t count = 0;
    struct path_uids place;
    size_t offer;
    if (!dicomweb_path_uids(request, response, &place) ||
        !dicomweb_choose(request, response, offers, sizeof(offers) / sizeof(offers[0]), &offer))
        return;
    struct search *search = mem_alloc(sizeof(*search));
    search->dicomweb = dicomweb;
    search->request = request;
    search->place = place;
    search->level = level;
    search->limit = dicomweb->query_limit;
    search->query = query_new(dicomweb->archive, level);
    search->watch = search_watch_begin(request, dicomweb->query_timeout_ms);
    query_set_watch(search->query, search_watch_look, &search->watch);
    search->zone = buffer_up_to(MAX_ZONE);
    search->share.budget = dicomweb->text_memory;
    search->xml = offers[offer].inner != NULL;
    if (search->xml)
        search->writer = multipart_writer_for(offers[offer].inner);
    if (!add_parameters(search, &err) || !write_page(search, &page, &count, &err) ||
        !add_warnings(search, response, &err)) {
        response_error(response, request, http_status_of(err.code), err.message);
    } else if (!count) {
        response_status(response, 204);
    } else {
        response_status(response, 200);
        answer_type(search, response, offers[offer].type);
        memory_share_answer_take(&search->share, &page, response);
    }
    query_close(search->query);
    memory_share_release(&search->share);
    buffer_release(&search->zone);
    free(search);
    buffer_release(&page);
}

void qido_studies(struct request *request, struct response *response)
{
    search_level(request, response, LEVEL_STUDY);
}

void qido_series(struct request *request, struct response *response)
{
    search_level(request, response, LEVEL_SERIES);
}

void qido_instances(struct request *request, struct response *response)
{
    search_level(request, response, LEVEL_INSTANCE);
}
