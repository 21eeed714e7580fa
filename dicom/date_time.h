/* SPDX-License-Identifier: MIT */
#pragma once
/* DA, TM and DT as instants (PS3.5 6.2). The forms of ACR-NEMA, YYYY.MM.DD and HH:MM:SS, are read
 * too (PS3.5 6.2, notes). Calendar: proleptic Gregorian. */

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* From the first to the last microsecond that a value means: "2006" is a year, "1030" a minute. DA
 * and DT count from the start of 1970 (a DT with an offset in UTC, without one as if it were UTC),
 * TM from midnight. */
struct time_span {
    int64_t first_us;
    int64_t last_us;
};

#define DAY_US (INT64_C(86400) * 1000000)

/* False for what is no such value. Spaces around it are no matter. */
bool date_parse(struct slice text, struct time_span *span);
/* The end of a range: clients that ask for a month end it on the 31st, whatever its length. */
bool date_parse_end(struct slice text, struct time_span *span);
bool time_parse(struct slice text, struct time_span *span);
bool date_time_parse(struct slice text, struct time_span *span);
/* The same; one without an offset is of a zone that is so far ahead of UTC. */
bool date_time_parse_in(struct slice text, int64_t zone_us, struct time_span *span);
/* Is there an offset in it? */
bool date_time_has_offset(struct slice text);
/* "&ZZXX", -1200 to +1400, as Timezone Offset From UTC has it. */
bool zone_offset_parse(struct slice text, int64_t *offset_us);

/* The full form without punctuation, NUL-terminated, in the same order as the instants: YYYYMMDD,
 * HHMMSSFFFFFF, YYYYMMDDHHMMSSFFFFFF. Years outside of 0 to 9999 are drawn to the end. */
enum { DATE_TEXT_SIZE = 9, TIME_TEXT_SIZE = 13, DATE_TIME_TEXT_SIZE = 21 };
void date_format(int64_t us, char text[DATE_TEXT_SIZE]);
void time_format(int64_t us, char text[TIME_TEXT_SIZE]);
void date_time_format(int64_t us, char text[DATE_TIME_TEXT_SIZE]);
