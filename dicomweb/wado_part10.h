/* SPDX-License-Identifier: MIT */
#pragma once
/* One instance as a Part 10 file in another transfer syntax, made before it is sent: in memory
 * while it is small, in an unlinked file when it is not, so that memory stays flat. One thread at a
 * time. */

#include "archive/retrieve.h"
#include "dicomweb/decode_budget.h"
#include "http/server.h"

struct part10_copy;

/* The memory of frames that are decoded, and of the copy until it is closed, is the budget's:
 * ERROR_BUSY when others have it for too long. */
bool part10_copy_open(struct instance *instance, const struct transfer_syntax *to,
                      struct decode_budget *budget, struct part10_copy **out, struct error *err);
/* The whole of it as one piece, valid until close. */
struct piece part10_copy_piece(const struct part10_copy *copy);
uint64_t part10_copy_size(const struct part10_copy *copy);
void part10_copy_close(struct part10_copy *copy);
