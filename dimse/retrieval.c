/* SPDX-License-Identifier: MIT */
#include "dimse/retrieval.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "dicom/encode.h"
#include "dicom/frame_selection.h"

enum {
    KEY_LIMIT = 4 << 20,
    FAILED_LIMIT = 8 << 20, /* text of the Failed SOP Instance UID List */
};

void retrieval_init(struct retrieval *retrieval, struct session *session,
                    const struct message *request)
{
    *retrieval = (struct retrieval){ .session = session, .request = request };
    retrieval->failed_uids = buffer_up_to(FAILED_LIMIT);
    for (size_t i = 0; i <= LEVEL_INSTANCE; i++)
        retrieval->keys[i] = buffer_up_to(KEY_LIMIT);
}

void retrieval_release(struct retrieval *retrieval)
{
    for (size_t i = 0; i <= LEVEL_INSTANCE; i++)
        buffer_release(&retrieval->keys[i]);
    buffer_release(&retrieval->failed_uids);
    excerpt_close(retrieval->excerpt);
}

bool retrieval_select(struct retrieval *retrieval, const struct identifier *identifier,
                      struct error *refusal)
{
    const char *texts[LEVEL_INSTANCE + 1] = { NULL };
    for (enum level level = identifier->first; level <= identifier->level; level++) {
        struct buffer *key = &retrieval->keys[level];
        const char *forbidden = level == LEVEL_PATIENT ? "*?\\" : "*?";
        bool is_given = identifier_unique_key(identifier, level, key);
        if (!is_given && level < identifier->level && identifier->is_relational)
            continue;
        if (!is_given || key->overflowed || strpbrk(buffer_text(key), forbidden))
            return error_set_tag(refusal, ERROR_MISMATCH, identifier_unique_tag(level),
                                 "unique key of the %s level is missing or wrong",
                                 identifier_level_name(level));
        texts[level] = buffer_text(key);
    }
    retrieval->selection.patient_id = texts[LEVEL_PATIENT];
    retrieval->selection.studies = texts[LEVEL_STUDY];
    retrieval->selection.series = texts[LEVEL_SERIES];
    retrieval->selection.instances = texts[LEVEL_INSTANCE];
    return true;
}

/* One instance, and frames at their level only. */
static bool check_frames(const struct retrieval *retrieval, const struct identifier *identifier,
                         struct error *refusal)
{
    if (identifier->of_frames && strchr(retrieval->selection.instances, '\\'))
        return error_set_tag(refusal, ERROR_INVALID, TAG_SOP_INSTANCE_UID,
                             "frames of more than one instance");
    if (!identifier->of_frames && frame_selection_is_asked(identifier->dataset))
        return error_set(refusal, ERROR_INVALID, "frames asked for at another level");
    return true;
}

bool retrieval_excerpt(struct retrieval *retrieval, const struct identifier *identifier,
                       struct status *status)
{
    struct error refusal = { .code = ERROR_NONE };
    const char *model = retrieval->request->context->abstract_syntax;
    if (strcmp(model, UID_COMPOSITE_ROOT_GET) != 0 && strcmp(model, UID_COMPOSITE_ROOT_MOVE) != 0)
        return true;
    if (check_frames(retrieval, identifier, &refusal) &&
        (!identifier->of_frames ||
         excerpt_make(retrieval->session->archive, &retrieval->selection, identifier->dataset,
                      &retrieval->excerpt, &refusal)))
        return true;
    *status = status_make(excerpt_status(&refusal), refusal.message);
    status->offending_element = refusal.tag;
    return false;
}

void retrieval_count(struct retrieval *retrieval, const char *sop_instance, enum delivery delivery,
                     const struct error *failure)
{
    switch (delivery) {
    case DELIVERED:
        retrieval->completed++;
        break;
    case DELIVERED_WITH_WARNING:
        retrieval->warning++;
        break;
    case NOT_DELIVERED:
        if (retrieval->failed++ == 0)
            retrieval->first_failure = *failure;
        if (retrieval->failed_uids.size)
            buffer_append_byte(&retrieval->failed_uids, '\\');
        buffer_append_text(&retrieval->failed_uids,
                           retrieval->excerpt ? retrieval->excerpt->instance : sop_instance);
        return;
    }
    retrieval->session->moved++;
    metric_add(METRIC_INSTANCES_SENT, 1);
}

static uint16_t count16(uint64_t count)
{
    return count < UINT16_MAX ? (uint16_t)count : UINT16_MAX;
}

/* Sends a response with the counters; `data` is NULL or the failed list. */
static bool respond(struct retrieval *retrieval, const struct status *status, bool has_remaining,
                    const struct slice *data, struct error *err)
{
    const struct message *request = retrieval->request;
    uint64_t done = retrieval->completed + retrieval->failed + retrieval->warning;
    struct suboperations counts = {
        .remaining = count16(retrieval->total > done ? retrieval->total - done : 0),
        .completed = count16(retrieval->completed),
        .failed = count16(retrieval->failed),
        .warning = count16(retrieval->warning),
    };
    struct buffer command = buffer_up_to(COMMAND_LIMIT);
    command_encode_response(&request->command, status, &counts, has_remaining, data != NULL,
                            &command);
    bool ok = message_send(request->association, request->context->id, buffer_slice(&command), data,
                           err);
    buffer_release(&command);
    return ok;
}

bool retrieval_report(struct retrieval *retrieval, struct error *err)
{
    int64_t now_ms = clock_monotonic_ms();
    if (retrieval->reported_ms && now_ms - retrieval->reported_ms < RETRIEVAL_REPORT_MS)
        return true;
    retrieval->reported_ms = now_ms;
    struct status pending = status_make(STATUS_PENDING, "");
    return respond(retrieval, &pending, true, NULL, err);
}

static struct status final_status(const struct retrieval *retrieval)
{
    const struct error *failure = &retrieval->first_failure;
    uint64_t done = retrieval->completed + retrieval->failed + retrieval->warning;
    if (retrieval->cancelled)
        return status_make(STATUS_CANCELLED, "");
    /* What could not even be read is neither delivered nor in the list, and no success. */
    if (done < retrieval->total && failure->code != ERROR_NONE && done == 0)
        return status_from_error(retrieval->request->context->service, failure);
    if (retrieval->total && retrieval->completed + retrieval->warning == 0)
        return status_make(STATUS_SUBOPERATIONS_FAILED, failure->message);
    if (retrieval->failed || retrieval->warning || done < retrieval->total)
        return status_make(STATUS_SUBOPERATIONS_WARNING, failure->message);
    return status_make(STATUS_SUCCESS, "");
}

/* A failure, warning or cancel tells which instances failed (PS3.4 C.4.2.1.4.2). */
bool retrieval_finish(struct retrieval *retrieval, struct error *err)
{
    struct status status = final_status(retrieval);
    if (status.code == STATUS_SUCCESS || retrieval->failed == 0)
        return respond(retrieval, &status, retrieval->cancelled, NULL, err);
    struct buffer data = buffer_up_to(FAILED_LIMIT + 64);
    struct encoder encoder = { &data, retrieval->request->context->syntax->explicit_vr };
    encode_bytes(&encoder, TAG_FAILED_SOP_INSTANCE_UID_LIST, VR_UI,
                 buffer_slice(&retrieval->failed_uids));
    struct slice bytes = buffer_slice(&data);
    bool ok = respond(retrieval, &status, retrieval->cancelled, &bytes, err);
    buffer_release(&data);
    return ok;
}
