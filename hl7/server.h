/* SPDX-License-Identifier: MIT */
#pragma once
/* HL7 v2 over MLLP: listens, and makes of orders, appointments, patients and reports what worklist
 * and archive keep. A few threads serve all connections: one that waits costs a descriptor and some
 * hundred bytes. Each connection is answered in order, and not before what was told is durable;
 * messages of several connections share syncs. Thread-safe. */

#include "archive/archive.h"
#include "base/error.h"
#include "base/tls.h"

struct hl7_server;
struct worklist;

/* Who may send. */
struct hl7_peer {
    const char *host;        /* an address or network: "10.0.0.7", "10.0.0.0/8" */
    const char *application; /* MSH-3.1 that it must name; NULL or "": any */
    const char *facility;    /* MSH-4.1, likewise */
    const char *certificate; /* that it must show, see tls_peer_is; NULL or "": any */
};

/* One row of the site's own mapping: the values of a field become an attribute. */
struct hl7_rule {
    const char *field;     /* "ZDS-1", "OBR-21.2", "PID-3.4.2" */
    const char *attribute; /* keyword of PS3.6, or ggggeeee; "" leaves the field out */
};

/* Who is told what becomes of orders (hl7/notifier.h). */
struct hl7_destination {
    const char *host; /* an address */
    uint16_t port;
    const char *application; /* MSH-5; NULL or "": none */
    const char *facility;    /* MSH-6, likewise */
    bool tls;
    const char *certificate; /* that it must show; NULL or "": one that is valid for the host */
};

struct hl7_options {
    const char *address;
    uint16_t port;     /* 0: none */
    uint16_t tls_port; /* 0: none */
    struct tls_files tls_files;
    const struct hl7_peer *peers;
    size_t peer_count;
    bool trust_network;        /* without peers anybody may send, though `address` is more than the
                                  loopback */
    const char *character_set; /* of messages without MSH-18, as (0008,0005) has it; NULL: ASCII,
                                  or UTF-8 where it is valid */
    const char *assigning_authority; /* of patient IDs without PID-3.4; NULL: none */
    const char *processing_ids; /* MSH-11 that are taken, such as "P"; NULL or "": P, T and D */
    const struct hl7_rule *rules;
    size_t rule_count;
    const char *station_ae;      /* Scheduled Station AE Title of orders that name none */
    size_t message_limit;        /* 0: 16 MiB */
    unsigned message_timeout_ms; /* 0: 60 s: from the first byte of a message to the last; a blocked
                                    answer; a handshake */
    unsigned idle_timeout_ms;    /* 0: none; the kernel finds peers that are gone */
    unsigned connection_limit;   /* 0: 256 */
    unsigned connection_limit_per_address; /* 0: 64 */
    const struct hl7_destination *destinations;
    size_t destination_count;
    unsigned retry_ms;     /* 0: 5 s: the first pause, each next one is twice as long */
    const char *our_title; /* MSH-4 of what we send */
    unsigned workers;      /* 0: 16: messages at once */
};

/* Options are copied. With neither port nothing is opened, and *out is NULL. */
bool hl7_server_open(struct archive *archive, struct worklist *worklist,
                     const struct hl7_options *options, struct hl7_server **out, struct error *err);
/* Other options for all messages to come: everything but address, ports and the number of workers.
 * On failure all stays as it was. NULL does nothing. */
bool hl7_server_reload(struct hl7_server *server, const struct hl7_options *options,
                       struct error *err);
/* Would nobody be admitted? */
bool hl7_admits_nobody(const struct hl7_options *options);
/* No new connections; messages that are being worked on are ended and answered. */
void hl7_server_close(struct hl7_server *server);
