/* SPDX-License-Identifier: MIT */
/* sample_data OUTDIR [--slices N]: writes the synthetic studies that README.md tells of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sample-data/instance.h"
#include "sample-data/studies.h"

enum { DEFAULT_SLICES = 64, MAX_SLICES = 100000 };

static unsigned slices_of(const char *text)
{
    char *end;
    unsigned long slices = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || slices < 1 || slices > MAX_SLICES)
        die("--slices takes a number from 1 to %d", MAX_SLICES);
    return (unsigned)slices;
}

int main(int count, char **arguments)
{
    const char *folder = NULL;
    unsigned slices = DEFAULT_SLICES;
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--slices") == 0 && i + 1 < count)
            slices = slices_of(arguments[++i]);
        else if (arguments[i][0] != '-' && !folder)
            folder = arguments[i];
        else
            die("usage: sample_data OUTDIR [--slices N]");
    }
    if (!folder)
        die("usage: sample_data OUTDIR [--slices N]");
    study_ct_head(folder, slices);
    study_mr_knee(folder);
    study_chest(folder);
    study_ultrasound(folder);
    study_japanese(folder);
    study_korean(folder);
    return 0;
}
