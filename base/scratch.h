/* SPDX-License-Identifier: MIT */
#pragma once
/* Bytes that are made before they are sent: in memory while they are few, in a file without a name
 * when they are not, so that memory stays flat. One thread at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file_range.h"
#include "base/slice.h"

struct scratch;

/* `fd_take`: an empty file for what is more than the limit; -1: one among the system's temporary
 * files is made. */
struct scratch *scratch_new(size_t memory_limit, int fd_take);
void scratch_free(struct scratch *scratch);

bool scratch_append(struct scratch *scratch, struct slice bytes, struct error *err);
/* Other bytes in the place of some that are there. */
bool scratch_patch(struct scratch *scratch, uint64_t offset, struct slice bytes, struct error *err);
uint64_t scratch_size(const struct scratch *scratch);

/* All of it, valid until the next call but these two: in memory (*is_file false), or as a range of
 * the file. */
bool scratch_give(struct scratch *scratch, bool *is_file, struct slice *bytes,
                  struct file_range *file, struct error *err);
