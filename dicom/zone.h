/* SPDX-License-Identifier: MIT */
#pragma once
/* Data sets whose dates and times are said in another zone (PS3.3 C.12.1.1.8, PS3.4 C.4.1.1.3.1).
 * A date and a time that belong together move together, a time that has no date around the clock; a
 * date without a time stays, and so do birth dates, which are of no zone, and attributes of several
 * values. A DT without an offset gets that of its zone. One thread at a time. */

#include "base/error.h"
#include "dicom/dataset.h"

enum { ZONE_SIZE = 6 };
struct zone {
    char text[ZONE_SIZE]; /* "+0100"; "": none */
    int64_t us;           /* ahead of UTC */
};

/* False, and no zone, for what is none. */
bool zone_init(struct zone *zone, struct slice offset);

/* A data set with all that is in it, written anew: Explicit VR Little Endian, UTF-8. */
struct zone_copy {
    struct buffer bytes;
    struct dataset *dataset; /* NULL: none; borrows bytes */
};
void zone_copy_release(struct zone_copy *copy);
/* `stored` is that of the data set where it names none itself, or NULL: not known, it is as if it
 * were `said`. What was elided is left out. */
bool zone_copy_make(struct zone_copy *copy, const struct dataset *dataset,
                    const struct zone *stored, const struct zone *said, struct error *err);
