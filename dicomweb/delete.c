/* SPDX-License-Identifier: MIT */
/* DELETE of a study, series or instance. Not in PS3.18, but what other servers and their clients
 * have in the same form: 204, 404 for what was never here, 410 for what was deleted before. */
#include "archive/delete.h"

#include <inttypes.h>
#include <stdio.h>

#include "archive/hold.h"
#include "base/audit.h"
#include "base/log.h"
#include "dicomweb/routes.h"

/* PS3.15 A.5.3.8, with what was asked for where a study was deleted in part. */
static void note_deletion(const struct request *request, const struct path_uids *uids,
                          uint64_t count, enum audit_outcome outcome, const char *why)
{
    char client[HTTP_CLIENT_SIZE];
    char cause[320];
    request_client(request, client);
    snprintf(cause, sizeof(cause), "study=%s series=%s instance=%s count=%" PRIu64 " %s",
             uids->study, uids->series[0] ? uids->series : "-",
             uids->instance[0] ? uids->instance : "-", count, why);
    audit_note(AUDIT_STUDY_DELETED, AUDIT_NO_TYPE, outcome,
               &(struct audit_peer){ .user = request_user(request), .address = client }, cause);
}

/* With the reason in words, which the log does not get. */
static void answer_held(struct request *request, struct response *response, const char *study,
                        const char *message)
{
    struct dicomweb *dicomweb = request_context(request);
    struct hold hold;
    char text[HOLD_REASON_SIZE + 256 + 4]; /* the message is that of a struct error */
    bool found = false;
    if (!hold_find(dicomweb->archive, study, &hold, &found, NULL) || !found)
        snprintf(text, sizeof(text), "%s", message); /* it was lifted this moment */
    else
        snprintf(text, sizeof(text), "%s: %s", message, hold.reason);
    response_error(response, request, 409, text);
}

void delete_instances(struct request *request, struct response *response)
{
    struct dicomweb *dicomweb = request_context(request);
    struct path_uids uids;
    struct error err = { 0 };
    uint64_t count = 0;
    if (!dicomweb_path_uids(request, response, &uids))
        return;
    const char *series = uids.series[0] ? uids.series : NULL;
    const char *instance = uids.instance[0] ? uids.instance : NULL;
    if (!archive_delete(dicomweb->archive, uids.study, series, instance, &count, &err)) {
        if (err.code != ERROR_NOT_FOUND && err.code != ERROR_GONE && err.code != ERROR_CONFLICT)
            log_error("delete: study=%s error=%s reason=%s", uids.study, error_name(err.code),
                      err.message);
        note_deletion(request, &uids, 0, AUDIT_MINOR_FAILURE,
                      err.code == ERROR_CONFLICT ? "held" : error_name(err.code));
        /* It can be asked for again when the disk is mended. */
        int status = err.code == ERROR_IO ? 503 : http_status_of(err.code);
        if (err.code == ERROR_CONFLICT)
            answer_held(request, response, uids.study, err.message);
        else
            response_error(response, request, status, err.message);
        return;
    }
    log_info("delete: study=%s series=%s instance=%s count=%llu", uids.study, series ? series : "-",
             instance ? instance : "-", (unsigned long long)count);
    note_deletion(request, &uids, count, AUDIT_SUCCESS, "deleted");
    response_status(response, 204);
}
