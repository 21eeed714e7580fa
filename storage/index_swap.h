/* SPDX-License-Identifier: MIT */
#pragma once
/* A new index beside the old one, and the moment when it takes its place. Only storage/ includes
 * this header. */

#include "base/error.h"

#define INDEX_FOLDER     "index"
#define INDEX_NEW_FOLDER "index.new"

/* Removes what a rebuild left that did not come to its end. */
bool index_swap_clear(const char *path, struct error *err);
/* `folder_fd` is the data directory `path`, which the caller has locked; nobody has either index
 * open. */
bool index_swap_install(const char *path, int folder_fd, struct error *err);
