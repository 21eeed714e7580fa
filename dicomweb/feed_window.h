/* SPDX-License-Identifier: MIT */
#pragma once
/* Which changes of the feed a client wants: parameters of a request, and the changes that fit. */

#include "archive/changes.h"
#include "dicom/uid.h"
#include "http/server.h"

enum feed_metadata {
    FEED_METADATA_NONE,
    FEED_METADATA_EVENT, /* as of the change: of instances that are still as then */
    FEED_METADATA_NOW,   /* of what is there now under the change's UIDs */
};

struct feed_window {
    uint64_t offset; /* changes with a greater sequence number */
    bool has_offset; /* the client said so */
    uint64_t limit;
    int64_t start_ms;     /* Unix time, inclusive */
    int64_t end_ms;       /* exclusive */
    unsigned actions;     /* bits of 1 << enum change_action */
    char study[UID_SIZE]; /* "": any */
    enum feed_metadata metadata;
    int64_t wait_ms; /* for a change when there is none yet */
};

/* ERROR_INVALID names the parameter. Unknown parameters are ignored (PS3.18 8.3.2). */
bool feed_window_parse(const struct request *request, struct feed_window *window,
                       struct error *err);

struct feed_page {
    struct change *changes; /* at most the window's limit */
    size_t count;
    bool over;     /* the window ends before what comes next */
    uint64_t seen; /* up to which sequence number the feed was looked at */
};

/* One call looks at a bounded part of the feed, so that a page may be empty though more may fit:
 * then `seen` says where to go on. */
bool feed_window_read(struct archive *archive, const struct feed_window *window,
                      struct feed_page *page, struct error *err);
void feed_page_release(struct feed_page *page);

/* "create", "update", "delete" */
const char *feed_action_name(enum change_action action);
