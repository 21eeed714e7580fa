/* SPDX-License-Identifier: MIT */
/* Modality performed procedure steps over HTTP (PS3.18 15): one store and one set of rules with
 * N-CREATE, N-SET and N-GET. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "dicomweb/attribute_path.h"
#include "dicomweb/dataset_body.h"
#include "dicomweb/object_answer.h"
#include "dicomweb/workitems.h"
#include "worklist/performed.h"

enum { INCLUDES_MAX = 1000 };

/* What keeps the server from creating or updating is 503, be it for a moment or for good (tables
 * 15.4.3-1 and 15.5.3-1). */
static void fail(struct request *request, struct response *response, const struct error *err)
{
    bool is_unable = err->code == ERROR_IO || err->code == ERROR_NO_SPACE ||
                     err->code == ERROR_TIMEOUT;
    response_error(response, request, is_unable ? 503 : http_status_of(err->code), err->message);
}

static const char *uid_of_path(struct request *request, struct response *response)
{
    const char *uid = request_parameter(request, "mpps");
    if (!workitems_are_there(request, response))
        return NULL;
    if (uid_is_safe(slice_text(uid)))
        return uid;
    response_error(response, request, 400, "the UID in the path is no UID");
    return NULL;
}

static void answer_absent(struct request *request, struct response *response,
                          enum performed_state state)
{
    if (state == PERFORMED_GONE)
        response_error(response, request, 410, "the performed step has been deleted");
    else
        response_error(response, request, 404, "there is no such performed step");
}

/* --- POST, with or without "update" (PS3.18 15.4, 15.5) ------------------------------------- */

/* What is wrong with a request by itself is 400; what is wrong beside what is here, 409. */
static int status_of(const struct performed_outcome *outcome, bool is_update)
{
    switch ((enum performed_code)outcome->code) {
    case PERFORMED_DUPLICATE:
    case PERFORMED_NO_SUCH_ATTRIBUTE:
        return 409;
    case PERFORMED_ATTRIBUTE_MISSING:
    case PERFORMED_VALUE_MISSING:
        return is_update ? 409 : 400;
    case PERFORMED_FAILURE:
        return outcome->error_id == PERFORMED_FINAL ? 409 : 413;
    default:
        return 400;
    }
}

static void refuse(struct request *request, struct response *response,
                   const struct performed_outcome *outcome, bool is_update)
{
    struct buffer text = buffer_up_to(1024);
    buffer_append_text(&text, outcome->why);
    for (size_t i = 0; i < outcome->tag_count; i++)
        buffer_append_format(&text, "%s(%04X,%04X)", i ? ", " : ": ", outcome->tags[i] >> 16,
                             outcome->tags[i] & 0xFFFF);
    response_error(response, request, status_of(outcome, is_update), buffer_text(&text));
    workitems_warn(request, response, buffer_text(&text));
    buffer_release(&text);
}

/* The data set of a new step may name it, as the path does. */
static bool names_another(const struct dataset *dataset, const char *uid)
{
    char own[UID_SIZE];
    struct element element;
    return dataset_find(dataset, TAG_SOP_INSTANCE_UID, &element) && element.value.size &&
           (!dataset_uid(dataset, TAG_SOP_INSTANCE_UID, own) || strcmp(own, uid) != 0);
}

static void create(struct request *request, struct response *response, const char *uid,
                   const struct dataset *dataset)
{
    struct dicomweb *dicomweb = request_context(request);
    struct performed_outcome outcome;
    struct error err;
    if (names_another(dataset, uid)) {
        response_error(response, request, 400, "the data set is of another UID than the path");
        return;
    }
    if (!performed_create(dicomweb->worklist, dataset, uid, &outcome, &err)) {
        fail(request, response, &err);
        return;
    }
    if (outcome.code != PERFORMED_OK) {
        refuse(request, response, &outcome, false);
        return;
    }
    log_info("dicomweb: performed step begun instance=%s steps=%zu", uid, outcome.steps);
    struct buffer url = buffer_up_to(4096);
    dicomweb_base_url(dicomweb, request, &url);
    buffer_append_format(&url, "/modality-performed-procedure-steps/%s", uid);
    response_status(response, 201);
    response_header(response, "Location", buffer_text(&url));
    buffer_release(&url);
}

static void update(struct request *request, struct response *response, const char *uid,
                   const struct dataset *changes)
{
    struct dicomweb *dicomweb = request_context(request);
    struct performed_outcome outcome;
    struct object performed = object_init();
    enum performed_state state = PERFORMED_NONE;
    struct error err;
    bool ok = performed_set(dicomweb->worklist, uid, changes, &outcome, &err);
    if (ok && outcome.code == PERFORMED_UNKNOWN)
        ok = performed_get(dicomweb->worklist, uid, &performed, &state, &err);
    if (!ok)
        fail(request, response, &err);
    else if (outcome.code == PERFORMED_UNKNOWN)
        answer_absent(request, response, state);
    else if (outcome.code != PERFORMED_OK)
        refuse(request, response, &outcome, true);
    else
        response_status(response, 200);
    object_release(&performed);
}

