/* SPDX-License-Identifier: MIT */
#pragma once
/* The file ID of a data directory: which archive it holds, and which copy of it. Backups tell by it
 * what belongs to them. Only storage/ and its tests include this header. */

#include "base/error.h"

enum { IDENTITY_SIZE = 32 + 1 }; /* 16 random bytes in hexadecimal, NUL-terminated */

struct identity_file {
    char archive[IDENTITY_SIZE];  /* a restored copy has the same */
    char data[IDENTITY_SIZE];     /* of this directory alone */
    char restored[IDENTITY_SIZE]; /* the backup it was restored from, or "" */
};

bool identity_random(char text[IDENTITY_SIZE], struct error *err);
bool identity_is_valid(const char *text);

/* Reads the file ID of the folder; makes it when there is none. */
bool identity_load(int folder_fd, struct identity_file *identity, struct error *err);
/* Durable when it returns. */
bool identity_save(int folder_fd, const struct identity_file *identity, struct error *err);
