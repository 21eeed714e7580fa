/* SPDX-License-Identifier: MIT */
#pragma once
/* The files of a folder on the disk, as they are: what a web application is made of. A path of the
 * web names a regular file below the folder or nothing: symbolic links in the folder are not
 * followed, and names that begin with a dot are not there. */

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "http/server.h"

/* An open file, of its size when it was opened; -1: none. */
struct folder_file {
    int fd;
    const char *type; /* media type, by its name */
    bool gzip;        /* it is the .gz that lies beside the one that was asked for */
    uint64_t size;
    char etag[80]; /* with its quotes */
};

/* Opens what the request's path names after its first `skipped` segments, or the .gz of that where
 * there is one and the client takes it. False: there is no such file. */
bool folder_find(const char *folder, const struct request *request, size_t skipped,
                 struct folder_file *file);
/* One that we know the name of, a single segment. */
bool folder_find_name(const char *folder, const char *name, struct folder_file *file);
/* Answers with the file, which is taken over. */
void folder_answer_take(struct response *response, const struct request *request,
                        struct folder_file *file);
/* Reads a small one whole, and closes it. */
bool folder_read_take(struct folder_file *file, struct buffer *bytes);

/* Media type by a name's ending; NULL: we know none. */
const char *folder_media_type(const char *name);
