/* SPDX-License-Identifier: MIT */
#include "server/restart.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "storage/storage.h"

#define ATTEMPTS "HOUNSFIELD_RESTARTS" /* from one to the next, in the environment */

enum {
    LOOK_MS = 500,
    PAUSE_FIRST_MS = 1000,
    PAUSE_MAX_MS = 300000,
    ATTEMPTS_MAX = 1000000,
    ARGUMENTS_MAX = 1 << 20,
};

void restart_init(struct restart *restart, bool allowed)
{
    const char *text = getenv(ATTEMPTS);
    long attempts = text ? strtol(text, NULL, 10) : 0;
    *restart = (struct restart){ .allowed = allowed };
    if (attempts > 0 && attempts < ATTEMPTS_MAX)
        restart->attempts = (unsigned)attempts;
}

static int64_t pause_ms(const struct restart *restart)
{
    int64_t pause = PAUSE_FIRST_MS;
    for (unsigned i = 0; i < restart->attempts && pause < PAUSE_MAX_MS; i++)
        pause *= 2;
    return pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS;
}

static int wait_for_signal(const sigset_t *signals, int64_t milliseconds)
{
    const struct timespec time = { .tv_sec = milliseconds / 1000,
                                   .tv_nsec = milliseconds % 1000 * 1000000 };
    int number = sigtimedwait(signals, NULL, &time);
    return number > 0 ? number : 0;
}

/* True when it is time. */
static bool look(struct restart *restart, struct storage *storage)
{
    struct storage_figures figures;
    storage_figures(storage, &figures);
    int64_t now_ms = clock_monotonic_ms();
    if (!figures.failed) {
        if (metric_get(METRIC_INSTANCES_STORED))
            restart->attempts = 0;
        return false;
    }
    if (!restart->due_ms) {
        restart->due_ms = now_ms + pause_ms(restart);
        log_error("server: the disk failed, nothing is written until a restart in seconds=%d",
                  (int)(pause_ms(restart) / 1000));
    }
    return now_ms >= restart->due_ms;
}

int restart_wait(struct restart *restart, struct storage *storage, const sigset_t *signals)
{
    int number = 0;
    if (!restart->allowed) {
        sigwait(signals, &number);
        return number;
    }
    while (!number && !look(restart, storage))
        number = wait_for_signal(signals, LOOK_MS);
    return number;
}

bool restart_pause(struct restart *restart, const sigset_t *signals)
{
    if (!restart->allowed || !restart->attempts)
        return false;
    int64_t end_ms = clock_monotonic_ms() + pause_ms(restart);
    log_error("server: the start failed, the next one is in seconds=%d",
              (int)(pause_ms(restart) / 1000));
    for (int64_t now_ms; (now_ms = clock_monotonic_ms()) < end_ms;) {
        int number = wait_for_signal(signals, end_ms - now_ms);
        if (number && number != SIGHUP)
            return false;
    }
    return true;
}

/* As the kernel keeps them: each ends with a NUL. */
static bool read_arguments(struct buffer *arguments)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = -1;
    while (fd >= 0) {
        struct space space = buffer_reserve(arguments, 4096);
        size = space.size ? read(fd, space.data, space.size) : -1;
        if (size <= 0)
            break;
        buffer_advance(arguments, (size_t)size);
    }
    if (fd >= 0)
        close(fd);
    return size == 0 && arguments->size && arguments->data[arguments->size - 1] == '\0';
}

void restart_execute(const struct restart *restart)
{
    char attempts[16];
    struct buffer arguments = buffer_up_to(ARGUMENTS_MAX);
    char **vector = NULL;
    size_t count = 0;
    if (read_arguments(&arguments)) {
        vector = mem_alloc_array(arguments.size + 1, sizeof(*vector));
        for (size_t i = 0; i < arguments.size; i += strlen(vector[count++]) + 1)
            vector[count] = (char *)arguments.data + i;
        snprintf(attempts, sizeof(attempts), "%u", restart->attempts + 1);
        setenv(ATTEMPTS, attempts, 1);
        signal(SIGHUP, SIG_DFL);         /* an ignored one would stay ignored */
        execv("/proc/self/exe", vector); /* the same program, also when its file was replaced */
    }
    log_error("server: cannot start anew: %s", strerror(errno));
    free(vector);
    buffer_release(&arguments);
}
