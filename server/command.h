/* SPDX-License-Identifier: MIT */
#pragma once
/* The sub-commands that do an operation (server/operation.h) to a data directory: their flags,
 * help, progress and output. By itself on a directory that nobody uses, else by the server that
 * does. */

#include <stdio.h>

#include "server/operation.h"

enum command_status {
    COMMAND_OK = 0,
    COMMAND_FAILED = 1,
    COMMAND_USAGE = 2,
    COMMAND_FOUND = 3,
};

/* Returns the exit status. */
int command_run(const struct operation *operation, int argument_count, char **arguments);
void command_print_list(FILE *out); /* one line each */
void command_print_help(const struct operation *operation, FILE *out);
