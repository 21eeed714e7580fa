/* SPDX-License-Identifier: MIT */
#include "dimse/find_objects.h"

#include "base/log.h"
#include "dicom/match.h"
#include "dimse/find_answer.h"
#include "dimse/identifier.h"
#include "dimse/identifier_keys.h"

enum { KEY_LIMIT = 1 << 20, ZONE_LIMIT = 1 << 10 };

struct find {
    struct session *session;
    const struct message *request;
    const struct object_model *model;
    struct identifier identifier;
    struct search *search;
    struct object object;
    struct find_answer answer;
    bool asks_for_state; /* by a key, so that what is done is meant too */
};

static bool is_no_key(const struct find *find, uint32_t tag)
{
    return (tag & 0xFFFF) == 0 || tag == TAG_SPECIFIC_CHARACTER_SET ||
           tag == TAG_TIMEZONE_OFFSET_FROM_UTC || tag == TAG_QUERY_RETRIEVE_LEVEL ||
           tag == find->model->hidden;
}

static bool is_state(const struct find *find, const uint32_t *tags, size_t depth)
{
    const uint32_t *state = find->model->state_key;
    return state && depth == 2 && tags[0] == state[0] && tags[1] == state[1];
}

static bool add_key(void *context, const uint32_t *path, size_t depth,
                    const struct element *element, struct error *err)
{
    struct find *find = context;
    if (is_no_key(find, element->tag))
        return true;
    if (tag_is_private(element->tag) || !match_is_by_value(element->tag)) {
        find->answer.has_unsupported = true;
        return true;
    }
    struct buffer value = buffer_up_to(KEY_LIMIT);
    dataset_element_text(find->identifier.dataset, element, &value);
    if (is_state(find, path, depth) && value.size && !slice_equals_text(buffer_slice(&value), "*"))
        find->asks_for_state = true;
    bool ok = buffer_check(&value, "key", err) &&
              search_add_key(find->search, path, depth, buffer_slice(&value), err);
    buffer_release(&value);
    return ok;
}

/* All of it is returned. */
static bool add_sequence(void *context, const uint32_t *path, size_t depth, bool *is_key,
                         struct error *err)
{
    struct find *find = context;
    *is_key = true;
    if (!tag_is_private(path[depth - 1]))
        return search_add_key(find->search, path, depth, slice_of(NULL, 0), err);
    find->answer.has_unsupported = true;
    return true;
}

static bool add_keys(struct find *find, struct error *err)
{
    const struct key_visitor visitor = { find, SEARCH_DEPTH, add_key, add_sequence };
    return identifier_keys(find->identifier.dataset, &visitor, err);
}

/* As of C-FIND of studies: PS3.4 C.4.1.1.3.1. */
static bool set_zone(struct find *find, struct error *err)
{
    struct buffer offset = buffer_up_to(ZONE_LIMIT);
    bool ok = true;
    if (find->request->context->extended[EXTENDED_TIMEZONE] &&
        dataset_text(find->identifier.dataset, TAG_TIMEZONE_OFFSET_FROM_UTC, &offset))
        ok = search_set_zone(find->search, buffer_slice(&offset), err) &&
             search_add_return(find->search, TAG_TIMEZONE_OFFSET_FROM_UTC, err);
    buffer_release(&offset);
    return ok;
}

static bool next_match(void *context, const struct dataset **match, struct error *err)
{
    struct find *find = context;
    return search_next(find->search, find->session->worklist, &find->object, match, err);
}

static bool run(struct find *find, struct status *status, struct error *err)
{
    const struct object_model *model = find->model;
    struct error refusal = { .code = ERROR_NONE };
    find->search = search_new(model->kind);
    search_set_options(find->search,
                       find->request->context->extended[EXTENDED_FUZZY] ? MATCH_FUZZY_NAMES : 0);
    if (model->combines_date_time)
        search_combine_date_time(find->search);
    find_answer_init(&find->answer, find->session, find->request, find->identifier.dataset);
    search_set_watch(find->search, find_answer_watch, &find->answer);
    if (!set_zone(find, &refusal) || !add_keys(find, &refusal)) {
        *status = status_from_error(SERVICE_FIND, &refusal);
        return true;
    }
    if (model->state_key && !find->asks_for_state)
        search_set_shelf(find->search, OBJECT_LIVE);
    return find_answer_send_all(&find->answer, next_match, find, status, err);
}

bool find_objects(struct session *session, struct message *request,
                  const struct object_model *model, struct error *err)
{
    struct find find = {
        .session = session, .request = request, .model = model, .object = object_init()
    };
    struct error refusal = { .code = ERROR_NONE };
    struct status status;
    bool ok = false;
    session->queries++;
    if (identifier_receive_keys(request, &find.identifier, &refusal, err)) {
        ok = run(&find, &status, err);
    } else if (!association_has_ended(session->association)) {
        status = status_from_error(SERVICE_FIND, &refusal);
        ok = true;
    }
    log_debug("dimse: worklist kind=%c calling_ae=\"%s\" matches=%llu ok=%d", (char)model->kind,
              association_calling_ae(session->association), (unsigned long long)find.answer.count,
              ok);
    if (ok && status.code != STATUS_SUCCESS && status.code != STATUS_CANCELLED)
        session_note_refusal(session, request, &status);
    search_free(find.search);
    object_release(&find.object);
    find_answer_release(&find.answer);
    identifier_release(&find.identifier);
    return ok && message_respond(request, &status, err);
}
