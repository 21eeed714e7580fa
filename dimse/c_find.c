/* SPDX-License-Identifier: MIT */
/* C-FIND as SCP of the Query/Retrieve models (PS3.4 C.4.1). */
#include "archive/query.h"
#include "base/log.h"
#include "dimse/find_answer.h"
#include "dimse/identifier.h"
#include "dimse/identifier_keys.h"

enum {
    KEY_LIMIT = 4 << 20,
    CHARSET_LIMIT = 1 << 10, /* text of (0008,0005) or (0008,0201) */
    TAG_QUERY_RETRIEVE_VIEW = 0x00080053,
};

struct find {
    struct session *session;
    const struct message *request;
    struct identifier identifier;
    struct query *query;
    struct find_answer answer;
};

/* Attributes of the identifier that are no keys, or only ask to be returned (PS3.4 C.4.1.1.3). */
static bool is_no_key(uint32_t tag)
{
    return (tag & 0xFFFF) == 0 || tag == TAG_SPECIFIC_CHARACTER_SET ||
           tag == TAG_QUERY_RETRIEVE_LEVEL || tag == TAG_TIMEZONE_OFFSET_FROM_UTC ||
           tag == TAG_RETRIEVE_AE_TITLE || tag == TAG_QUERY_RETRIEVE_VIEW;
}

static bool add_return(struct find *find, uint32_t tag, struct error *err)
{
    if (query_supports(find->identifier.level, &tag, 1))
        return query_add_return(find->query, tag, err);
    find->answer.has_unsupported = true;
    return true;
}

static bool add_key(void *context, const uint32_t *path, size_t depth,
                    const struct element *element, struct error *err)
{
    struct find *find = context;
    if (is_no_key(element->tag))
        return true;
    if (depth == 1 && (element->tag == TAG_INSTANCE_AVAILABILITY || element->vr == VR_SQ))
        return add_return(find, element->tag, err);
    if (!query_supports(find->identifier.level, path, depth)) {
        find->answer.has_unsupported = true;
        return true;
    }
    struct buffer value = buffer_up_to(KEY_LIMIT);
    dataset_element_text(find->identifier.dataset, element, &value);
    bool ok = buffer_check(&value, "key", err) &&
              query_add_key(find->query, path, depth, buffer_slice(&value), err);
    buffer_release(&value);
    return ok;
}

static bool add_sequence(void *context, const uint32_t *path, size_t depth, bool *is_key,
                         struct error *err)
{
    *is_key = false; /* the sequence around it is returned whole, and this one with it */
    return depth > 1 || add_return(context, path[0], err);
}

static bool add_keys(struct find *find, struct error *err)
{
    const struct key_visitor visitor = { find, QUERY_MAX_DEPTH, add_key, add_sequence };
    return identifier_keys(find->identifier.dataset, &visitor, err) &&
           query_add_return(find->query, TAG_RETRIEVE_AE_TITLE, err);
}

/* What was agreed for this context (PS3.4 C.5.1.1). */
static void set_options(struct find *find)
{
    const uint8_t *agreed = find->request->context->extended;
    unsigned options = (agreed[EXTENDED_FUZZY] ? MATCH_FUZZY_NAMES : 0) |
                       (agreed[EXTENDED_EMPTY_VALUE] ? MATCH_EMPTY_VALUE : 0) |
                       (agreed[EXTENDED_MULTIPLE_VALUES] ? MATCH_MULTIPLE_VALUES : 0);
    query_set_options(find->query, options);
    if (agreed[EXTENDED_DATE_TIME])
        query_combine_date_time(find->query);
}

/* Where it is agreed, dates and times of the identifier are those of the zone that it names (PS3.4
 * C.4.1.1.3.1). */
static bool set_zone(struct find *find, struct error *err)
{
    struct buffer offset = buffer_up_to(CHARSET_LIMIT);
    bool ok = true;
    if (find->request->context->extended[EXTENDED_TIMEZONE] &&
        dataset_text(find->identifier.dataset, TAG_TIMEZONE_OFFSET_FROM_UTC, &offset))
        ok = query_set_zone(find->query, buffer_slice(&offset), err) &&
             query_add_return(find->query, TAG_TIMEZONE_OFFSET_FROM_UTC, err);
    buffer_release(&offset);
    return ok;
}

static bool next_match(void *context, const struct dataset **match, struct error *err)
{
    struct find *find = context;
    return query_next(find->query, match, err);
}

static bool run(struct find *find, struct status *status, struct error *err)
{
    struct error refusal = { .code = ERROR_NONE };
    find->query = query_new(find->session->archive, find->identifier.level);
    set_options(find);
    find_answer_init(&find->answer, find->session, find->request, find->identifier.dataset);
    find->answer.level = identifier_level_name(find->identifier.level);
    query_set_watch(find->query, find_answer_watch, &find->answer);
    if (set_zone(find, &refusal) && add_keys(find, &refusal))
        return find_answer_send_all(&find->answer, next_match, find, status, err);
    *status = status_from_error(SERVICE_FIND, &refusal);
    return true;
}

bool c_find(struct session *session, struct message *request, struct error *err)
{
    struct find find = { .session = session, .request = request };
    struct error refusal = { .code = ERROR_NONE };
    struct status status;
    bool ok = false;
    session->queries++;
    if (identifier_receive(request, &find.identifier, &refusal, err)) {
        ok = run(&find, &status, err);
    } else if (!association_has_ended(session->association)) {
        status = status_from_error(SERVICE_FIND, &refusal);
        ok = true;
    }
    log_debug("dimse: query calling_ae=\"%s\" matches=%llu ok=%d",
              association_calling_ae(session->association), (unsigned long long)find.answer.count,
              ok);
    if (ok && status.code != STATUS_SUCCESS && status.code != STATUS_CANCELLED)
        session_note_refusal(session, request, &status);
    query_close(find.query);
    find_answer_release(&find.answer);
    identifier_release(&find.identifier);
    return ok && message_respond(request, &status, err);
}
