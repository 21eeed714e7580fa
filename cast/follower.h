/* SPDX-License-Identifier: MIT */
#pragma once
/* Keeps a FHIR server in step with the archive: one thread that follows the change feed from its
 * saved position and gathers by study, and some that send studies' present state, each study and
 * each patient by one of them at a time. The saved position never passes a study that is not sent,
 * so a restart repeats and loses nothing. Thread-safe but for open and close. */

#include "base/job.h"
#include "cast/json.h"
#include "cast/round.h"

struct follower;

enum { FOLLOWER_WORKERS = 4, FOLLOWER_WORKERS_MAX = 64 };

struct follower_options {
    struct fhir_client_options client;
    struct mapping_options mapping; /* strings must outlive the follower */
    int64_t quiet_ms;
    int64_t maximum_age_ms;
    unsigned workers; /* studies in flight; 0: FOLLOWER_WORKERS */
    enum removal removal;
    bool strict;
    bool looks_up;             /* see round.h */
    enum fhir_version version; /* the server's; FHIR_UNKNOWN: it is asked */
};

bool follower_open(struct archive *archive, const struct follower_options *options,
                   struct follower **out, struct error *err);
/* Ends the requests in flight and every wait; the calls below fail with ERROR_STOPPED. */
void follower_stop(struct follower *follower);
void follower_close(struct follower *follower);

/* Sets the gauges to how it is now, from memory alone: for who is about to show them. */
void follower_tell_metrics(struct follower *follower);
/* How it is, as members: {"state", "position", "latest", "lag", "waiting", "inFlight" ...}. */
void follower_status(struct follower *follower, cJSON *json);
/* Tries a study at once, whatever it waits for, or all that are parked when NULL. Ends the pause
 * of the server too. *count studies were taken. */
bool follower_replay(struct follower *follower, const char *study, uint64_t *count,
                     struct error *err);
/* Goes on behind this position: 0 casts all of the archive anew. ERROR_INVALID beyond the feed. */
bool follower_reset(struct follower *follower, uint64_t position, struct error *err);

/* One study by itself, beside the workers and by their rules; for a walk of all of them. A round
 * that finds the server away is repeated a few times. False when it was stopped, or the server
 * stays away. `round` is the caller's (follower_round_open). */
bool follower_round_open(struct follower *follower, struct round *round, struct error *err);
void follower_round_close(struct round *round);
bool follower_run(struct follower *follower, struct round *round, const char *study,
                  enum round_result *result, struct round_report *report, struct job *job,
                  struct error *err);
/* Is a change of it still to be sent? */
bool follower_awaits(struct follower *follower, const char *study);
/* Waits; false when the job or the follower is to stop. */
bool follower_pause(struct follower *follower, int64_t pause_ms, struct job *job,
                    struct error *err);
