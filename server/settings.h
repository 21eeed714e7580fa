/* SPDX-License-Identifier: MIT */
#pragma once
/* The settings of a server: the embedded commented file with all defaults, over it the user's file,
 * over it the flags. One table in settings.c says what there is. Read-only once loaded. */

#include <stdio.h>

#include "base/error.h"
#include "dimse/server.h"
#include "hl7/mapping.h"

enum {
    SETTINGS_MAX_PEERS = 256,
    SETTINGS_MAX_TEXTS = 256,
    SETTINGS_MAX_USERS = 256,
    SETTINGS_MAX_FORWARDS = 64,
    SETTINGS_MAX_HL7_PEERS = 256,
    SETTINGS_MAX_HL7_DESTINATIONS = 16
};

struct text_list {
    char *items[SETTINGS_MAX_TEXTS + 1]; /* NULL-terminated */
    size_t count;
};

struct settings {
    char *bind;
    char *log;

    char *data_directory;
    double segment_size_mib;
    double minimum_free_mib;
    bool restart_after_failure;
    double compact_above_dead_share;
    double verify_every_days;
    double verify_mib_per_second;

    char *on_conflict; /* "keep-first" or "replace" */
    double versions_kept;
    bool amend_patients;
    struct coercion_rule coercions[COERCION_RULES_MAX];
    size_t coercion_count;
    char *conflict_status; /* four hexadecimal digits */

    double dimse_port;
    double dimse_tls_port; /* 0: none */
    char *tls_certificate;
    char *tls_key;
    char *tls_ca;
    char *tls_crl;
    char *tls_profile; /* "bcp195" or "bcp195-modified" */
    char *ae_title;
    bool accept_any_called_ae;
    bool trust_network;
    struct text_list calling_ae_titles;
    struct text_list refused_sop_classes;
    struct peer peers[SETTINGS_MAX_PEERS];
    size_t peer_count;
    struct user users[SETTINGS_MAX_USERS];
    size_t user_count;
    bool require_user;
    struct forward_rule forward_rules[SETTINGS_MAX_FORWARDS];
    size_t forward_rule_count;
    struct text_list performed_to;
    struct text_list availability_to;
    double availability_quiet_seconds;
    double forward_retry_seconds;
    double operations;
    bool refuse_unknown_sop_classes;
    double association_limit;
    double association_limit_per_peer;
    double max_pdu;
    double artim_timeout_seconds;
    double idle_timeout_seconds;
    double message_timeout_seconds;
    double connect_timeout_seconds;
    double query_timeout_seconds;
    double commitment_wait_seconds;
    double commitment_retry_seconds;

    double http_port;
    double http_tls_port;       /* 0: none */
    char *http_tls_certificate; /* "": those of DICOM */
    char *http_tls_key;
    struct text_list trusted_proxies;
    char *forwarded_header;
    char *viewer_directory; /* "": none */
    struct text_list viewer_origins;
    char *users_file; /* "": anybody may ask */
    bool access_log;
    char *base_url;
    struct text_list cors_origins;
    double connection_limit;
    double connection_limit_per_address;
    double http_idle_timeout_seconds;
    double header_timeout_seconds;
    double minimum_rate;
    double body_limit_mib;

    double keep_done_days; /* of the worklist */
    bool deletion_locks;
    bool reschedule_discontinued;

    double hl7_port;     /* 0: none */
    double hl7_tls_port; /* 0: none */
    struct hl7_peer hl7_peers[SETTINGS_MAX_HL7_PEERS];
    size_t hl7_peer_count;
    bool hl7_trust_network;
    struct hl7_destination hl7_destinations[SETTINGS_MAX_HL7_DESTINATIONS];
    size_t hl7_destination_count;
    double hl7_retry_seconds;
    char *hl7_character_set;
    char *hl7_assigning_authority;
    char *hl7_processing_ids;
    char *hl7_station_ae;
    struct hl7_rule hl7_rules[HL7_MAX_RULES];
    size_t hl7_rule_count;
    double hl7_message_limit_mib;
    double hl7_message_timeout_seconds;
    double hl7_idle_timeout_seconds;
    double hl7_connection_limit;
    double hl7_connection_limit_per_address;
    double hl7_workers;

    char *dicomweb_prefix;
    double query_limit;
    double web_query_timeout_seconds;
    double feed_waiters;
    double metadata_cache_mib;
    double picture_cache_mib;

    char *fhir_version;
    char *fhir_prefix;
    char *fhir_url;
    char *bearer_token;
    char *user;
    char *password;
    double quiet_seconds;
    double maximum_age_seconds;
    char *identifier_system;
    char *timezone;
    bool strict_mapping;
    bool cast_looks_up;
    double cast_workers;
    char *cast_removal;
    struct text_list cast_withhold;
    struct text_list view_withhold;
    struct text_list webhook_urls;
    char *webhook_secret_file;
    char *webhook_tls_ca;
    char *webhook_proxy;
    double orders_every_seconds;
    char *orders_modality;
    char *orders_station;
    struct text_list orders_issuers;
    double fhir_timeout_seconds;
    char *bearer_token_file;
    char *oauth_token_url;
    char *oauth_client_id;
    char *oauth_client_secret;
    char *oauth_client_secret_file;
    char *oauth_key_file;
    char *oauth_key_id;
    char *oauth_scope;
    char *fhir_tls_ca;
    char *fhir_tls_certificate;
    char *fhir_tls_key;
    char *fhir_proxy;
};

/* Flags are those of `serve`, behind the sub-command. ERROR_INVALID names the key or flag and says
 * what it takes. */
bool settings_load(int flag_count, char **flags, struct settings **out, struct error *err);
void settings_free(struct settings *settings);

void settings_print_flags(FILE *out);    /* for --help */
const char *settings_default_file(void); /* the commented file */
