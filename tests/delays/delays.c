/* SPDX-License-Identifier: MIT */
/* Threads that come late: preloaded into a program (LD_PRELOAD), it puts pauses where another
 * thread may come in between: around locks, conditions and calls to the disk and the network, and
 * at the beginning of a thread. Some of a process's threads, never its first one, are slow.
 *
 * HOUNSFIELD_DELAYS is the seed; with the same one a thread of the same number makes the same
 * choices. */
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    SLOW_PERCENT = 30, /* of the threads */
    SLOW_EVERY = 30,   /* calls, of a slow thread; */
    SLOW_MS = 60,      /* it pauses for up to so long */
    OTHERS_EVERY = 2000,
    OTHERS_MS = 15,
};

static _Thread_local struct {
    uint64_t state; /* 0: no choice was made yet */
    bool is_slow;
    bool is_pausing;
} self;

/* xorshift64* */
static uint64_t choose(void)
{
    self.state ^= self.state << 13;
    self.state ^= self.state >> 7;
    self.state ^= self.state << 17;
    return self.state * 0x2545F4914F6CDD1Du >> 11;
}

static void begin(void)
{
    static atomic_uint number;
    const char *seed = getenv("HOUNSFIELD_DELAYS");
    self.state = ((seed ? strtoull(seed, NULL, 10) : 0) + 1) * 0x9E3779B97F4A7C15u +
                 atomic_fetch_add(&number, 1) * 0xD1B54A32D192ED03u;
    self.state |= 1;
    choose();
    choose();
    self.is_slow = choose() % 100 < SLOW_PERCENT && syscall(SYS_gettid) != getpid();
}

static void pause_at_times(void)
{
    if (self.is_pausing)
        return;
    self.is_pausing = true;
    if (!self.state)
        begin();
    uint64_t chosen = choose();
    if (chosen % (self.is_slow ? SLOW_EVERY : OTHERS_EVERY) == 0) {
        uint64_t ms = (chosen >> 20) % (self.is_slow ? SLOW_MS : OTHERS_MS);
        syscall(SYS_nanosleep, &(struct timespec){ .tv_nsec = (long)ms * 1000000 }, NULL);
    }
    self.is_pausing = false;
}

/* The C library's own, behind ours; of the conditions the one that programs are linked with. */
#define NEXT(name)                                                                                 \
    static __typeof__(&name) next;                                                                 \
    if (!next)                                                                                     \
    next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define NEXT_CONDITION(name)                                                                       \
    static __typeof__(&name) next;                                                                 \
    if (!next)                                                                                     \
    next = (__typeof__(&name))dlvsym(RTLD_NEXT, #name, "GLIBC_2.3.2")

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    NEXT(pthread_mutex_lock);
    pause_at_times();
    return next(mutex);
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    NEXT(pthread_mutex_unlock);
    int result = next(mutex);
    pause_at_times();
    return result;
}

int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    NEXT_CONDITION(pthread_cond_wait);
    int result = next(condition, mutex);
    pause_at_times();
    return result;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                           const struct timespec *deadline)
{
    NEXT_CONDITION(pthread_cond_timedwait);
    int result = next(condition, mutex, deadline);
    pause_at_times();
    return result;
}

struct beginning {
    void *(*run)(void *argument);
    void *argument;
};

static void *begin_thread(void *argument)
{
    struct beginning beginning = *(struct beginning *)argument;
    free(argument);
    pause_at_times();
    return beginning.run(beginning.argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    NEXT(pthread_create);
    struct beginning *beginning = malloc(sizeof(*beginning));
    if (!beginning)
        abort();
    *beginning = (struct beginning){ run, argument };
    int result = next(thread, attributes, begin_thread, beginning);
    if (result)
        free(beginning);
    return result;
}

/* A call with a pause before and behind it. */
#define CALL(type, name, parameters, arguments)                                                    \
    type name parameters                                                                           \
    {                                                                                              \
        NEXT(name);                                                                                \
        pause_at_times();                                                                          \
        type result = next arguments;                                                              \
        pause_at_times();                                                                          \
        return result;                                                                             \
    }

CALL(int, fsync, (int fd), (fd))
CALL(int, fdatasync, (int fd), (fd))
CALL(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
CALL(ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size))
CALL(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t offset),
     (fd, bytes, size, offset))
CALL(ssize_t, pread, (int fd, void *bytes, size_t size, off_t offset), (fd, bytes, size, offset))
CALL(ssize_t, send, (int fd, const void *bytes, size_t size, int flags), (fd, bytes, size, flags))
CALL(ssize_t, recv, (int fd, void *bytes, size_t size, int flags), (fd, bytes, size, flags))
CALL(int, poll, (struct pollfd * list, nfds_t count, int timeout), (list, count, timeout))
CALL(int, unlink, (const char *path), (path))
