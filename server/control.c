/* SPDX-License-Identifier: MIT */
#include "server/control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

enum {
    CLIENTS_MAX = 8,
    REQUEST_TIMEOUT_MS = 10000,
    SEND_TIMEOUT_S = 10, /* who does not read that long has gone */
    PROGRESS_MS = 200,
    PEER_LOOK_MS = 50,
    POLL_MS = 200,
};

struct client {
    struct control *control;
    pthread_t thread;
    int fd; /* -1: the place is free; guarded by the control's lock */
    bool ended;
    bool gone; /* does not read any more; of its thread */
    int64_t progress_ms;
    char phase[64]; /* that it was told of last */
    int64_t looked_ms;
};

struct control {
    struct operation_place place;
    int listen_fd;
    char *data_directory;
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    pthread_mutex_t lock;
    struct client clients[CLIENTS_MAX];
};

bool control_address(const char *data_directory, struct sockaddr_un *address, int *folder_fd,
                     struct error *err)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    *folder_fd = -1;
    int size = snprintf(address->sun_path, sizeof(address->sun_path), "%s/control", data_directory);
    if (size > 0 && (size_t)size < sizeof(address->sun_path))
        return true;
    *folder_fd = open(data_directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*folder_fd < 0)
        return error_set_errno(err, errno, "%.100s", data_directory);
    snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/control", *folder_fd);
    return true;
}

