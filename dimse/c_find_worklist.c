/* SPDX-License-Identifier: MIT */
/* C-FIND as SCP of the Modality Worklist (PS3.4 annex K). */
#include "base/log.h"
#include "base/metrics.h"
#include "dicom/match.h"
#include "dimse/find_answer.h"
#include "dimse/identifier.h"
#include "dimse/identifier_keys.h"
#include "worklist/search.h"
#include "worklist/steps.h"

enum { KEY_LIMIT = 1 << 20 };

struct find {
    struct session *session;
    const struct message *request;
    struct identifier identifier;
    struct search *search;
    struct object step;
    struct find_answer answer;
    bool asks_for_status; /* by a key, so that steps out of the list are meant too */
};

static bool is_no_key(uint32_t tag)
{
    return (tag & 0xFFFF) == 0 || tag == TAG_SPECIFIC_CHARACTER_SET ||
           tag == TAG_TIMEZONE_OFFSET_FROM_UTC || tag == TAG_QUERY_RETRIEVE_LEVEL;
}

static bool is_status(const uint32_t *tags, size_t depth)
{
    return depth == 2 && tags[0] == TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE &&
           tags[1] == TAG_SCHEDULED_PROCEDURE_STEP_STATUS;
}

static bool add_key(void *context, const uint32_t *path, size_t depth,
                    const struct element *element, struct error *err)
{
    struct find *find = context;
    if (is_no_key(element->tag))
        return true;
    if (tag_is_private(element->tag) || !match_is_by_value(element->tag)) {
        find->answer.has_unsupported = true;
        return true;
    }
    struct buffer value = buffer_up_to(KEY_LIMIT);
    dataset_element_text(find->identifier.dataset, element, &value);
    if (is_status(path, depth) && value.size && !slice_equals_text(buffer_slice(&value), "*"))
        find->asks_for_status = true;
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

static bool next_match(void *context, const struct dataset **match, struct error *err)
{
    struct find *find = context;
    return search_next(find->search, find->session->worklist, &find->step, match, err);
}

static bool run(struct find *find, struct status *status, struct error *err)
{
    struct error refusal = { .code = ERROR_NONE };
    find->search = search_new(OBJECT_STEP);
    search_set_options(find->search,
                       find->request->context->extended[EXTENDED_FUZZY] ? MATCH_FUZZY_NAMES : 0);
    search_combine_date_time(find->search); /* always (PS3.4 K.5.1.2) */
    find_answer_init(&find->answer, find->session, find->request, find->identifier.dataset);
    search_set_watch(find->search, find_answer_watch, &find->answer);
    if (!add_keys(find, &refusal)) {
        *status = status_from_error(SERVICE_FIND, &refusal);
        return true;
    }
    /* The list is what was not started: the rest is there for who asks for a state. */
    if (!find->asks_for_status)
        search_set_shelf(find->search, OBJECT_LIVE);
    return find_answer_send_all(&find->answer, next_match, find, status, err);
}

bool c_find_worklist(struct session *session, struct message *request, struct error *err)
{
    struct find find = { .session = session, .request = request, .step = object_init() };
    struct error refusal = { .code = ERROR_NONE };
    struct status status;
    bool ok = false;
    session->queries++;
    metric_add(METRIC_WORKLIST_QUERIES, 1);
    if (identifier_receive_keys(request, &find.identifier, &refusal, err)) {
        ok = run(&find, &status, err);
    } else if (!association_has_ended(session->association)) {
        status = status_from_error(SERVICE_FIND, &refusal);
        ok = true;
    }
    log_debug("dimse: worklist calling_ae=\"%s\" matches=%llu ok=%d",
              association_calling_ae(session->association), (unsigned long long)find.answer.count,
              ok);
    if (ok && status.code != STATUS_SUCCESS && status.code != STATUS_CANCELLED)
        session_note_refusal(session, request, &status);
    search_free(find.search);
    object_release(&find.step);
    find_answer_release(&find.answer);
    identifier_release(&find.identifier);
    return ok && message_respond(request, &status, err);
}
