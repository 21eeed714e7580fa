/* SPDX-License-Identifier: MIT */
#pragma once
/* Keeps a FHIR server in step with the archive: one thread that follows the change feed from its
 * saved position, gathers by study, and sends each study's present state. The saved position never
 * passes a study that is not sent, so a restart repeats and loses nothing. */

#include "cast/round.h"

struct follower;

struct follower_options {
    struct fhir_client_options client;
    struct mapping_options mapping; /* strings must outlive the follower */
    int64_t quiet_ms;
    int64_t maximum_age_ms;
    bool strict;
};

bool follower_open(struct archive *archive, const struct follower_options *options,
                   struct follower **out, struct error *err);
/* Ends the request in flight. */
void follower_close(struct follower *follower);
