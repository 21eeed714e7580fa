/* SPDX-License-Identifier: MIT */
/* DELETE of a study, series or instance. Not in PS3.18, but what other servers and their clients
 * have in the same form: 204, 404 for what was never here, 410 for what was deleted before. */
#include "archive/delete.h"

#include "base/log.h"
#include "dicomweb/routes.h"

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
        if (err.code != ERROR_NOT_FOUND && err.code != ERROR_GONE)
            log_error("delete: study=%s error=%s reason=%s", uids.study, error_name(err.code),
                      err.message);
        /* It can be asked for again when the disk is mended. */
        int status = err.code == ERROR_IO ? 503 : http_status_of(err.code);
        response_error(response, request, status, err.message);
        return;
    }
    log_info("delete: study=%s series=%s instance=%s count=%llu", uids.study, series ? series : "-",
             instance ? instance : "-", (unsigned long long)count);
    response_status(response, 204);
}
