/* SPDX-License-Identifier: MIT */
#pragma once
/* The association over which one destination is forwarded to: opened when it is needed, with the
 * SOP classes and transfer syntaxes that went there lately, and anew when another one comes. One
 * thread at a time. */

#include "archive/retrieve.h"
#include "base/file_reader.h"
#include "dimse/configuration.h"
#include "dimse/forward.h"

/* Of each SOP class a context for what can be transcoded comes on top. */
enum { FORWARD_COMBINATIONS = 60 };

struct forward_combination {
    char sop_class[UID_SIZE];
    char transfer_syntax[UID_SIZE];
};

struct forward_lane {
    const struct configuration *configuration; /* with which the association was opened */
    struct association *association;
    struct forward_combination combinations[FORWARD_COMBINATIONS];
    size_t count;
    size_t oldest; /* that gives way when all places are taken */
    uint16_t message_id;
    struct file_reader reader;
    int kill_fd;
};

/* *reached: the destination was there, so that the outcome is about this instance. `failure` says
 * why when it was not sent. */
enum forward_outcome forward_lane_send(struct forward_lane *lane,
                                       const struct configuration *configuration,
                                       const struct peer *peer, struct instance *instance,
                                       bool *reached, struct error *failure);
void forward_lane_hang_up(struct forward_lane *lane);
