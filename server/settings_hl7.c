/* SPDX-License-Identifier: MIT */
/* HL7: who may send, and the site's own mapping. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "http/address.h"
#include "http/server.h"
#include "server/settings_parts.h"

static void free_peer(struct hl7_peer *peer)
{
    free((char *)(uintptr_t)peer->host);
    free((char *)(uintptr_t)peer->application);
    free((char *)(uintptr_t)peer->facility);
    free((char *)(uintptr_t)peer->certificate);
}

static bool take_peer(const cJSON *object, struct hl7_peer *peer, struct error *err)
{
    const struct {
        const char *key;
        const char **field;
    } members[] = { { "host", &peer->host },
                    { "application", &peer->application },
                    { "facility", &peer->facility },
                    { "certificate", &peer->certificate } };
    const cJSON *member;
    if (!cJSON_IsObject(object))
        return error_set(err, ERROR_INVALID, "takes objects");
    cJSON_ArrayForEach(member, object)
    {
        size_t i = 0;
        while (i < 4 && strcmp(member->string, members[i].key))
            i++;
        if (i == 4)
            return error_set(err, ERROR_INVALID, "unknown key \"%s\"", member->string);
        if (!cJSON_IsString(member))
            return error_set(err, ERROR_INVALID, "\"%s\" takes a text", member->string);
        free((char *)(uintptr_t)*members[i].field);
        *members[i].field = mem_copy_text(member->valuestring);
    }
    return (peer->host && http_is_network(peer->host)) ||
           error_set(err, ERROR_INVALID,
                     "a peer's host is an address or network, such as 10.0.0.0/8");
}

static void clear_peers(struct settings *settings)
{
    while (settings->hl7_peer_count)
        free_peer(&settings->hl7_peers[--settings->hl7_peer_count]);
}

static void free_destination(struct hl7_destination *destination)
{
    free((char *)(uintptr_t)destination->host);
    free((char *)(uintptr_t)destination->application);
    free((char *)(uintptr_t)destination->facility);
    free((char *)(uintptr_t)destination->certificate);
}

static void clear_destinations(struct settings *settings)
{
    while (settings->hl7_destination_count)
        free_destination(&settings->hl7_destinations[--settings->hl7_destination_count]);
}

static bool take_destination(const cJSON *object, struct hl7_destination *destination,
                             struct error *err)
{
    const struct {
        const char *key;
        const char **field;
    } members[] = { { "host", &destination->host },
                    { "application", &destination->application },
                    { "facility", &destination->facility },
                    { "certificate", &destination->certificate } };
    const cJSON *member;
    if (!cJSON_IsObject(object))
        return error_set(err, ERROR_INVALID, "takes objects");
    cJSON_ArrayForEach(member, object)
    {
        size_t i = 0;
        double port = member->valuedouble;
        while (i < 4 && strcmp(member->string, members[i].key))
            i++;
        if (i < 4 && cJSON_IsString(member)) {
            free((char *)(uintptr_t)*members[i].field);
            *members[i].field = mem_copy_text(member->valuestring);
        } else if (!strcmp(member->string, "port") && cJSON_IsNumber(member) && port >= 1 &&
                   port <= 65535 && port == floor(port)) {
            destination->port = (uint16_t)port;
        } else if (!strcmp(member->string, "tls") && cJSON_IsBool(member)) {
            destination->tls = cJSON_IsTrue(member);
        } else {
            return error_set(err, ERROR_INVALID, "\"%s\" is unknown, or takes another value",
                             member->string);
        }
    }
    struct address address;
    return (destination->host && address_parse(destination->host, &address) && destination->port) ||
           error_set(err, ERROR_INVALID, "a destination has an address as its host, and a port");
}

bool settings_take_hl7_destinations(struct settings *settings, const char *key, const cJSON *value,
                                    struct error *err)
{
    const cJSON *object;
    clear_destinations(settings);
    cJSON_ArrayForEach(object, value)
    {
        struct hl7_destination destination = { .host = NULL };
        bool ok = take_destination(object, &destination, err);
        /* The place in the feed of changes is kept by address and port. */
        for (size_t i = 0; ok && i < settings->hl7_destination_count; i++) {
            const struct hl7_destination *other = &settings->hl7_destinations[i];
            if (other->port == destination.port && !strcmp(other->host, destination.host))
                ok = error_set(err, ERROR_INVALID, "address and port of a destination stand twice");
        }
        if (ok && settings->hl7_destination_count == SETTINGS_MAX_HL7_DESTINATIONS)
            ok = error_set(err, ERROR_LIMIT, "more than %d of them", SETTINGS_MAX_HL7_DESTINATIONS);
        if (!ok) {
            free_destination(&destination);
            return error_add_context(err, "%s", key);
        }
        settings->hl7_destinations[settings->hl7_destination_count++] = destination;
    }
    return true;
}

static void clear_rules(struct settings *settings)
{
    while (settings->hl7_rule_count) {
        struct hl7_rule *rule = &settings->hl7_rules[--settings->hl7_rule_count];
        free((char *)(uintptr_t)rule->field);
        free((char *)(uintptr_t)rule->attribute);
    }
}

