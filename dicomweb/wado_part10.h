/* SPDX-License-Identifier: MIT */
#pragma once
/* One instance as a Part 10 file in another transfer syntax, made before it is sent: in memory
 * while it is small, in an unlinked file when it is not, so that memory stays flat. One thread at a
 * time. */

#include "archive/retrieve.h"
#include "dicom/part10.h"
#include "http/server.h"

/* A stored file without its preamble, which is the sender's, and could be the head of a program or
 * a page: zeros go out in its place (PS3.10 7.1, 7.5). */
bool part10_behind_preamble(struct instance *instance, struct file_range *file, struct error *err);
extern const uint8_t part10_zero_preamble[PART10_PREAMBLE_SIZE];

struct part10_copy;

/* The memory of frames that are decoded, and of the copy until it is closed, is of the archive's
 * budget, the file of its temporary files: ERROR_BUSY, ERROR_NO_SPACE when others have it. */
bool part10_copy_open(struct instance *instance, const struct transfer_syntax *to,
                      struct archive *archive, struct part10_copy **out, struct error *err);
/* The whole of it as one piece, valid until close. */
struct piece part10_copy_piece(const struct part10_copy *copy);
uint64_t part10_copy_size(const struct part10_copy *copy);
void part10_copy_close(struct part10_copy *copy);
