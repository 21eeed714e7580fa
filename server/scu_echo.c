/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "server/scu.h"

enum { PAUSE_MS = 1000 };

struct times {
    unsigned answered;
    int64_t total_us;
    int64_t least_us;
    int64_t most_us;
};

static bool echo(struct scu *scu, struct association *association, uint16_t message_id,
                 struct times *times, struct error *err)
{
    uint16_t status;
    int64_t began_us = clock_monotonic_us();
    if (!client_echo(association, message_id, &status, err))
        return false;
    int64_t took_us = clock_monotonic_us() - began_us;
    if (status != 0)
        return error_set(err, ERROR_MISMATCH, "the peer answered with status %04X", status);
    printf("%s port %u: answered in %.3f ms\n", scu->options.host, scu->options.port,
           (double)took_us / 1000);
    fflush(stdout);
    times->least_us = !times->answered || took_us < times->least_us ? took_us : times->least_us;
    times->most_us = took_us > times->most_us ? took_us : times->most_us;
    times->total_us += took_us;
    times->answered++;
    return true;
}

int scu_echo(struct scu *scu)
{
    const struct proposal proposal = {
        .abstract_syntax = UID_VERIFICATION,
        .transfer_syntaxes = { UID_EXPLICIT_LITTLE_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN },
    };
    struct association *association = NULL;
    struct times times = { 0 };
    struct error err;
    int64_t began_us = clock_monotonic_us();
    if (!client_open(&scu->options, &proposal, 1, &association, &err))
        return scu_fail(scu, &err);
    printf("%s port %u: association in %.3f ms\n", scu->options.host, scu->options.port,
           (double)(clock_monotonic_us() - began_us) / 1000);
    bool ok = true;
    for (unsigned i = 0; ok && (!scu->count || i < scu->count) && !scu_is_interrupted(); i++) {
        if (i)
            scu_pause(scu, PAUSE_MS);
        ok = scu_is_interrupted() || echo(scu, association, (uint16_t)(i + 1), &times, &err);
    }
    client_close(association);
    if (times.answered > 1)
        printf("%u answers: at least %.3f, on average %.3f, at most %.3f ms\n", times.answered,
               (double)times.least_us / 1000, (double)times.total_us / 1000 / times.answered,
               (double)times.most_us / 1000);
    return ok ? SCU_OK : scu_fail(scu, &err);
}