bool control_send(int fd, const cJSON *line)
{
    char *text = cJSON_PrintUnformatted(line);
    size_t size = strlen(text);
    size_t sent = 0;
    text[size++] = '\n'; /* in the place of the NUL */
    while (sent < size) {
        ssize_t count = send(fd, text + sent, size - sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        sent += (size_t)count;
    }
    free(text);
    return sent == size;
}

static void send_error(struct client *client, const struct error *error)
{
    cJSON *line = cJSON_CreateObject();
    cJSON *body = cJSON_AddObjectToObject(line, "error");
    cJSON_AddStringToObject(body, "code", error_name(error->code));
    cJSON_AddStringToObject(body, "message", error->message);
    control_send(client->fd, line);
    cJSON_Delete(line);
}

/* The job's side. */

static void tell_progress(void *context, const char *phase, const char *unit, uint64_t done,
                          uint64_t total)
{
    struct client *client = context;
    int64_t now = clock_monotonic_ms();
    bool is_new = strncmp(client->phase, phase, sizeof(client->phase) - 1) != 0;
    if (client->gone || (!is_new && now - client->progress_ms < PROGRESS_MS))
        return;
    client->progress_ms = now;
    snprintf(client->phase, sizeof(client->phase), "%s", phase);
    cJSON *line = cJSON_CreateObject();
    cJSON *body = cJSON_AddObjectToObject(line, "progress");
    cJSON_AddStringToObject(body, "phase", phase);
    cJSON_AddStringToObject(body, "unit", unit);
    cJSON_AddNumberToObject(body, "done", (double)done);
    cJSON_AddNumberToObject(body, "total", (double)total);
    client->gone = !control_send(client->fd, line);
    cJSON_Delete(line);
}

/* The client has closed its end, or shut it down for writing. */
static bool has_left(int fd)
{
    char byte;
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    if (poll(&poll_fd, 1, 0) <= 0)
        return false;
    return (poll_fd.revents & (POLLERR | POLLHUP | POLLNVAL)) ||
           recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static bool is_cancelled(void *context)
{
    struct client *client = context;
    if (atomic_load(&client->control->stopping))
        return true;
    int64_t now = clock_monotonic_ms();
    if (!client->gone && now - client->looked_ms >= PEER_LOOK_MS) {
        client->looked_ms = now;
        client->gone = has_left(client->fd);
    }
    return client->gone;
}

/* What was found is not an error of the operation, but it is what its end is about. */
static void log_end(const struct operation *operation, const char *status, const cJSON *result,
                    int64_t milliseconds)
{
    uint64_t findings = operation->findings ? operation->findings(result) : 0;
    if (!findings) {
        log_info("control: ended command=%s status=%s ms=%" PRId64, operation->name, status,
                 milliseconds);
        return;
    }
    struct buffer kinds = buffer_up_to(1024);
    const cJSON *kind;
    cJSON_ArrayForEach(kind, cJSON_GetObjectItemCaseSensitive(result, "kinds"))
    {
        if (kind->valuedouble > 0)
            buffer_append_format(&kinds, " %s=%.0f", kind->string, kind->valuedouble);
    }
    log_warn("control: ended command=%s status=found findings=%" PRIu64 "%s ms=%" PRId64,
             operation->name, findings, buffer_text(&kinds), milliseconds);
    buffer_release(&kinds);
}

static void run_operation(struct client *client, const struct operation *operation,
                          const struct operation_options *options)
{
    struct error err = { 0 };
    struct job job = { .progress = tell_progress,
                       .cancelled = is_cancelled,
                       .context = client,
                       .bytes_per_second = options->bytes_per_second };
    if (!operation_enter(client->control->place.turns, operation, &err)) {
        send_error(client, &err);
        return;
    }
    int64_t began_ms = clock_monotonic_ms();
    log_info("control: begins command=%s", operation->name);
    cJSON *line = cJSON_CreateObject();
    cJSON *result = cJSON_AddObjectToObject(line, "result");
    bool ok = operation->run(&client->control->place, options, &job, result, &err);
    operation_leave(client->control->place.turns, operation);
    log_end(operation, ok ? "ok" : error_name(err.code), ok ? result : NULL,
            clock_monotonic_ms() - began_ms);
    if (ok)
        control_send(client->fd, line);
    else
        send_error(client, &err);
    cJSON_Delete(line);
}

static bool read_request(struct client *client, struct buffer *request, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + REQUEST_TIMEOUT_MS;
    while (!request->size || request->data[request->size - 1] != '\n') {
        struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };
        struct space space = buffer_reserve(request, 4096);
        int64_t left_ms = deadline - clock_monotonic_ms();
        if (!space.data)
            return error_set(err, ERROR_LIMIT, "the request is too long");
        if (left_ms <= 0 || atomic_load(&client->control->stopping))
            return error_set(err, ERROR_TIMEOUT, "no request came");
        if (poll(&poll_fd, 1, left_ms < POLL_MS ? (int)left_ms : POLL_MS) <= 0)
            continue;
        ssize_t size = recv(client->fd, space.data, space.size, 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return error_set(err, ERROR_CLOSED, "the request has no end");
        buffer_advance(request, (size_t)size);
    }
    return true;
}

static void answer(struct client *client, struct slice request)
{
    struct error err = { 0 };
    struct operation_options options = { 0 };
    cJSON *json = cJSON_ParseWithLength((const char *)request.data, request.size);
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(json, "command");
    const struct operation *operation = cJSON_IsString(name) ? operation_find(name->valuestring)
                                                             : NULL;
    if (!operation || operation->offline)
        error_set(&err, ERROR_UNSUPPORTED,
                  "the server does not know this command; is it of another version?");
    else if (operation_options_read(cJSON_GetObjectItemCaseSensitive(json, "options"), operation,
                                    &options, &err))
        run_operation(client, operation, &options);
    if (err.code != ERROR_NONE)
        send_error(client, &err);
    operation_options_release(&options);
    cJSON_Delete(json);
}

static void *serve_client(void *argument)
{
    struct client *client = argument;
    struct control *control = client->control;
    struct buffer request = buffer_up_to(CONTROL_REQUEST_MAX);
    struct error err = { 0 };
    if (read_request(client, &request, &err))
        answer(client, buffer_slice(&request));
    else if (err.code != ERROR_CLOSED)
        send_error(client, &err);
    buffer_release(&request);
    shutdown(client->fd, SHUT_RDWR);
    pthread_mutex_lock(&control->lock);
    client->ended = true;
    pthread_mutex_unlock(&control->lock);
    return NULL;
}

/* The listener's side. */

/* With lock. */
static void reap(struct client *client)
{
    if (client->fd < 0 || !client->ended)
        return;
    pthread_join(client->thread, NULL);
    close(client->fd);
    client->fd = -1;
}

static void refuse(int fd)
{
    struct client nobody = { .fd = fd };
    struct error err;
    error_set(&err, ERROR_BUSY, "too many commands at once");
    send_error(&nobody, &err);
    close(fd);
}

static void accept_client(struct control *control)
{
    const struct timeval timeout = { .tv_sec = SEND_TIMEOUT_S };
    struct client *client = NULL;
    int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        poll(NULL, 0, POLL_MS); /* out of descriptors: they come back, the client waits */
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    pthread_mutex_lock(&control->lock);
    for (int i = 0; i < CLIENTS_MAX; i++) {
        reap(&control->clients[i]);
        if (control->clients[i].fd < 0)
            client = &control->clients[i];
    }
    if (client) {
        *client = (struct client){ .control = control, .fd = fd };
        if (pthread_create(&client->thread, NULL, serve_client, client) != 0) {
            client->fd = -1;
            client = NULL;
        }
    }
    pthread_mutex_unlock(&control->lock);
    if (!client)
        refuse(fd);
}

static void *listen_for_clients(void *argument)
{
    struct control *control = argument;
    while (!atomic_load(&control->stopping)) {
        struct pollfd poll_fd = { .fd = control->listen_fd, .events = POLLIN };
        if (poll(&poll_fd, 1, POLL_MS) > 0)
            accept_client(control);
    }
    return NULL;
}

/* The mode is set before anybody can connect, which listen allows. */
static bool open_socket(struct control *control, struct error *err)
{
    struct sockaddr_un address;
    int folder_fd = -1;
    control->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->listen_fd < 0)
        return error_set_errno(err, errno, "no control socket");
    if (!control_address(control->data_directory, &address, &folder_fd, err))
        return false;
    unlink(address.sun_path);
    bool ok = bind(control->listen_fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
              chmod(address.sun_path, 0600) == 0 && listen(control->listen_fd, CLIENTS_MAX) == 0;
    if (!ok)
        error_set_errno(err, errno, "%.100s/control", control->data_directory);
    if (folder_fd >= 0)
        close(folder_fd);
    return ok;
}

bool control_open(const struct operation_place *place, struct control **out, struct error *err)
{
    struct control *control = mem_alloc(sizeof(*control));
    control->place = *place;
    control->data_directory = mem_copy_text(place->data_directory);
    control->listen_fd = -1;
    pthread_mutex_init(&control->lock, NULL);
    for (int i = 0; i < CLIENTS_MAX; i++)
        control->clients[i].fd = -1;
    *out = control;
    if (!open_socket(control, err))
        return false;
    int code = pthread_create(&control->thread, NULL, listen_for_clients, control);
    if (code)
        return error_set_errno(err, code, "no thread for the control socket");
    control->started = true;
    return true;
}

void control_close(struct control *control)
{
    struct sockaddr_un address;
    int folder_fd = -1;
    if (!control)
        return;
    atomic_store(&control->stopping, true);
    if (control->started) {
        pthread_join(control->thread, NULL);
        if (control_address(control->data_directory, &address, &folder_fd, NULL))
            unlink(address.sun_path);
        if (folder_fd >= 0)
            close(folder_fd);
    }
    for (int i = 0; i < CLIENTS_MAX; i++) {
        if (control->clients[i].fd < 0)
            continue;
        pthread_join(control->clients[i].thread, NULL);
        close(control->clients[i].fd);
    }
    if (control->listen_fd >= 0)
        close(control->listen_fd);
    pthread_mutex_destroy(&control->lock);
    free(control->data_directory);
    free(control);
}
