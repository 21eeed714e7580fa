/* SPDX-License-Identifier: MIT */
/* UPS-RS: work items made, read, changed and cancelled (PS3.18 11.4 to 11.8). */
#include "dicomweb/workitems.h"

#include <string.h>

#include "base/log.h"
#include "dicomweb/dataset_body.h"
#include "dicomweb/object_answer.h"

void workitems_warn(struct request *request, struct response *response, const char *text)
{
    struct buffer value = buffer_up_to(1024);
    buffer_append_format(&value, "299 %.200s: %s.", request_base_url(request), text);
    response_header(response, "Warning", buffer_text(&value));
    buffer_release(&value);
}

bool workitems_are_there(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    if (dicomweb->worklist)
        return true;
    response_error(response, request, 404, "there is no worklist here");
    return false;
}

const char *workitems_uid(struct request *request, struct response *response)
{
    const char *uid = request_parameter(request, "workitem");
    if (uid_is_safe(slice_text(uid)))
        return uid;
    response_error(response, request, 400, "the UID in the path is no UID");
    return NULL;
}

void workitems_fail(struct request *request, struct response *response, const struct error *err)
{
    response_error(response, request, http_status_of(err->code), err->message);
}

void workitems_absent(struct request *request, struct response *response, const char *uid)
{
    struct dicomweb *dicomweb = request_context(request);
    struct object object = object_init();
    enum workitem_state state;
    struct error err;
    if (!workitem_get(dicomweb->worklist, uid, &object, &state, &err))
        workitems_fail(request, response, &err);
    else if (state == WORKITEM_GONE)
        response_error(response, request, 410, "the work item has been deleted");
    else
        response_error(response, request, 404, "there is no such work item");
    object_release(&object);
}

/* Which attributes a code is about, behind its text. */
static void describe(const struct workitem_outcome *outcome, struct buffer *text)
{
    buffer_append_text(text, workitem_code_text(outcome->code));
    for (size_t i = 0; i < outcome->tag_count; i++)
        buffer_append_format(text, "%s(%04X,%04X)", i ? ", " : ": ", outcome->tags[i] >> 16,
                             outcome->tags[i] & 0xFFFF);
}

static void refuse(struct request *request, struct response *response, int status,
                   const struct workitem_outcome *outcome, const char *warning)
{
    struct buffer text = buffer_up_to(1024);
    if (outcome->code == WORKITEM_UNKNOWN) {
        workitems_absent(request, response, outcome->uid);
        return;
    }
    describe(outcome, &text);
    response_error(response, request, status, buffer_text(&text));
    workitems_warn(request, response, warning ? warning : buffer_text(&text));
    buffer_release(&text);
}

/* --- POST /workitems (PS3.18 11.4) --------------------------------------------------------- */

/* The UID stands in the query by itself, or as the value of a parameter as of 2018. */
static bool wanted_uid(struct request *request, struct response *response, const char **uid)
{
    size_t count;
    const struct query_pair *pairs = request_query(request, &count);
    *uid = "";
    for (size_t i = 0; i < count; i++) {
        bool is_named = strcmp(pairs[i].name, "AffectedSOPInstanceUID") == 0 ||
                        strcmp(pairs[i].name, "workitem") == 0;
        const char *given = is_named ? pairs[i].value : pairs[i].value[0] ? "" : pairs[i].name;
        if (!is_named && pairs[i].value[0])
            continue;
        if (**uid || !uid_is_safe(slice_text(given))) {
            response_error(response, request, 400, "the query is not one UID");
            return false;
        }
        *uid = given;
    }
    return true;
}

static void answer_created(struct request *request, struct response *response,
                           const struct workitem_outcome *outcome)
{
    const struct dicomweb *dicomweb = request_context(request);
    struct buffer url = buffer_up_to(4096);
    dicomweb_base_url(dicomweb, request, &url);
    buffer_append_format(&url, "/workitems/%s", outcome->uid);
    response_status(response, 201);
    response_header(response, "Location", buffer_text(&url));
    response_header(response, "Content-Location", buffer_text(&url));
    if (outcome->code == WORKITEM_CREATED_MODIFIED)
        workitems_warn(request, response, "The Workitem was created with modifications");
    buffer_release(&url);
}

