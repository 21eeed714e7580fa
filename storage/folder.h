/* SPDX-License-Identifier: MIT */
#pragma once
/* Folders and small files that must be there after a power cut, or not at all. Only storage/ and
 * its tests include this header. */

#include "base/error.h"
#include "base/slice.h"

enum { FOLDER_NAME_SIZE = 64 }; /* for messages: a longer name is cut */

/* Written under another name, made durable and renamed: it is there whole or as it was before. */
bool folder_replace_file(int folder_fd, const char *name, struct slice bytes, struct error *err);

/* With all above it that are missing; their names are durable. */
bool folder_make(const char *path, struct error *err);
/* The folder `name` in another one, made when missing, its name durable. */
bool folder_open_in(int folder_fd, const char *name, bool make, int *fd, struct error *err);
bool folder_sync(int folder_fd, struct error *err);

/* Calls `visit` for each name but "." and ".."; stops when it returns false. */
bool folder_each(int folder_fd, bool (*visit)(void *context, const char *name, struct error *err),
                 void *context, struct error *err);

/* The first name that is none of the `known` (which end with NULL), nor one that a file system has
 * in its root by itself (lost+found); "" when there is no other. */
bool folder_find_other(int folder_fd, const char *const *known, char name[FOLDER_NAME_SIZE],
                       struct error *err);

/* A folder that has only files in it; one that is not there is fine. */
bool folder_remove(int folder_fd, const char *name, struct error *err);

/* An exclusive (or shared) flock on the file `name`, made when missing; ERROR_BUSY when another
 * process has it. */
bool folder_lock(int folder_fd, const char *name, bool shared, int *fd, struct error *err);
