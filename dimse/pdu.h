/* SPDX-License-Identifier: MIT */
#pragma once
/* The protocol data units of the upper layer (PS3.8 9.3) and their items: bytes to structs and
 * back. Pure and bounded: no socket, no memory but the caller's. Slices in the results borrow the
 * bytes given. Immutable, thread-safe. */

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

enum pdu_type {
    PDU_ASSOCIATE_RQ = 0x01,
    PDU_ASSOCIATE_AC = 0x02,
    PDU_ASSOCIATE_RJ = 0x03,
    PDU_DATA = 0x04,
    PDU_RELEASE_RQ = 0x05,
    PDU_RELEASE_RP = 0x06,
    PDU_ABORT = 0x07,
};

enum {
    PDU_HEADER_SIZE = 6,       /* type, reserved, length (big endian) */
    PDU_SHORT_SIZE = 10,       /* a whole RJ, RELEASE or ABORT */
    PDU_SHORT_LENGTH = 4,      /* what their length field must say */
    PDU_TITLES_SIZE = 64,      /* bytes 11-74: called AE, calling AE, reserved (PS3.8 9.3.2) */
    PDU_ASSOCIATE_LENGTH = 68, /* of an A-ASSOCIATE-RQ or -AC without items */
    PDV_HEADER_SIZE = 6,       /* length (big endian), context id, message control header */
    PDV_LENGTH_SIZE = 4,
    PDU_CONTEXTS = 128, /* the odd numbers of one byte */
    /* Of each kind of sub-item that names a SOP class, so many are looked at; more are as if not
     * proposed. */
    PDU_SOP_CLASS_ITEMS = 128,
    PDU_REQUEST_LIMIT = 512 << 10, /* of an A-ASSOCIATE-RQ or -AC */
    AE_TITLE_SIZE = 17,            /* 16 characters and a NUL */
    USER_NAME_SIZE = 129,          /* of a user identity; longer ones are nobody's */
    MIN_PEER_PDU = 128,            /* a peer that takes less cannot be sent a command */
};

/* Message control header (PS3.8 E.2); the other bits are not looked at. */
enum { PDV_COMMAND = 0x01, PDV_LAST = 0x02 };

/* A-ASSOCIATE-RJ (PS3.8 9.3.4). */
struct rejection {
    uint8_t result; /* 0: none; 1 permanent, 2 transient */
    uint8_t source;
    uint8_t reason;
};

/* A-ABORT (PS3.8 9.3.8): reasons count only with the provider as source. */
enum abort_source { ABORT_BY_USER = 0, ABORT_BY_PROVIDER = 2 };
enum abort_reason {
    ABORT_NOT_SPECIFIED = 0,
    ABORT_UNRECOGNIZED_PDU = 1,
    ABORT_UNEXPECTED_PDU = 2,
    ABORT_INVALID_PARAMETER = 6,
};

/* Result of a presentation context (PS3.8 9.3.3.2). */
enum context_result {
    CONTEXT_ACCEPTED = 0,
    CONTEXT_NO_ABSTRACT_SYNTAX = 3,
    CONTEXT_NO_TRANSFER_SYNTAX = 4,
};

struct associate_context {
    uint8_t id;
    uint8_t result;               /* AC only */
    struct slice abstract_syntax; /* RQ only; empty when absent (not written then) */
    struct slice syntaxes;        /* the sub-items as encoded, decoded ones with the abstract syntax
                                     among them: pdu_next_syntax */
};

/* SCP/SCU role selection (PS3.7 D.3.3.4). */
struct associate_role {
    struct slice sop_class;
    bool scu;
    bool scp;
};

/* SOP class extended negotiation (PS3.7 D.3.3.5). */
struct associate_extended {
    struct slice sop_class;
    struct slice information; /* service class application information */
};

/* SOP class common extended negotiation (PS3.7 D.3.3.6); RQ only. */
struct associate_common {
    struct slice sop_class;
    struct slice service_class;
};

