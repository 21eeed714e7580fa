/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

#ifdef HOUNSFIELD_FAULTS

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int code;
} errnos[] = {
    { "EIO", EIO },       { "ENOSPC", ENOSPC }, { "EMFILE", EMFILE }, { "ENFILE", ENFILE },
    { "EDQUOT", EDQUOT }, { "EROFS", EROFS },   { "ENOENT", ENOENT }, { "ENOMEM", ENOMEM },
    { "EINTR", EINTR },   { "EINVAL", EINVAL }, { "EACCES", EACCES }, { "EOPNOTSUPP", EOPNOTSUPP },
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* All guarded by lock. */
static bool loaded;
static char wanted[64]; /* the name of the point; empty: none */
static long count;
static long times;
static int code;
static long passed;
static const char *call_point; /* NULL: none */
static void (*call)(void *context);
static void *call_context;

static void load(const char *fault)
{
    char name[16] = "";
    loaded = true;
    passed = 0;
    count = 1;
    times = 1;
    code = EIO;
    wanted[0] = '\0';
    if (!fault)
        return;
    sscanf(fault, "%63[^:]:%ld:%15[A-Z]:%ld", wanted, &count, name, &times);
    for (size_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++)
        if (strcmp(name, errnos[i].name) == 0)
            code = errnos[i].code;
}

/* The number of this passing of the point, 0 when it is not the one that is wanted. */
static long pass(const char *name)
{
    long number = 0;
    if (!loaded)
        load(getenv("HOUNSFIELD_FAULT"));
    if (strcmp(name, wanted) == 0)
        number = ++passed;
    return number;
}

void fault_point(const char *name)
{
    pthread_mutex_lock(&lock);
    long number = pass(name);
    bool die = number && number == count;
    bool calls = call_point && strcmp(name, call_point) == 0;
    if (calls)
        call_point = NULL;
    pthread_mutex_unlock(&lock);
    if (die)
        raise(SIGKILL);
    if (calls)
        call(call_context);
}

bool fault_errno(const char *name)
{
    pthread_mutex_lock(&lock);
    long number = pass(name);
    bool fail = number && number >= count && (!times || number < count + times);
    int failure = code;
    pthread_mutex_unlock(&lock);
    if (fail)
        errno = failure;
    return fail;
}

void fault_set(const char *fault)
{
    pthread_mutex_lock(&lock);
    load(fault);
    pthread_mutex_unlock(&lock);
}

void fault_set_call(const char *name, void (*function)(void *context), void *context)
{
    pthread_mutex_lock(&lock);
    call_point = name;
    call = function;
    call_context = context;
    pthread_mutex_unlock(&lock);
}

#else

/* An empty translation unit is not ISO C. */
extern int fault_points_are_compiled_out;

#endif
