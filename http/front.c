/* SPDX-License-Identifier: MIT */
#include "http/front.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/tls.h"

enum {
    CONNECTION_MEMORY = 384 << 10, /* headers and read buffer; touched only as it is used */
    THREAD_STACK = 1 << 20,
    RETIRED_MAX = 8, /* daemons with an earlier certificate; of more, the oldest is ended */
};

struct front {
    struct front_options options;
    struct MHD_Daemon *daemon;
    struct MHD_Daemon *retired[RETIRED_MAX]; /* oldest first */
    size_t retired_count;
};

/* Escapes are undone by target.c, which also says when they are wrong. */
static size_t leave_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

/* A daemon of its own descriptor of the one listening socket. */
static struct MHD_Daemon *start(const struct front_options *options,
                                const struct certificate *certificate, struct error *err)
{
    int fd = fcntl(options->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        error_set_errno(err, errno, "the HTTP service's socket");
        return NULL;
    }
    unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                     MHD_USE_POLL | MHD_USE_ITC;
    if (options->is_ipv6)
        flags |= MHD_USE_IPv6;
    flags |= MHD_ALLOW_UPGRADE;
    if (certificate)
        flags |= MHD_USE_TLS;
    struct MHD_OptionItem items[] = {
        { MHD_OPTION_LISTEN_SOCKET, fd, NULL },
        { MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL },
        { MHD_OPTION_CONNECTION_LIMIT, (intptr_t)options->connection_limit, NULL },
        { MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)options->idle_timeout_s, NULL },
        { MHD_OPTION_THREAD_STACK_SIZE, THREAD_STACK, NULL },
#if MHD_VERSION >= 0x00097701
        { MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1, NULL },
#else
        { MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL },
#endif
        { MHD_OPTION_END, 0, NULL },
        { MHD_OPTION_END, 0, NULL },
    };
    struct MHD_OptionItem secure[] = {
        { MHD_OPTION_HTTPS_MEM_CERT, 0, certificate ? certificate->chain : NULL },
        { MHD_OPTION_HTTPS_MEM_KEY, 0, certificate ? certificate->key : NULL },
        { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)tls_profile() },
        { MHD_OPTION_END, 0, NULL },
    };
    void *context = options->context;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        flags, 0, options->admit, context, options->handle, context, MHD_OPTION_ARRAY, items,
        MHD_OPTION_ARRAY, certificate ? secure : &secure[3], MHD_OPTION_NOTIFY_COMPLETED,
        options->completed, context, MHD_OPTION_NOTIFY_CONNECTION, options->connection, context,
        MHD_OPTION_URI_LOG_CALLBACK, options->request_line, context, MHD_OPTION_UNESCAPE_CALLBACK,
        leave_escapes, NULL, MHD_OPTION_END);
    if (!daemon) {
        close(fd);
        error_set(err, ERROR_IO, "the HTTP%s service could not be started", certificate ? "S" : "");
    }
    return daemon;
}

static void quiesce(struct MHD_Daemon *daemon)
{
    int fd = MHD_quiesce_daemon(daemon);
    if (fd >= 0)
        close(fd);
}

static bool is_idle(struct MHD_Daemon *daemon)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon,
                                                           MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info && info->num_connections == 0;
}

static void stop_retired(struct front *front, size_t index)
{
    MHD_stop_daemon(front->retired[index]);
    front->retired_count--;
    memmove(&front->retired[index], &front->retired[index + 1],
            (front->retired_count - index) * sizeof(front->retired[0]));
}

bool front_open(const struct front_options *options, const struct certificate *certificate,
                struct front **out, struct error *err)
{
    struct front *front = mem_alloc(sizeof(*front));
    front->options = *options;
    front->daemon = start(options, certificate, err);
    *out = front;
    if (front->daemon)
        return true;
    front_close(front);
    *out = NULL;
    return false;
}

bool front_renew(struct front *front, const struct certificate *certificate, struct error *err)
{
    struct MHD_Daemon *daemon = start(&front->options, certificate, err);
    if (!daemon)
        return false;
    quiesce(front->daemon);
    for (size_t i = front->retired_count; i > 0; i--)
        if (is_idle(front->retired[i - 1]))
            stop_retired(front, i - 1);
    if (front->retired_count == RETIRED_MAX)
        stop_retired(front, 0);
    front->retired[front->retired_count++] = front->daemon;
    front->daemon = daemon;
    return true;
}

void front_quiesce(struct front *front)
{
    if (front->options.fd < 0)
        return;
    quiesce(front->daemon);
    close(front->options.fd);
    front->options.fd = -1;
}

void front_close(struct front *front)
{
    if (!front)
        return;
    if (front->daemon)
        front_quiesce(front);
    else if (front->options.fd >= 0)
        close(front->options.fd);
    while (front->retired_count)
        stop_retired(front, front->retired_count - 1);
    if (front->daemon)
        MHD_stop_daemon(front->daemon);
    free(front);
}