/* User identity (PS3.7 D.3.3.7). */
enum identity_type {
    IDENTITY_NONE = 0,
    IDENTITY_USER = 1,
    IDENTITY_PASSCODE = 2,
    IDENTITY_KERBEROS = 3,
    IDENTITY_SAML = 4,
    IDENTITY_JWT = 5,
};
struct associate_identity {
    uint8_t type; /* RQ; IDENTITY_NONE: no such item */
    bool response_requested;
    struct slice primary;   /* RQ: user name or token */
    struct slice secondary; /* RQ: passcode */
    bool has_response;      /* AC */
    struct slice response;  /* AC */
};

/* An A-ASSOCIATE-RQ or -AC. */
struct associate {
    uint16_t protocol_version;
    uint8_t titles[PDU_TITLES_SIZE];
    struct slice application_context; /* empty when absent */
    size_t context_count;
    struct associate_context contexts[PDU_CONTEXTS];
    size_t role_count;
    struct associate_role roles[PDU_SOP_CLASS_ITEMS];
    size_t extended_count;
    struct associate_extended extended[PDU_SOP_CLASS_ITEMS];
    size_t common_count;
    struct associate_common common[PDU_SOP_CLASS_ITEMS];
    struct associate_identity identity;
    uint32_t max_length; /* 0: unlimited */
    bool has_window;     /* asynchronous operations window (PS3.7 D.3.3.3); 0: unlimited */
    uint16_t invoked;
    uint16_t performed;
    struct slice implementation_class;
    struct slice implementation_version;
};

/* `body` is what follows the six bytes of the PDU header. ERROR_INVALID for lengths that do not
 * fit, items that may stand once and stand twice, and context ids that are even or repeated.
 * Unknown items are ignored (PS3.8 9.3.1). */
bool associate_decode(struct slice body, enum pdu_type type, struct associate *associate,
                      struct error *err);
/* Appends the whole PDU. */
void associate_encode(const struct associate *associate, enum pdu_type type, struct buffer *out);

/* Takes the next transfer syntax off the front of the encoded sub-items; false at their end. */
bool pdu_next_syntax(struct slice *syntaxes, struct slice *uid);
void pdu_append_syntax(struct buffer *syntaxes, struct slice uid);

/* AE titles without leading and trailing spaces (PS3.8 9.3.2, PS3.5 6.2). */
void associate_called_ae(const struct associate *associate, char ae_title[AE_TITLE_SIZE]);
void associate_calling_ae(const struct associate *associate, char ae_title[AE_TITLE_SIZE]);
/* The name of a user identity of type 1 or 2; "" when there is none, or it cannot be anybody's. */
void associate_user(const struct associate *associate, char name[USER_NAME_SIZE]);
void associate_set_titles(struct associate *associate, const char *called, const char *calling);

void reject_encode(struct rejection rejection, uint8_t pdu[PDU_SHORT_SIZE]);
void release_encode(enum pdu_type type, uint8_t pdu[PDU_SHORT_SIZE]);
void abort_encode(enum abort_source source, enum abort_reason reason, uint8_t pdu[PDU_SHORT_SIZE]);

/* The header of a PDU that carries one PDV of `size` bytes, with the PDV's header. */
enum { PDU_DATA_HEADER_SIZE = PDU_HEADER_SIZE + PDV_HEADER_SIZE };
void data_header_encode(uint8_t context_id, uint8_t control, uint32_t size,
                        uint8_t header[PDU_DATA_HEADER_SIZE]);

/* May a PDU of this type and length come at all? ABORT_NOT_SPECIFIED when it may; `max_length` is
 * what we announced for P-DATA-TF. Looks at the header only, so that nothing is read or kept of a
 * PDU that cannot be right. */
enum abort_reason pdu_check_header(uint8_t type, uint32_t length, uint32_t max_length);
