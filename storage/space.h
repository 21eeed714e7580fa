/* SPDX-License-Identifier: MIT */
#pragma once
/* How much may still be written. Some of the disk is kept back: blobs stop first, so that the index
 * can go on to delete; the index stops before the database itself meets the end. Thread-safe. */

#include <stdbool.h>
#include <stdint.h>

/* Bytes that blobs may still take; `fd` is anything on the file system. */
uint64_t space_for_blobs(int fd);
bool space_for_index(int fd);
uint64_t space_free(int fd);
