/* SPDX-License-Identifier: MIT */
#pragma once
/* Places of those who hold a connection and its thread for long: so many in all, and of one
 * requester a quarter less, so that nobody keeps all others out. Thread-safe. */

#include <stdbool.h>
#include <stdint.h>

struct places;

struct places *places_new(unsigned limit);
void places_free(struct places *places);

/* How many of so many places one requester may have. */
unsigned places_of_one(unsigned limit);
/* `requester`: http/server.h. False: there is none left, or none for this one. */
bool places_take(struct places *places, uint64_t requester);
void places_give_back(struct places *places, uint64_t requester);
