/* SPDX-License-Identifier: MIT */
#include "dimse/status.h"
#include "server/scu.h"

static bool run(struct scu *scu, struct scu_query *query, struct command *last, struct error *err)
{
    if (!scu_query_begin(scu, query, SCU_MOVE, NULL, 0, err))
        return false;
    do {
        struct message answer;
        if (!client_answer(query->association, C_MOVE_RQ, query->message_id, &answer, err) ||
            !message_drain(&answer, err))
            return false;
        *last = answer.command;
        scu_query_progress(scu, last, "moving");
    } while (last->status == STATUS_PENDING);
    return true;
}

int scu_move(struct scu *scu)
{
    static struct scu_query query; /* large, and there is one */
    struct command last = { .status = 0 };
    struct error err;
    if (!scu_query_keys(scu, &query, &err))
        return scu_misuse(scu, &err);
    bool ok = run(scu, &query, &last, &err);
    scu_query_end(&query);
    return ok ? scu_query_summary(scu, &last, "moved") : scu_fail(scu, &err);
}
