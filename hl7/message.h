/* SPDX-License-Identifier: MIT */
#pragma once
/* An HL7 v2 message (HL7 v2.5.1 chapter 2) in the form of "vertical bars and hats", read in place:
 * segments, fields, repetitions, components, subcomponents are slices of the message's bytes in
 * UTF-8, separators off and escapes still in them. Whatever the message is, reading it takes no
 * memory but one table of its segments, and a copy where it is not ASCII or UTF-8 already.
 * Immutable once parsed. */

#include "base/buffer.h"
#include "dicom/charset.h"

enum {
    HL7_MAX_SEGMENTS = 10000,
    HL7_MAX_SEGMENT = 1 << 20, /* bytes, but for OBX, in which documents come */
    HL7_MAX_CONTROL_ID = 199,  /* MSH-10: 20 in v2.5.1, 199 since v2.6 */
    HL7_BUCKETS = 64,
};

/* Message error condition codes (table 0357). */
enum hl7_code {
    HL7_ACCEPTED = 0,
    HL7_SEQUENCE_ERROR = 100,
    HL7_FIELD_MISSING = 101,
    HL7_DATA_TYPE = 102,
    HL7_VALUE_NOT_FOUND = 103,
    HL7_UNSUPPORTED_MESSAGE = 200,
    HL7_UNSUPPORTED_EVENT = 201,
    HL7_UNSUPPORTED_PROCESSING_ID = 202,
    HL7_UNSUPPORTED_VERSION = 203,
    HL7_UNKNOWN_KEY = 204,
    HL7_DUPLICATE_KEY = 205,
    HL7_RECORD_LOCKED = 206,
    HL7_INTERNAL_ERROR = 207,
};

/* Where something is wrong (ERL of ERR-2), and what. Texts hold no patient data. */
struct hl7_fault {
    enum hl7_code code;
    char segment[4];    /* "" when it is of the whole message */
    unsigned sequence;  /* the how-many-th of these segments, from 1 */
    unsigned field;     /* from 1; 0: of the whole segment */
    unsigned component; /* from 1; 0: of the whole field */
    bool is_rejected;   /* AR, not AE: the message was not looked at any further */
    bool is_transient;  /* sent again it may be accepted */
    bool is_news;       /* of a note: nothing is wrong, severity I */
    char text[160];
};

/* Fills the fault and returns false. `segment` NULL: of the whole message. */
bool hl7_fault_set(struct hl7_fault *fault, enum hl7_code code, const char *segment,
                   unsigned sequence, unsigned field, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

struct hl7_separators {
    uint8_t field;
    uint8_t component;
    uint8_t repetition;
    uint8_t escape;       /* 0: none */
    uint8_t subcomponent; /* 0: none */
};

struct hl7_segment {
    char name[4];
    uint16_t sequence; /* the how-many-th of this name, from 1 */
    /* Of the first one of a name: how many there are, and the next such one in its bucket, from 1.
     */
    uint16_t count;
    uint16_t chain;
    struct slice bytes; /* with the name */
};

struct hl7_message {
    struct hl7_separators separators;
    struct slice text; /* all of it, UTF-8 */
    struct hl7_segment *segments;
    size_t count;
    uint16_t buckets[HL7_BUCKETS]; /* first segments of their names, from 1; see hl7_segment */
    const struct charset *charset; /* that it came in, for \X..\ */

    struct buffer decoded; /* where the text stands when it had to be decoded */
};

/* What an acknowledgement needs, from whatever can be read of a message, be it cut or broken: the
 * fields of MSH as they came, borrowed. False when there is no MSH with separators. */
struct hl7_header {
    struct hl7_separators separators;
    struct slice fields[22]; /* MSH-1 at [1]; empty where there is none */
};
bool hl7_header_read(struct slice bytes, struct hl7_header *header);
/* Several messages in one, in an envelope (FHS, BHS ... BTS, FTS; HL7 v2.5.1 2.10.3)? */
bool hl7_is_batch(struct slice bytes);
/* Of a batch the MSH of its first message, with the control ID of the batch or file instead of its
 * own where there is one. */
bool hl7_batch_header_read(struct slice bytes, struct hl7_header *header);

/* `otherwise` is the set of messages without MSH-18, as (0008,0005) would name it; NULL: ASCII.
 * Borrows the bytes. False with a fault: no message, a character set that we have not, too many or
 * too long segments, a segment without a name, characters that no message may have. */
bool hl7_message_parse(struct slice bytes, const char *otherwise, struct hl7_message *message,
                       struct hl7_fault *fault);
void hl7_message_release(struct hl7_message *message);

/* The value of (0008,0005) that is meant by table 0211; NULL: not known. "" is ASCII. */
const char *hl7_character_set(struct slice name);

/* Names have three characters. */
static inline bool hl7_is_segment(const struct hl7_segment *segment, const char *name)
{
    return memcmp(segment->name, name, 4) == 0;
}
/* The segment of this name behind `after` (NULL: from the first on); NULL: no more. */
const struct hl7_segment *hl7_find(const struct hl7_message *message, const char *name,
                                   const struct hl7_segment *after);

/* The parts of a segment, and the parts of these. Empty when there is none; numbers are from 1. MSH
 * is counted as HL7 does: MSH-1 is the separator itself, MSH-2 the others. */
struct slice hl7_field(const struct hl7_message *message, const struct hl7_segment *segment,
                       unsigned number);
unsigned hl7_repetitions(const struct hl7_message *message, struct slice field);
struct slice hl7_repetition(const struct hl7_message *message, struct slice field, unsigned number);
/* One after the other: false when there is no more. `rest` begins as the field. */
bool hl7_next_repetition(const struct hl7_message *message, struct slice *rest,
                         struct slice *repetition);
struct slice hl7_component(const struct hl7_message *message, struct slice repetition,
                           unsigned number);
struct slice hl7_subcomponent(const struct hl7_message *message, struct slice component,
                              unsigned number);
/* Of the first repetition of a field. `segment` may be NULL: empty. Component 0: all of it. */
struct slice hl7_value(const struct hl7_message *message, const struct hl7_segment *segment,
                       unsigned field, unsigned component);

/* `""`: the value is to be deleted (HL7 v2.5.1 2.5.3). */
bool hl7_is_null(struct slice value);

/* Appends a value with its escapes resolved (HL7 v2.5.1 2.7): \F\ \S\ \T\ \R\ \E\, \Xhh..\ in the
 * message's character set, \.br\ and \.sp\ as line feeds. Highlighting and other formatting is left
 * out, what is no escape is kept. A value that is to be deleted has no text. The result is valid
 * UTF-8. */
void hl7_unescape(const struct hl7_message *message, struct slice value, struct buffer *text);
