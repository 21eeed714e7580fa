/* SPDX-License-Identifier: MIT */
#include "cast/breaker.h"

#include <stdio.h>
#include <string.h>

enum { FIRST_PAUSE_MS = 1000 };

void breaker_init(struct breaker *breaker, uint32_t seed)
{
    *breaker = (struct breaker){ .random = seed | 1 };
}

enum breaker_state breaker_state(const struct breaker *breaker, int64_t now_ms)
{
    if (!breaker->failures)
        return BREAKER_CLOSED;
    return now_ms < breaker->until_ms ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

bool breaker_allows(const struct breaker *breaker, int64_t now_ms, size_t asking)
{
    enum breaker_state state = breaker_state(breaker, now_ms);
    return state == BREAKER_CLOSED || (state == BREAKER_HALF_OPEN && asking == 0);
}

/* xorshift: to spread pauses, nothing more. */
static uint32_t next_random(struct breaker *breaker)
{
    uint32_t x = breaker->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return breaker->random = x ? x : 1;
}

int64_t breaker_pause(struct breaker *breaker, int64_t first_ms, unsigned failures)
{
    int64_t pause = first_ms;
    for (unsigned i = 1; i < failures && pause < BREAKER_LONGEST_PAUSE_MS; i++)
        pause *= 2;
    if (pause > BREAKER_LONGEST_PAUSE_MS)
        pause = BREAKER_LONGEST_PAUSE_MS;
    return pause / 2 + next_random(breaker) % (pause / 2 + 1);
}

int64_t breaker_failed(struct breaker *breaker, int64_t now_ms, int64_t retry_after_ms)
{
    /* Several that were under way fail of one cause: it counts once. */
    if (now_ms >= breaker->until_ms || !breaker->failures)
        breaker->failures++;
    int64_t pause = breaker_pause(breaker, FIRST_PAUSE_MS, breaker->failures);
    if (retry_after_ms > BREAKER_LONGEST_RETRY_AFTER_MS)
        retry_after_ms = BREAKER_LONGEST_RETRY_AFTER_MS;
    if (retry_after_ms > pause)
        pause = retry_after_ms;
    if (now_ms + pause > breaker->until_ms)
        breaker->until_ms = now_ms + pause;
    return breaker->until_ms - now_ms;
}

void breaker_succeeded(struct breaker *breaker)
{
    breaker->failures = 0;
    breaker->until_ms = 0;
}

bool breaker_blames_request(const struct breaker *breaker, int status, unsigned failures)
{
    return status == 500 && failures >= BREAKER_MOST_ERRORS && !breaker->failures;
}

void breaker_hurry(struct breaker *breaker)
{
    breaker->until_ms = 0;
}

void breaker_print(const struct breaker *breaker, int64_t now_ms, int64_t unix_ms,
                   char text[BREAKER_TEXT_SIZE])
{
    snprintf(text, BREAKER_TEXT_SIZE, "%u %lld", breaker->failures,
             (long long)(unix_ms + breaker->until_ms - now_ms));
}

void breaker_read(struct breaker *breaker, struct slice text, int64_t now_ms, int64_t unix_ms)
{
    char copy[BREAKER_TEXT_SIZE] = "";
    unsigned failures;
    long long until;
    if (text.size >= sizeof copy)
        return;
    memcpy(copy, text.data, text.size);
    if (sscanf(copy, "%u %lld", &failures, &until) != 2 || failures == 0 || failures > 1000000)
        return;
    /* The clock may have been set meanwhile: no pause is longer than the longest. */
    int64_t left = until - unix_ms;
    if (left > BREAKER_LONGEST_RETRY_AFTER_MS)
        left = BREAKER_LONGEST_RETRY_AFTER_MS;
    breaker->failures = failures;
    breaker->until_ms = left > 0 ? now_ms + left : 0;
}
