/* SPDX-License-Identifier: MIT */
#pragma once
/* Security events and deletions, one line of the log each, whatever its level is, in the words of
 * the audit trail profile (PS3.15 A.5, PS3.16 CID 400 to 403): audit: event=110113 type=110126
 * outcome=4 ae="CT9" user="" address=10.0.0.7:4711 cause="..." Never a patient's data. Thread-safe.
 */

enum audit_event {
    AUDIT_INSTANCES_ACCESSED = 110103, /* also what is said of them, as a legal hold (A.5.3.3) */
    AUDIT_STUDY_DELETED = 110105,      /* also a part of one (A.5.3.8) */
    AUDIT_NETWORK_ENTRY = 110108,
    AUDIT_SECURITY_ALERT = 110113,
    AUDIT_USER_AUTHENTICATION = 110114,
};
enum audit_type {
    AUDIT_NO_TYPE = 0, /* the event says it all; "-" in the line */
    AUDIT_LOGIN = 110122,
    AUDIT_ATTACH = 110124,
    AUDIT_NODE_AUTHENTICATION = 110126,
    AUDIT_RESTRICTED_FUNCTION = 110132,
};
/* PS3.15 A.5.2, as RFC 3881 has it. */
enum audit_outcome { AUDIT_SUCCESS = 0, AUDIT_MINOR_FAILURE = 4, AUDIT_SERIOUS_FAILURE = 8 };

/* Who it was, as far as it is known; NULL or "" where not. */
struct audit_peer {
    const char *ae_title;
    const char *user;
    const char *address;
};

void audit_note(enum audit_event event, enum audit_type type, enum audit_outcome outcome,
                const struct audit_peer *peer, const char *cause);
