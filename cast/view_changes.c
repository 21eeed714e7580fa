/* SPDX-License-Identifier: MIT */
#include "cast/view_changes.h"

#include <string.h>

#include "archive/changes.h"
#include "archive/study.h"

/* The order of the feed is not that of a clock that was set. */
enum { CLOCK_SLACK_MS = 10 * 60 * 1000 };

void view_changes_init(struct view_changes *changes, const struct view_source *source,
                       uint64_t before, int64_t since_ms)
{
    uint64_t latest = changes_latest(source->archive);
    *changes = (struct view_changes){
        .source = source,
        .next = before && before < latest ? before : latest,
        .since_ms = since_ms,
    };
}

static bool look_up(struct view_changes *changes, const char *study, struct error *err)
{
    struct archive *archive = changes->source->archive;
    bool found = false;
    if (strcmp(changes->study, study) == 0)
        return true;
    changes->study[0] = 0;
    changes->gone_ms = -1;
    if (!study_last_change(archive, study, &changes->last, &found, err) ||
        (!found && !study_gone_at(archive, study, &changes->gone_ms, &found, err)))
        return false;
    memcpy(changes->study, study, UID_SIZE);
    return true;
}

bool view_changes_next(struct view_changes *changes, uint64_t at_most, struct view_change *out,
                       bool *found, struct error *err)
{
    struct change change;
    bool is_there;
    *found = false;
    for (uint64_t i = 0; changes->next && i < at_most; i++) {
        uint64_t sequence = changes->next--;
        changes->examined++;
        if (!changes_get(changes->source->archive, sequence, &change, &is_there, err))
            return false;
        if (!is_there)
            continue;
        if (change.at_ms < changes->since_ms - CLOCK_SLACK_MS) {
            changes->next = 0;
            return true;
        }
        if (!look_up(changes, change.identity.study, err))
            return false;
        /* All deletions of a transaction are of one moment: the last number stands for them. */
        bool is_last = changes->last
                           ? changes->last == sequence
                           : change.action == CHANGE_DELETE && change.at_ms == changes->gone_ms;
        if (!is_last || change.at_ms < changes->since_ms)
            continue;
        memcpy(out->study, change.identity.study, UID_SIZE);
        out->sequence = sequence;
        out->at_ms = change.at_ms;
        out->is_gone = changes->last == 0;
        if (out->is_gone)
            changes->gone_ms = -1;
        *found = true;
        return true;
    }
    return true;
}
