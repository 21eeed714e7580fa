/* SPDX-License-Identifier: MIT */
#pragma once
/* `hounsfield hl7 explain FILE`: what a message would become, and how it would be answered, without
 * a server; `hounsfield hl7 mapping`: the table of fields and attributes. */

#include <stdio.h>

/* The words behind "hl7". Returns the exit status. */
int hl7_command_run(int count, char **words);
void hl7_command_print_list(FILE *out);
void hl7_command_print_help(FILE *out);