bool settings_take_hl7_peers(struct settings *settings, const char *key, const cJSON *value,
                             struct error *err)
{
    const cJSON *object;
    clear_peers(settings);
    cJSON_ArrayForEach(object, value)
    {
        struct hl7_peer peer = { .host = NULL };
        bool ok = take_peer(object, &peer, err);
        if (ok && settings->hl7_peer_count == SETTINGS_MAX_HL7_PEERS)
            ok = error_set(err, ERROR_LIMIT, "more than %d peers", SETTINGS_MAX_HL7_PEERS);
        if (!ok) {
            free_peer(&peer);
            return error_add_context(err, "%s", key);
        }
        settings->hl7_peers[settings->hl7_peer_count++] = peer;
    }
    return true;
}

bool settings_take_hl7_mapping(struct settings *settings, const char *key, const cJSON *value,
                               struct error *err)
{
    const cJSON *member;
    clear_rules(settings);
    cJSON_ArrayForEach(member, value)
    {
        if (!cJSON_IsString(member))
            return error_set(err, ERROR_INVALID, "%s: \"%s\" takes the keyword of an attribute",
                             key, member->string);
        if (settings->hl7_rule_count == HL7_MAX_RULES)
            return error_set(err, ERROR_LIMIT, "%s: more than %d fields", key, HL7_MAX_RULES);
        settings->hl7_rules[settings->hl7_rule_count++] =
            (struct hl7_rule){ mem_copy_text(member->string), mem_copy_text(member->valuestring) };
    }
    return true;
}

void settings_release_hl7(struct settings *settings)
{
    clear_peers(settings);
    clear_destinations(settings);
    clear_rules(settings);
}

static const char *or_null(const char *text)
{
    return text && *text ? text : NULL;
}

struct hl7_options settings_hl7_options(const struct settings *settings)
{
    return (struct hl7_options){
        .address = settings->bind,
        .port = (uint16_t)settings->hl7_port,
        .tls_port = (uint16_t)settings->hl7_tls_port,
        .tls_files = { or_null(settings->tls_certificate), or_null(settings->tls_key),
                       or_null(settings->tls_ca), or_null(settings->tls_crl),
                       !strcmp(settings->tls_profile, "bcp195-modified") },
        .peers = settings->hl7_peers,
        .peer_count = settings->hl7_peer_count,
        .trust_network = settings->hl7_trust_network,
        .character_set = or_null(settings->hl7_character_set),
        .assigning_authority = or_null(settings->hl7_assigning_authority),
        .processing_ids = or_null(settings->hl7_processing_ids),
        .station_ae = or_null(settings->hl7_station_ae),
        .rules = settings->hl7_rules,
        .rule_count = settings->hl7_rule_count,
        .message_limit = (size_t)(settings->hl7_message_limit_mib * (1 << 20)),
        .message_timeout_ms = (unsigned)(settings->hl7_message_timeout_seconds * 1000),
        .idle_timeout_ms = (unsigned)(settings->hl7_idle_timeout_seconds * 1000),
        .connection_limit = (unsigned)settings->hl7_connection_limit,
        .connection_limit_per_address = (unsigned)settings->hl7_connection_limit_per_address,
        .destinations = settings->hl7_destinations,
        .destination_count = settings->hl7_destination_count,
        .retry_ms = (unsigned)(settings->hl7_retry_seconds * 1000),
        .our_title = settings->ae_title,
        .workers = (unsigned)settings->hl7_workers,
    };
}

static bool check_port(const struct settings *settings, const char *key, double port,
                       double other_port, struct error *err)
{
    const double taken[] = { settings->dimse_port, settings->dimse_tls_port, settings->http_port,
                             settings->http_tls_port, other_port };
    for (size_t i = 0; port && i < sizeof(taken) / sizeof(taken[0]); i++)
        if (port == taken[i] || port != floor(port))
            return error_set(err, ERROR_INVALID, "%s must be a port of its own, or 0", key);
    return true;
}

bool settings_check_hl7(const struct settings *settings, struct error *err)
{
    const struct hl7_options options = settings_hl7_options(settings);
    struct hl7_mapping *mapping = NULL;
    if (!check_port(settings, "hl7.port", settings->hl7_port, settings->hl7_tls_port, err) ||
        !check_port(settings, "hl7.tlsPort", settings->hl7_tls_port, settings->hl7_port, err))
        return false;
    if (options.tls_port && !options.tls_files.certificate)
        return error_set(err, ERROR_INVALID, "hl7.tlsPort needs dimse.tlsCertificate and tlsKey");
    if (options.processing_ids && options.processing_ids[strspn(options.processing_ids, "PTD")])
        return error_set(err, ERROR_INVALID, "hl7.processingIds are letters of P, T and D");
    if (options.station_ae && !settings_is_ae_title(options.station_ae))
        return error_set(err, ERROR_INVALID, "hl7.stationAeTitle is no AE title");
    if (!hl7_mapping_new(&options, &mapping, err))
        return false;
    hl7_mapping_free(mapping);
    return true;
}
