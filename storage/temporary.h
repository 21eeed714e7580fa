/* SPDX-License-Identifier: MIT */
#pragma once
/* A file of the data directory that has no name, for bytes that wait to become a blob: it is gone
 * with its descriptor, also when the process ends. */

#include "storage/storage.h"

/* The caller closes *fd. */
bool storage_temporary(struct storage *storage, int *fd, struct error *err);