void workitems_create(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct workitem_outcome outcome;
    const struct dataset *dataset;
    const char *uid;
    char own[UID_SIZE] = "";
    struct error err;
    if (!workitems_are_there(request, response) || !wanted_uid(request, response, &uid))
        return;
    if (!dataset_body_read(request, &dataset, &err)) {
        workitems_fail(request, response, &err);
        return;
    }
    if (!dataset) {
        response_error(response, request, 400, "the request has no data set");
        return;
    }
    if (!uid[0] && dataset_uid(dataset, TAG_SOP_INSTANCE_UID, own))
        uid = own;
    if (!workitem_create(dicomweb->worklist, dataset, uid, &outcome, &err)) {
        workitems_fail(request, response, &err);
    } else if (workitem_code_is_failure(outcome.code)) {
        refuse(request, response, outcome.code == WORKITEM_DUPLICATE ? 409 : 400, &outcome, NULL);
    } else {
        log_info("dicomweb: work item created instance=%s status=%04X", outcome.uid, outcome.code);
        answer_created(request, response, &outcome);
    }
}

/* --- GET /workitems/{workitem} (PS3.18 11.5) ----------------------------------------------- */

void workitems_get(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct object object = object_init();
    enum workitem_state state;
    struct error err;
    const char *type;
    if (!workitems_are_there(request, response))
        return;
    const char *uid = workitems_uid(request, response);
    if (!uid || !object_answer_choose(request, response, &type))
        return;
    if (!workitem_get(dicomweb->worklist, uid, &object, &state, &err))
        workitems_fail(request, response, &err);
    else if (state == WORKITEM_NONE || state == WORKITEM_GONE)
        workitems_absent(request, response, uid);
    else
        object_answer(request, response, &object, type, NULL, 0);
    object_release(&object);
}

/* --- POST /workitems/{workitem} (PS3.18 11.6) ---------------------------------------------- */

/* The first parameter, by itself or as a value. NULL: there is none. */
static const char *given_transaction(struct request *request)
{
    size_t count;
    const struct query_pair *pairs = request_query(request, &count);
    for (size_t i = 0; i < count; i++) {
        if (!pairs[i].value[0] && uid_is_safe(slice_text(pairs[i].name)))
            return pairs[i].name;
        if ((!strcmp(pairs[i].name, "transaction") || !strcmp(pairs[i].name, "transaction-uid")) &&
            uid_is_safe(slice_text(pairs[i].value)))
            return pairs[i].value;
    }
    return NULL;
}

/* Table 11.6.3-2. */
static const char *text_of_lock(const char *transaction)
{
    return transaction && transaction[0] ? "The Transaction UID is incorrect"
                                         : "The Transaction UID is missing";
}

void workitems_update(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct workitem_outcome outcome;
    const struct dataset *changes;
    char inside[UID_SIZE] = "";
    struct error err;
    if (!workitems_are_there(request, response))
        return;
    const char *uid = workitems_uid(request, response);
    const char *transaction = given_transaction(request);
    if (!uid)
        return;
    if (!dataset_body_read(request, &changes, &err)) {
        workitems_fail(request, response, &err);
        return;
    }
    if (!changes) {
        response_error(response, request, 400, "the request has no data set");
        return;
    }
    if (!transaction && dataset_uid(changes, TAG_TRANSACTION_UID, inside))
        transaction = inside;
    if (!workitem_set(dicomweb->worklist, uid, changes, transaction, &outcome, &err)) {
        workitems_fail(request, response, &err);
    } else if (workitem_code_is_failure(outcome.code)) {
        const char *warning = outcome.code == WORKITEM_WRONG_LOCK ? text_of_lock(transaction)
                              : outcome.code == WORKITEM_FINAL
                                  ? "The submitted request is inconsistent with the current state "
                                    "of the Workitem"
                                  : NULL;
        refuse(request, response, 400, &outcome, warning);
    } else {
        response_status(response, 200);
        if (outcome.code == WORKITEM_COERCED)
            workitems_warn(request, response, "The Workitem was updated with modifications");
        else if (outcome.code == WORKITEM_ATTRIBUTES_IGNORED)
            workitems_warn(request, response, workitem_code_text(outcome.code));
    }
}

