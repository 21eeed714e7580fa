/* SPDX-License-Identifier: MIT */
#pragma once
/* Command sets (PS3.7 6.3.1, 9.3, annex E): always Implicit VR Little Endian. Bytes to a struct and
 * back; pure and bounded. Immutable, thread-safe. */

#include "base/buffer.h"
#include "base/error.h"
#include "dicom/uid.h"
#include "dimse/pdu.h"

enum command_field {
    C_STORE_RQ = 0x0001,
    C_GET_RQ = 0x0010,
    C_FIND_RQ = 0x0020,
    C_MOVE_RQ = 0x0021,
    C_ECHO_RQ = 0x0030,
    N_EVENT_REPORT_RQ = 0x0100,
    N_GET_RQ = 0x0110,
    N_SET_RQ = 0x0120,
    N_ACTION_RQ = 0x0130,
    N_CREATE_RQ = 0x0140,
    N_DELETE_RQ = 0x0150,
    C_CANCEL_RQ = 0x0FFF,
    COMMAND_RESPONSE = 0x8000, /* the bit that makes a response of a request */
};

enum {
    COMMAND_LIMIT = 64 << 10,
    NO_DATA_SET = 0x0101, /* (0000,0800): any other value means that one follows */
};

/* Sub-operations of C-MOVE (PS3.7 9.3.4.2). */
struct suboperations {
    uint16_t remaining;
    uint16_t completed;
    uint16_t failed;
    uint16_t warning;
};

enum { COMMENT_SIZE = 65, COMMAND_ATTRIBUTES = 256 };

struct command {
    uint16_t field;
    uint16_t message_id;   /* of a request */
    uint16_t responded_id; /* of a response or C-CANCEL-RQ */
    uint16_t priority;
    uint16_t status;
    bool has_data_set;
    bool is_faulty;                  /* could be read, but is not as PS3.7 has it: answer 0212 */
    bool names_instance;             /* an instance UID stands in it, malformed or not */
    bool names_too_many;             /* more attributes than we take: answer 0213 */
    char sop_class[UID_SIZE];        /* affected or requested; "" when absent or malformed */
    char sop_instance[UID_SIZE];     /* likewise */
    char destination[AE_TITLE_SIZE]; /* (0000,0600), "" when absent */
    uint16_t type_id;                /* (0000,1002) event type or (0000,1008) action type */
    uint16_t originator_id;          /* (0000,1031) */
    char originator[AE_TITLE_SIZE];  /* (0000,1030) */
    struct suboperations counts;     /* of a response, 0 where absent */
    uint16_t error_id;               /* (0000,0903) of a response, 0 when absent */
    char comment[COMMENT_SIZE];      /* (0000,0902), "" when absent: what the peer says, to be shown
                                        to people and never logged */
    size_t attribute_count;          /* (0000,1005); 0: all, or none in a response */
    uint32_t attributes[COMMAND_ATTRIBUTES];
};

static inline bool command_is_response(const struct command *command)
{
    return command->field & COMMAND_RESPONSE;
}

/* Of DIMSE-N: N-EVENT-REPORT, N-GET ... N-DELETE (PS3.7 10.1). */
static inline bool command_is_normalized(const struct command *command)
{
    uint16_t field = command->field & ~COMMAND_RESPONSE;
    return field >= N_EVENT_REPORT_RQ && field <= N_DELETE_RQ;
}

/* False when it cannot even be answered: not to be walked, or without command field, message ID or
 * data set type; or when it is a response without a status. */
bool command_decode(struct slice bytes, struct command *command, struct error *err);

enum { STATUS_ELEMENTS = 32 };

/* How a request is answered. */
struct status {
    uint16_t code;
    uint32_t offending_element;        /* 0: none */
    uint32_t coerced[STATUS_ELEMENTS]; /* further ones: attributes that were changed */
    size_t coerced_count;
    char comment[COMMENT_SIZE];           /* (0000,0902); "" for none */
    uint16_t error_id;                    /* (0000,0903) of DIMSE-N; 0: none */
    uint32_t attributes[STATUS_ELEMENTS]; /* (0000,1005): which ones it is about (PS3.7 C.4, C.5) */
    size_t attribute_count;
};

/* Append a command set. `counts` may be NULL. */
void command_encode_response(const struct command *request, const struct status *status,
                             const struct suboperations *counts, bool has_remaining,
                             bool has_data_set, struct buffer *out);
/* C-STORE-RQ; with a Move Originator unless that title is "". */
void command_encode_store(const struct command *command, struct buffer *out);
/* Any other request of DIMSE-C, and C-CANCEL-RQ, which names its request by responded_id: SOP
 * class, destination and priority go with those fields that have them (PS3.7 9.3). */
void command_encode_request(const struct command *command, struct buffer *out);
/* A request of DIMSE-N: the class and the instance as affected or as requested ones, with event or
 * action type and the list of attributes where the field has them (PS3.7 10.3). */
void command_encode_normalized(const struct command *command, struct buffer *out);