/* The parameter tells an update from a creation, so a value that is none is not passed over. */
static bool is_told_to_update(struct request *request, struct response *response, bool *is_update)
{
    const char *value = request_query_value(request, "update");
    *is_update = value != NULL;
    if (!value || !value[0] || strcmp(value, "true") == 0)
        return true;
    response_error(response, request, 400, "update stands without a value");
    return false;
}

void performed_steps_post(struct request *request, struct response *response)
{
    const struct dataset *dataset;
    bool is_update;
    struct error err;
    const char *uid = uid_of_path(request, response);
    if (!uid || !is_told_to_update(request, response, &is_update))
        return;
    if (!dataset_body_read(request, &dataset, &err))
        fail(request, response, &err);
    else if (!dataset)
        response_error(response, request, 400, "the request has no data set");
    else if (is_update)
        update(request, response, uid, dataset);
    else
        create(request, response, uid, dataset);
}

/* --- GET (PS3.18 15.6) ---------------------------------------------------------------------- */

/* The attributes of the top level that are wanted. */
struct includes {
    uint32_t tags[2 * INCLUDES_MAX]; /* of private ones the creators, too */
    size_t count;
    size_t names;
    bool all;
    bool has_ignored; /* names that are no attributes */
};

static bool add_include(struct includes *includes, const char *name, struct error *err)
{
    struct attribute_path path;
    if (includes->names++ == INCLUDES_MAX)
        return error_set(err, ERROR_INVALID, "more than %d include fields", INCLUDES_MAX);
    if (strcmp(name, "all") == 0) {
        includes->all = true;
    } else if (!attribute_path_parse(name, &path)) {
        includes->has_ignored = true;
    } else {
        uint32_t tag = path.tags[0];
        includes->tags[includes->count++] = tag;
        if (tag_is_private(tag) && (tag & 0xFF00))
            includes->tags[includes->count++] = (tag & 0xFFFF0000) | ((tag & 0xFF00) >> 8);
    }
    return true;
}

static bool add_includes(struct includes *includes, const char *value, struct error *err)
{
    bool ok = true;
    char *copy = mem_copy_text(value);
    char *rest = copy;
    for (char *name; ok && (name = strsep(&rest, ","));)
        if (*name)
            ok = add_include(includes, name, err);
    free(copy);
    return ok;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Ascending, each once. */
static void sort(struct includes *includes)
{
    size_t count = 0;
    qsort(includes->tags, includes->count, sizeof(includes->tags[0]), compare);
    for (size_t i = 0; i < includes->count; i++)
        if (!count || includes->tags[count - 1] != includes->tags[i])
            includes->tags[count++] = includes->tags[i];
    includes->count = count;
}

static bool read_includes(struct request *request, struct includes *includes, struct error *err)
{
    size_t count;
    const struct query_pair *pairs = request_query(request, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(pairs[i].name, "includefield") == 0 &&
            !add_includes(includes, pairs[i].value, err))
            return false;
    if (includes->all && includes->names > 1)
        return error_set(err, ERROR_INVALID, "includefield=all stands alone");
    sort(includes);
    return true;
}

static void answer_step(struct request *request, struct response *response, const char *uid,
                        const struct includes *includes, const char *type)
{
    const struct dicomweb *dicomweb = request_context(request);
    struct object performed = object_init();
    enum performed_state state;
    struct error err;
    bool is_chosen = includes->names && !includes->all;
    if (!performed_get(dicomweb->worklist, uid, &performed, &state, &err)) {
        fail(request, response, &err);
    } else if (state == PERFORMED_NONE || state == PERFORMED_GONE) {
        answer_absent(request, response, state);
    } else {
        object_answer(request, response, &performed, type, is_chosen ? includes->tags : NULL,
                      includes->count);
        if (includes->has_ignored)
            workitems_warn(request, response, "Include fields that are no attributes were ignored");
    }
    object_release(&performed);
}

void performed_steps_get(struct request *request, struct response *response)
{
    struct includes includes = { .count = 0 };
    struct error err;
    const char *type;
    const char *uid = uid_of_path(request, response);
    if (!uid || !object_answer_choose(request, response, &type))
        return;
    if (read_includes(request, &includes, &err))
        answer_step(request, response, uid, &includes, type);
    else
        fail(request, response, &err);
}
