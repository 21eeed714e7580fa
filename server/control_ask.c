/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"
#include "server/control.h"

enum { POLL_MS = 100 };

static bool connect_to(const char *data_directory, int *fd, bool *is_there, struct error *err)
{
    struct sockaddr_un address;
    int folder_fd = -1;
    *is_there = true;
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return error_set_errno(err, errno, "no socket");
    if (!control_address(data_directory, &address, &folder_fd, err))
        return false;
    bool ok = connect(*fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    int failure = errno;
    if (folder_fd >= 0)
        close(folder_fd);
    if (ok)
        return true;
    *is_there = failure != ENOENT && failure != ECONNREFUSED;
    return error_set_errno(err, failure, "%.100s/control", data_directory);
}

static bool send_request(int fd, const struct operation *operation,
                         const struct operation_options *options, struct error *err)
{
    cJSON *line = cJSON_CreateObject();
    cJSON_AddStringToObject(line, "command", operation->name);
    cJSON_AddItemToObject(line, "options", operation_options_json(options));
    bool ok = control_send(fd, line);
    cJSON_Delete(line);
    return ok || error_set(err, ERROR_CLOSED, "the server does not take the request");
}

/* The next line into `line`, the rest stays in `bytes`. Whoever cancels ends our side once; the
 * server answers yet. */
static bool read_line(int fd, struct job *job, bool *cancelled, struct buffer *bytes,
                      struct buffer *line, struct error *err)
{
    for (;;) {
        uint8_t *end = bytes->size ? memchr(bytes->data, '\n', bytes->size) : NULL;
        if (end) {
            size_t size = (size_t)(end - bytes->data) + 1;
            buffer_clear(line);
            buffer_append(line, slice_of(bytes->data, size));
            memmove(bytes->data, bytes->data + size, bytes->size - size);
            bytes->size -= size;
            return true;
        }
        if (!*cancelled && job->cancelled && job->cancelled(job->context)) {
            *cancelled = true;
            shutdown(fd, SHUT_WR);
        }
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        struct space space = buffer_reserve(bytes, 64 << 10);
        if (!space.data)
            return error_set(err, ERROR_LIMIT, "the server's answer is too long");
        if (poll(&poll_fd, 1, POLL_MS) <= 0)
            continue;
        ssize_t size = recv(fd, space.data, space.size, 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return error_set(err, ERROR_CLOSED, "the server went away before it had answered");
        buffer_advance(bytes, (size_t)size);
    }
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(value) ? value->valuestring : "";
}

static enum error_code code_of(const char *name)
{
    for (int code = ERROR_NONE + 1; code <= ERROR_STOPPED; code++)
        if (!strcmp(error_name((enum error_code)code), name))
            return (enum error_code)code;
    return ERROR_IO;
}

static void show_progress(struct job *job, const cJSON *progress)
{
    if (job->progress)
        job->progress(job->context, text_of(progress, "phase"), text_of(progress, "unit"),
                      (uint64_t)operation_number(progress, "done"),
                      (uint64_t)operation_number(progress, "total"));
}

/* *ended when the line is the last one. */
static bool take_line(struct slice line, struct job *job, cJSON **result, bool *ended,
                      struct error *err)
{
    cJSON *json = cJSON_ParseWithLength((const char *)line.data, line.size);
    const cJSON *progress = cJSON_GetObjectItemCaseSensitive(json, "progress");
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(json, "error");
    bool ok = true;
    *ended = !progress;
    if (progress)
        show_progress(job, progress);
    else if (error)
        ok = error_set(err, code_of(text_of(error, "code")), "%s", text_of(error, "message"));
    else if (!(*result = cJSON_DetachItemFromObjectCaseSensitive(json, "result")))
        ok = error_set(err, ERROR_INVALID, "the server's answer is not understood");
    cJSON_Delete(json);
    return ok;
}

bool control_ask(const char *data_directory, const struct operation *operation,
                 const struct operation_options *options, struct job *job, cJSON **result,
                 bool *is_there, struct error *err)
{
    struct buffer bytes = buffer_up_to(CONTROL_ANSWER_MAX);
    struct buffer line = buffer_up_to(CONTROL_ANSWER_MAX);
    bool cancelled = false;
    bool ended = false;
    int fd = -1;
    *result = NULL;
    bool ok = connect_to(data_directory, &fd, is_there, err) &&
              send_request(fd, operation, options, err);
    while (ok && !ended)
        ok = read_line(fd, job, &cancelled, &bytes, &line, err) &&
             take_line(buffer_slice(&line), job, result, &ended, err);
    if (fd >= 0)
        close(fd);
    buffer_release(&bytes);
    buffer_release(&line);
    return ok;
}
