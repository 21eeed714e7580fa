/* SPDX-License-Identifier: MIT */
#pragma once
/* One thread for all who have no association yet or any more: accepts, reads the A-ASSOCIATE-RQ of
 * every newcomer under its deadline (ARTIM, for the whole request), answers what cannot be, hands
 * complete requests to the workers, and drains those that were answered until they close or ARTIM
 * ends (PS3.8 9.2, Sta2 and Sta13). A silent peer costs a descriptor and no thread. */

#include "dimse/workers.h"

struct listener;

/* The sockets are taken (tls_fd -1: none); `place` and `workers` must outlive the listener. Who
 * calls at the second one is handed to a worker with its first byte, for TLS is the worker's. */
bool listener_open_take(int listen_fd, int tls_fd, struct configuration_place *place,
                        struct workers *workers, struct listener **out, struct error *err);
void listener_close(struct listener *listener);
