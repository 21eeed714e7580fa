/* SPDX-License-Identifier: MIT */
#include "cast/view_changes.h"

#include <string.h>

#include "archive/study.h"

/* The order of the feed is not that of a clock that was set. */
enum { CLOCK_SLACK_MS = 10 * 60 * 1000 };

/* The number behind which the first change of this time or a later one stands. */
static bool find_number(struct archive *archive, int64_t at_ms, uint64_t *after, struct error *err)
{
    uint64_t low = 0, high = changes_latest(archive);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct changes *cursor = NULL;
        struct change change;
        bool found = false;
        if (!changes_open(archive, middle, &cursor, err))
            return false;
        bool ok = changes_next(cursor, &change, &found, err);
        changes_close(cursor);
        if (!ok)
            return false;
        if (found && change.at_ms < at_ms)
            low = change.sequence;
        else
            high = middle;
    }
    *after = low;
    return true;
}

bool view_changes_open(struct view_changes *changes, const struct view_source *source,
                       uint64_t from, int64_t since_ms, bool ascending, struct error *err)
{
    struct archive *archive = source->archive;
    uint64_t latest = changes_latest(archive);
    *changes = (struct view_changes){ .source = source, .since_ms = since_ms };
    if (!ascending) {
        changes->next = from && from < latest ? from : latest;
        return true;
    }
    uint64_t after = from - 1;
    if (!from && !find_number(archive, since_ms - CLOCK_SLACK_MS, &after, err))
        return false;
    changes->next = after + 1;
    return changes_open(archive, after, &changes->cursor, err);
}

void view_changes_close(struct view_changes *changes)
{
    changes_close(changes->cursor);
    changes->cursor = NULL;
}

/* The change that the walk meets next; *found false where a number has none. */
static bool step(struct view_changes *changes, struct change *change, bool *found,
                 struct error *err)
{
    changes->examined++;
    if (!changes->cursor)
        return changes_get(changes->source->archive, changes->next--, change, found, err);
    if (!changes_next(changes->cursor, change, found, err))
        return false;
    changes->next = *found ? change->sequence + 1 : 0;
    return true;
}

static bool look_up(struct view_changes *changes, const char *study, struct error *err)
{
    struct archive *archive = changes->source->archive;
    bool found = false;
    if (strcmp(changes->study, study) == 0)
        return true;
    changes->study[0] = 0;
    changes->last = 0;
    changes->gone_ms = -1;
    if (!study_last_change(archive, study, &changes->last, &found, err) ||
        (!found && !study_gone_at(archive, study, &changes->gone_ms, &found, err)))
        return false;
    memcpy(changes->study, study, UID_SIZE);
    return true;
}

static bool is_deletion_of(const struct change *change, const char *study, int64_t at_ms)
{
    return change->action == CHANGE_DELETE && change->at_ms == at_ms &&
           strcmp(change->identity.study, study) == 0;
}

/* All deletions of a transaction are of one moment, one behind the other: the last number stands
 * for them. */
static bool is_last(const struct view_changes *changes, const struct change *change, bool *last,
                    struct error *err)
{
    struct change behind;
    bool found = false;
    *last = changes->last == change->sequence;
    if (changes->last || !is_deletion_of(change, changes->study, changes->gone_ms))
        return true;
    if (!changes_get(changes->source->archive, change->sequence + 1, &behind, &found, err))
        return false;
    *last = !found || !is_deletion_of(&behind, changes->study, changes->gone_ms);
    return true;
}

bool view_changes_next(struct view_changes *changes, uint64_t at_most, struct view_change *out,
                       bool *found, struct error *err)
{
    struct change change;
    *found = false;
    for (uint64_t i = 0; changes->next && i < at_most; i++) {
        bool is_there, last;
        if (!step(changes, &change, &is_there, err))
            return false;
        if (!is_there)
            continue;
        if (!changes->cursor && change.at_ms < changes->since_ms - CLOCK_SLACK_MS) {
            changes->next = 0;
            return true;
        }
        if (!look_up(changes, change.identity.study, err) || !is_last(changes, &change, &last, err))
            return false;
        if (!last || change.at_ms < changes->since_ms)
            continue;
        memcpy(out->study, change.identity.study, UID_SIZE);
        out->sequence = change.sequence;
        out->at_ms = change.at_ms;
        out->is_gone = changes->last == 0;
        *found = true;
        return true;
    }
    return true;
}
