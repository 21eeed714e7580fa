/* SPDX-License-Identifier: MIT */
/* C-FIND as SCP of the Modality Worklist (PS3.4 annex K). */
#include "base/log.h"
#include "base/metrics.h"
#include "dicom/match.h"
#include "dimse/find_answer.h"
#include "dimse/identifier.h"
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

/* Where the walk through the identifier stands. */
struct key_path {
    uint32_t tags[SEARCH_DEPTH];
    bool has_item[SEARCH_DEPTH]; /* each open sequence: it has had an item, */
    bool has_key[SEARCH_DEPTH];  /* and a key */
    size_t depth;
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

static bool add_key(struct find *find, struct key_path *path, const struct element *element,
                    struct error *err)
{
    uint32_t tags[SEARCH_DEPTH];
    struct buffer value = buffer_up_to(KEY_LIMIT);
    if (path->depth)
        path->has_key[path->depth - 1] = true;
    if (is_no_key(element->tag))
        return true;
    if (tag_is_private(element->tag) || !match_is_by_value(element->tag)) {
        find->answer.has_unsupported = true;
        return true;
    }
    memcpy(tags, path->tags, path->depth * sizeof(tags[0]));
    tags[path->depth] = element->tag;
    dataset_element_text(find->identifier.dataset, element, &value);
    if (is_status(tags, path->depth + 1) && value.size &&
        !slice_equals_text(buffer_slice(&value), "*"))
        find->asks_for_status = true;
    bool ok = buffer_check(&value, "key", err) &&
              search_add_key(find->search, tags, path->depth + 1, buffer_slice(&value), err);
    buffer_release(&value);
    return ok;
}

static bool open_sequence(struct key_path *path, uint32_t tag, struct error *err)
{
    /* The last place is for the attribute in the innermost item. */
    if (path->depth == SEARCH_DEPTH - 1)
        return error_set_tag(err, ERROR_MISMATCH, tag, "sequence keys nested too deep");
    path->tags[path->depth] = tag;
    path->has_item[path->depth] = false;
    path->has_key[path->depth] = false;
    path->depth++;
    return true;
}

/* Without keys in it a sequence is universal: all of it is returned (PS3.4 C.2.2.2.6). */
static bool close_sequence(struct find *find, struct key_path *path, struct error *err)
{
    path->depth--;
    if (path->depth)
        path->has_key[path->depth - 1] = true;
    if (path->has_key[path->depth])
        return true;
    if (tag_is_private(path->tags[path->depth])) {
        find->answer.has_unsupported = true;
        return true;
    }
    return search_add_key(find->search, path->tags, path->depth + 1, slice_of(NULL, 0), err);
}

static bool open_item(struct key_path *path, struct error *err)
{
    bool *has_item = &path->has_item[path->depth - 1];
    if (*has_item)
        return error_set_tag(err, ERROR_MISMATCH, path->tags[path->depth - 1],
                             "sequence key with more than one item");
    *has_item = true;
    return true;
}

static bool add_keys(struct find *find, struct error *err)
{
    struct walk walk = dataset_walk(find->identifier.dataset);
    struct key_path path = { .depth = 0 };
    struct element element;
    for (bool ok = true; ok;) {
        switch (walk_next(&walk, &element)) {
        case WALK_END:
            return !walk.broken || error_set(err, ERROR_MISMATCH, "the identifier is broken");
        case WALK_ELEMENT:
            ok = add_key(find, &path, &element, err);
            break;
        case WALK_SEQUENCE:
            ok = open_sequence(&path, element.tag, err);
            break;
        case WALK_SEQUENCE_END:
            ok = close_sequence(find, &path, err);
            break;
        case WALK_ITEM:
            ok = open_item(&path, err);
            break;
        case WALK_ITEM_END:
            break;
        }
    }
    return false;
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
