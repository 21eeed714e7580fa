/* SPDX-License-Identifier: MIT */
#include "server/step_progress.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "archive/changes.h"
#include "archive/query.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "worklist/steps.h"

enum {
    STUDIES_MAX = 256,   /* of one round */
    CHANGES_MAX = 10000, /* likewise */
    QUIET_MS = 200,      /* between two rounds: a series is counted now and then, not each time */
    WAIT_MS = 1000,
    SAVE_EVERY_MS = 10000,
    ACCESSION_SIZE = 65,
};
#define FOLLOWER "worklist"

struct step_progress {
    struct archive *archive;
    struct worklist *worklist;
    pthread_t thread;
    atomic_bool stopping;
    uint64_t position;
    uint64_t saved;
    int64_t saved_at_ms;
    char studies[STUDIES_MAX][UID_SIZE];
    size_t study_count;
};

static void note_study(struct step_progress *progress, const char *study)
{
    for (size_t i = progress->study_count; i > 0; i--) {
        if (strcmp(progress->studies[i - 1], study) == 0)
            return;
    }
    memcpy(progress->studies[progress->study_count++], study, UID_SIZE);
}

/* Studies of the changes behind the position, which moves on behind what was read. */
static bool read_changes(struct step_progress *progress, struct error *err)
{
    struct changes *changes = NULL;
    struct change change;
    bool found = true;
    progress->study_count = 0;
    bool ok = changes_open(progress->archive, progress->position, &changes, err);
    for (size_t i = 0; ok && i < CHANGES_MAX && progress->study_count < STUDIES_MAX; i++) {
        ok = changes_next(changes, &change, &found, err);
        if (!ok || !found)
            break;
        note_study(progress, change.identity.study);
        progress->position = change.sequence;
    }
    changes_close(changes);
    return ok;
}

/* Number of instances and accession number of a study; zero and "" when it is gone. */
static bool look_up(struct step_progress *progress, const char *study_uid, uint64_t *instances,
                    char accession[ACCESSION_SIZE], struct error *err)
{
    static const uint32_t uid_tag = TAG_STUDY_INSTANCE_UID;
    struct query *query = query_new(progress->archive, LEVEL_STUDY);
    const struct dataset *match = NULL;
    int64_t count = 0;
    accession[0] = '\0';
    bool ok = query_add_key(query, &uid_tag, 1, slice_text(study_uid), err) &&
              query_add_return(query, TAG_NUMBER_OF_STUDY_RELATED_INSTANCES, err) &&
              query_add_return(query, TAG_ACCESSION_NUMBER, err) && query_next(query, &match, err);
    if (ok && match) {
        dataset_integer(match, TAG_NUMBER_OF_STUDY_RELATED_INSTANCES, &count);
        dataset_string(match, TAG_ACCESSION_NUMBER, accession, ACCESSION_SIZE);
    }
    query_close(query);
    *instances = count > 0 ? (uint64_t)count : 0;
    return ok;
}

/* More steps than an order has may share a number that stands for none, such as "0". It would be
 * the same the next time, and others wait. */
static bool is_of_the_study(const struct error *err)
{
    return err->code == ERROR_LIMIT || err->code == ERROR_INVALID || err->code == ERROR_CORRUPT;
}

static bool tell_steps(struct step_progress *progress, struct error *err)
{
    char accession[ACCESSION_SIZE];
    uint64_t instances;
    bool any;
    /* An archive without a worklist is not asked for its studies. */
    if (!steps_exist(progress->worklist, &any, err))
        return false;
    for (size_t i = 0; any && i < progress->study_count; i++) {
        struct error reason = { 0 };
        if (!look_up(progress, progress->studies[i], &instances, accession, err))
            return false;
        if (steps_count_instances(progress->worklist, progress->studies[i], accession, instances,
                                  clock_unix_ms(), &reason))
            continue;
        if (!is_of_the_study(&reason)) {
            *err = reason;
            return false;
        }
        log_warn("worklist: instances are not counted study=%s why=\"%s\"", progress->studies[i],
                 reason.message);
    }
    return true;
}

/* A round that is done again after a crash counts the same. */
static bool save(struct step_progress *progress, bool now, struct error *err)
{
    int64_t time_ms = clock_monotonic_ms();
    if (progress->position == progress->saved ||
        (!now && time_ms - progress->saved_at_ms < SAVE_EVERY_MS))
        return true;
    if (!follower_save(progress->archive, FOLLOWER, progress->position, err))
        return false;
    progress->saved = progress->position;
    progress->saved_at_ms = time_ms;
    return true;
}

static void *run(void *context)
{
    struct step_progress *progress = context;
    bool failed = false;
    while (!atomic_load(&progress->stopping)) {
        struct error err = { 0 };
        uint64_t before = progress->position;
        bool ok = read_changes(progress, &err) && tell_steps(progress, &err) &&
                  save(progress, false, &err);
        if (!ok && !failed)
            log_error("worklist: stored instances are not counted why=\"%s\"", err.message);
        failed = !ok;
        if (!ok)
            progress->position = before;
        /* Woken at once when there is more; a pause first, so that a series is one round. */
        if (!ok || progress->study_count)
            nanosleep(&(struct timespec){ .tv_nsec = QUIET_MS * 1000000L }, NULL);
        if (ok)
            changes_wait(progress->archive, progress->position, WAIT_MS);
    }
    struct error err = { 0 };
    if (!save(progress, true, &err))
        log_error("worklist: the position is not saved why=\"%s\"", err.message);
    return NULL;
}

bool step_progress_open(struct archive *archive, struct worklist *worklist,
                        struct step_progress **out, struct error *err)
{
    struct step_progress *progress = mem_alloc(sizeof(*progress));
    progress->archive = archive;
    progress->worklist = worklist;
    bool ok = follower_position(archive, FOLLOWER, &progress->position, err);
    progress->saved = progress->position;
    /* What was stored before there was a worklist is nothing to it. */
    if (ok && !progress->position) {
        progress->position = changes_latest(archive);
        ok = save(progress, true, err);
    }
    int failure = ok ? pthread_create(&progress->thread, NULL, run, progress) : 0;
    if (failure)
        ok = error_set_errno(err, failure, "thread");
    if (!ok) {
        free(progress);
        return false;
    }
    *out = progress;
    return true;
}

void step_progress_close(struct step_progress *progress)
{
    if (!progress)
        return;
    atomic_store(&progress->stopping, true);
    changes_wake(progress->archive);
    pthread_join(progress->thread, NULL);
    free(progress);
}
