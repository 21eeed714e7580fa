/* SPDX-License-Identifier: MIT */
#pragma once
/* What all who work at the same time may take together of something that runs out: the memory of
 * frames while they are decoded and until they are sent (a small instance can hold a frame of
 * hundreds of megabytes, and very many peers can ask for it at once and read slowly), or the room
 * of temporary files. Thread-safe. */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct decode_budget;

/* bytes 0: a quarter of the memory of this host. */
struct decode_budget *decode_budget_new(uint64_t bytes);
void decode_budget_free(struct decode_budget *budget);

/* Waits for room up to timeout_ms, then ERROR_BUSY. What is larger than the whole budget gets all
 * of it. *taken is to be given back. */
bool decode_budget_take(struct decode_budget *budget, uint64_t bytes, int64_t timeout_ms,
                        uint64_t *taken, struct error *err);
void decode_budget_give_back(struct decode_budget *budget, uint64_t taken);