/* --- PUT /workitems/{workitem}/state (PS3.18 11.7) ----------------------------------------- */

/* A claim with a UID of its own that comes too late clashes with the state, all else without the
 * right UID is a bad request. */
static int status_of_state(uint16_t code, enum workitem_state wanted, const char *transaction)
{
    if (code == WORKITEM_WRONG_LOCK)
        return wanted == WORKITEM_IN_PROGRESS && transaction[0] ? 409 : 400;
    return 409;
}

static void answer_state(struct request *request, struct response *response,
                         const struct workitem_outcome *outcome, enum workitem_state wanted,
                         const char *transaction)
{
    if (workitem_code_is_failure(outcome->code)) {
        int status = status_of_state(outcome->code, wanted, transaction);
        const char *warning = outcome->code == WORKITEM_WRONG_LOCK ? text_of_lock(transaction)
                              : outcome->code == WORKITEM_NOT_READY
                                  ? "The submitted request is inconsistent with the current state "
                                    "of the Workitem"
                                  : NULL;
        refuse(request, response, status, outcome, warning);
        return;
    }
    response_status(response, 200);
    if (outcome->code != WORKITEM_OK)
        workitems_warn(request, response, workitem_code_text(outcome->code));
}

void workitems_change_state(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct workitem_outcome outcome;
    const struct dataset *dataset;
    char name[17] = "";
    char transaction[UID_SIZE] = "";
    enum workitem_state state;
    struct error err;
    if (!workitems_are_there(request, response))
        return;
    const char *uid = workitems_uid(request, response);
    if (!uid)
        return;
    if (!dataset_body_read(request, &dataset, &err)) {
        workitems_fail(request, response, &err);
        return;
    }
    if (dataset) {
        dataset_string(dataset, TAG_PROCEDURE_STEP_STATE, name, sizeof(name));
        dataset_uid(dataset, TAG_TRANSACTION_UID, transaction);
    }
    if (!workitem_state_find(slice_text(name), &state)) {
        response_error(response, request, 400, "(0074,1000) is missing or no state");
        return;
    }
    if (!workitem_change_state(dicomweb->worklist, uid, state, transaction, "", &outcome, &err)) {
        workitems_fail(request, response, &err);
        return;
    }
    log_info("dicomweb: work item asked to become state=\"%s\" instance=%s status=%04X",
             workitem_state_text(state), uid, outcome.code);
    answer_state(request, response, &outcome, state, transaction);
}

/* --- POST /workitems/{workitem}/cancelrequest (PS3.18 11.8) -------------------------------- */

void workitems_request_cancel(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct workitem_outcome outcome;
    const struct dataset *reasons;
    struct error err;
    if (!workitems_are_there(request, response))
        return;
    const char *uid = workitems_uid(request, response);
    if (!uid)
        return;
    if (!dataset_body_read(request, &reasons, &err) ||
        !workitem_request_cancel(dicomweb->worklist, uid, reasons, "", &outcome, &err)) {
        workitems_fail(request, response, &err);
        return;
    }
    /* Accepted is no promise: that nobody hears of it is said beside. */
    bool is_unheard = outcome.code == WORKITEM_PERFORMER_UNREACHABLE;
    if (workitem_code_is_failure(outcome.code) && !is_unheard) {
        refuse(request, response, 409, &outcome, NULL);
        return;
    }
    response_status(response, 202);
    if (outcome.code != WORKITEM_OK)
        workitems_warn(request, response, workitem_code_text(outcome.code));
}
