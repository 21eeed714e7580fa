/* SPDX-License-Identifier: MIT */
#include "base/decode_budget.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

/* For hosts that tell nothing of their memory, or have little. */
#define LEAST_BUDGET ((uint64_t)512 << 20)

struct decode_budget {
    uint64_t limit;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t taken; /* guarded by lock */
};

static uint64_t quarter_of_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long size = sysconf(_SC_PAGESIZE);
    uint64_t quarter = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 4 : 0;
    return quarter > LEAST_BUDGET ? quarter : LEAST_BUDGET;
}

struct decode_budget *decode_budget_new(uint64_t bytes)
{
    struct decode_budget *budget = mem_alloc(sizeof(*budget));
    budget->limit = bytes ? bytes : quarter_of_memory();
    pthread_mutex_init(&budget->lock, NULL);
    pthread_cond_init(&budget->changed, NULL);
    return budget;
}

void decode_budget_free(struct decode_budget *budget)
{
    if (!budget)
        return;
    pthread_cond_destroy(&budget->changed);
    pthread_mutex_destroy(&budget->lock);
    free(budget);
}

bool decode_budget_take(struct decode_budget *budget, uint64_t bytes, int64_t timeout_ms,
                        uint64_t *taken, struct error *err)
{
    struct timespec deadline = clock_deadline(timeout_ms);
    uint64_t wanted = bytes < budget->limit ? bytes : budget->limit;
    int code = 0;
    *taken = 0;
    pthread_mutex_lock(&budget->lock);
    while (budget->limit - budget->taken < wanted && code == 0)
        code = pthread_cond_clockwait(&budget->changed, &budget->lock, CLOCK_MONOTONIC, &deadline);
    bool ok = budget->limit - budget->taken >= wanted;
    if (ok)
        budget->taken += wanted;
    pthread_mutex_unlock(&budget->lock);
    if (!ok)
        return error_set(err, ERROR_BUSY, "others have what this would take");
    *taken = wanted;
    return true;
}

void decode_budget_give_back(struct decode_budget *budget, uint64_t taken)
{
    if (!taken)
        return;
    pthread_mutex_lock(&budget->lock);
    budget->taken -= taken;
    pthread_cond_broadcast(&budget->changed);
    pthread_mutex_unlock(&budget->lock);
}
