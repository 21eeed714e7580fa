/* SPDX-License-Identifier: MIT */
#pragma once
/* The flags of sub-commands that are alike: one table says what there is, for parsing and for
 * --help. */

#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

struct flag {
    const char *name;
    const char *value; /* what --help calls its value; NULL: it takes none */
    unsigned commands; /* bits of the commands that take it; 0: all do */
    /* Where it goes in the object: a bool, or a const char * that borrows the value. */
    size_t offset;
    bool (*set)(void *object, const char *value); /* instead; false when the value is wrong */
    const char *takes;                            /* what a value has to be, where there is `set` */
    const char *help;
};

/* Takes the first word, and its value, when it is a flag of the command; *taken is the number of
 * words, 0 when it is none. ERROR_INVALID says what it takes. */
bool flags_take(const struct flag *flags, size_t count, unsigned commands, void *object,
                char **words, int left, int *taken, struct error *err);
void flags_print(const struct flag *flags, size_t count, unsigned commands, FILE *out);

/* A whole number, in decimal digits alone. */
bool flags_read_count(const char *value, unsigned minimum, unsigned maximum, unsigned *number);
bool flags_read_number(const char *value, double minimum, double maximum, double *number);
