/* SPDX-License-Identifier: MIT */
#pragma once
/* One thread for all who have no association yet or any more: accepts, reads the A-ASSOCIATE-RQ of
 * every newcomer under its deadline (ARTIM, for the whole request), answers what cannot be, hands
 * complete requests to the workers, and drains those that were answered until they close or ARTIM
 * ends (PS3.8 9.2, Sta2 and Sta13). A silent peer costs a descriptor and no thread. */

#include "dimse/workers.h"

struct listener;

/* `listen_fd` is taken; `place` and `workers` must outlive the listener. */
bool listener_open_take(int listen_fd, struct configuration_place *place, struct workers *workers,
                        struct listener **out, struct error *err);
void listener_close(struct listener *listener);
