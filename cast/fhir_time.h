/* SPDX-License-Identifier: MIT */
#pragma once
/* DICOM's dates and times (DA, TM, DT: PS3.5 6.2) as FHIR's date and dateTime. */

#include <stdbool.h>

enum { FHIR_TIME_SIZE = 40 };

/* DA to "1970-01-31"; a day or month of 00 is left off ("1970-01", "1970"). False when it is no
 * date of the calendar. Accepts the retired form with dots. */
bool fhir_date(const char *da, char out[FHIR_TIME_SIZE]);
/* "+0100" (0008,0201), "+01:00" or "Z" to "+01:00". False beyond -12:00..+14:00, and for the -0000
 * that PS3.3 C.12.1.1 forbids. */
bool fhir_zone(const char *offset, char out[FHIR_TIME_SIZE]);
/* Both, "2026-01-31T08:05:00+01:00". A time needs a zone and a whole date in FHIR: without them,
 * or when it is none, the date alone. False when the date is none. `zone` as fhir_zone gives
 * it, or NULL. */
bool fhir_date_time(const char *da, const char *tm, const char *zone, char out[FHIR_TIME_SIZE]);
/* DT, with an offset of its own or else `zone`. */
bool fhir_date_time_of_dt(const char *dt, const char *zone, char out[FHIR_TIME_SIZE]);
