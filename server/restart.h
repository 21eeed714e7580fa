/* SPDX-License-Identifier: MIT */
#pragma once
/* A server whose disk refused to make a write durable writes nothing more: what the disk holds of
 * the writes before is known only to who opens the data directory anew. So it starts itself anew,
 * in place: it stops in order and executes its program with the same arguments, after a pause that
 * grows from one failure to the next and begins anew when an instance was stored. One thread. */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct storage;

struct restart {
    bool allowed;
    unsigned attempts; /* restarts in a row without an instance that was stored */
    int64_t due_ms;    /* when it is to be done, 0: nothing is wrong */
};

void restart_init(struct restart *restart, bool allowed);
/* Waits for one of the signals and returns its number; 0 when it is time to start anew. */
int restart_wait(struct restart *restart, struct storage *storage, const sigset_t *signals);
/* After a start that failed: true when it was a restart and is to be tried again, when the pause is
 * over and nobody wanted it to end. */
bool restart_pause(struct restart *restart, const sigset_t *signals);
/* When everything is closed. Returns only when it failed. */
void restart_execute(const struct restart *restart);
