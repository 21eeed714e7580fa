/* SPDX-License-Identifier: MIT */
#pragma once
/* Values of HL7 v2 as values of DICOM: what a sender writes never breaks a data set. What a VR
 * cannot have is replaced (a backslash by a slash, `^` and `=` in names by a space, control
 * characters by spaces), what is too long is cut at a character, what has no form of the VR is
 * wrong. Pure. */

#include "base/buffer.h"
#include "hl7/message.h"

enum hl7_fit {
    HL7_FITS,
    HL7_REPLACED, /* characters of it */
    HL7_CUT,
    HL7_WRONG, /* no such value: nothing was appended */
};

/* Appends UTF-8 text (no escapes any more) as a value of the VR. Of an HL7 time stamp (TS: YYYYMMDD
 * [HHMM[SS[.S]]][+/-ZZZZ]) the part that the VR has. */
enum hl7_fit hl7_fit(uint16_t vr, struct slice utf8, struct buffer *value);
/* Bytes or characters that a value of the VR may have; SIZE_MAX: no limit. */
size_t hl7_fit_size(uint16_t vr);

/* Appends a name as a PN. `is_provider`: XCN (an ID before the name), else XPN. All repetitions of
 * the field: alphabetic, ideographic and phonetic (table 0465) become the groups of one name. */
enum hl7_fit hl7_fit_name(const struct hl7_message *message, struct slice field, bool is_provider,
                          struct buffer *value);

/* The instant of an HL7 time stamp in µs since 1970; what has no offset is in the zone of this
 * machine. False when it is none to the day at least. */
bool hl7_instant(struct slice stamp, int64_t *us);
/* The last instant that it can mean: of a day, its end. */
bool hl7_instant_last(struct slice stamp, int64_t *us);
