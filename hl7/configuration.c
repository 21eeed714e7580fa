/* SPDX-License-Identifier: MIT */
#include "hl7/configuration.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "hl7/message.h"

enum {
    DEFAULT_MESSAGE_LIMIT = 16 << 20,
    DEFAULT_MESSAGE_TIMEOUT_MS = 60 * 1000,
    DEFAULT_CONNECTIONS = 256,
    DEFAULT_CONNECTIONS_PER_ADDRESS = 64,
    DEFAULT_WORKERS = 16,
};

struct counted {
    struct hl7_configuration configuration; /* first, so that one pointer is both */
    atomic_uint holders;
    struct hl7_peer *peers;
    struct network *networks; /* of the peers */
    struct tls_credentials *tls;
    char *texts[5]; /* what the options point to besides */
};

static void set_default(unsigned *value, unsigned otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static const char *keep(struct counted *counted, size_t place, const char *text)
{
    return counted->texts[place] = text && *text ? mem_copy_text(text) : NULL;
}

static bool copy_peers(struct counted *counted, const struct hl7_options *options,
                       struct error *err)
{
    counted->peers = mem_alloc_array(options->peer_count + 1, sizeof(*counted->peers));
    counted->networks = mem_alloc_array(options->peer_count + 1, sizeof(*counted->networks));
    counted->configuration.options.peers = counted->peers;
    counted->configuration.options.peer_count = 0;
    for (size_t i = 0; i < options->peer_count; i++) {
        const struct hl7_peer *peer = &options->peers[i];
        if (!network_parse(peer->host, &counted->networks[i]))
            return error_set(err, ERROR_INVALID,
                             "hl7.peers: \"%.60s\" is no address and no network", peer->host);
        if (peer->certificate && *peer->certificate && !tls_is_description(peer->certificate))
            return error_set(err, ERROR_INVALID,
                             "hl7.peers: certificate takes sha256: and 64 digits, or a subject");
        counted->peers[i] = (struct hl7_peer){ mem_copy_text(peer->host),
                                               mem_copy_text(peer->application),
                                               mem_copy_text(peer->facility),
                                               mem_copy_text(peer->certificate) };
        counted->configuration.options.peer_count++;
    }
    return true;
}

static bool load_tls(struct counted *counted, struct error *err)
{
    struct hl7_options *options = &counted->configuration.options;
    if (options->tls_port && !options->tls_files.certificate)
        return error_set(err, ERROR_INVALID, "hl7.tlsPort needs dimse.tlsCertificate and tlsKey");
    if (options->tls_port && !tls_credentials_load(&options->tls_files, &counted->tls, err))
        return false;
    counted->configuration.tls = counted->tls;
    options->tls_files = (struct tls_files){ .certificate = NULL }; /* only needed to load */
    return true;
}

bool hl7_configuration_new(const struct hl7_options *options, struct hl7_configuration **out,
                           struct error *err)
{
    struct counted *counted = mem_alloc(sizeof(*counted));
    struct hl7_options *copy = &counted->configuration.options;
    atomic_init(&counted->holders, 1);
    *copy = *options;
    set_default(&copy->message_timeout_ms, DEFAULT_MESSAGE_TIMEOUT_MS);
    set_default(&copy->connection_limit, DEFAULT_CONNECTIONS);
    set_default(&copy->connection_limit_per_address, DEFAULT_CONNECTIONS_PER_ADDRESS);
    set_default(&copy->workers, DEFAULT_WORKERS);
    if (copy->message_limit == 0)
        copy->message_limit = DEFAULT_MESSAGE_LIMIT;
    copy->address = keep(counted, 0, options->address);
    copy->character_set = keep(counted, 1, options->character_set);
    copy->assigning_authority = keep(counted, 2, options->assigning_authority);
    copy->processing_ids = keep(counted, 3, options->processing_ids);
    copy->station_ae = keep(counted, 4, options->station_ae);
    copy->rules = NULL;
    copy->destinations = NULL; /* the notifier's */
    copy->destination_count = 0;
    copy->our_title = NULL;
    bool ok = copy_peers(counted, options, err) && load_tls(counted, err) &&
              hl7_mapping_new(options, &counted->configuration.mapping, err);
    if (!ok)
        hl7_configuration_release(&counted->configuration);
    *out = ok ? &counted->configuration : NULL;
    return ok;
}

struct hl7_configuration *hl7_configuration_hold(struct hl7_configuration *configuration)
{
    atomic_fetch_add(&((struct counted *)configuration)->holders, 1);
    return configuration;
}

void hl7_configuration_release(struct hl7_configuration *configuration)
{
    struct counted *counted = (struct counted *)configuration;
    if (!counted || atomic_fetch_sub(&counted->holders, 1) > 1)
        return;
    for (size_t i = 0; i < configuration->options.peer_count; i++) {
        free((char *)(uintptr_t)counted->peers[i].host);
        free((char *)(uintptr_t)counted->peers[i].application);
        free((char *)(uintptr_t)counted->peers[i].facility);
        free((char *)(uintptr_t)counted->peers[i].certificate);
    }
    free(counted->peers);
    free(counted->networks);
    hl7_mapping_free(configuration->mapping);
    tls_credentials_free(counted->tls);
    for (size_t i = 0; i < sizeof(counted->texts) / sizeof(counted->texts[0]); i++)
        free(counted->texts[i]);
    free(counted);
}

static bool is_loopback(const char *text)
{
    static const char *const networks[] = { "127.0.0.0/8", "::1" };
    struct address address;
    struct network network;
    for (size_t i = 0; i < 2; i++)
        if (address_parse(text, &address) && network_parse(networks[i], &network) &&
            network_holds(&network, &address))
            return true;
    return false;
}

bool hl7_admits_nobody(const struct hl7_options *options)
{
    return (options->port || options->tls_port) && !options->peer_count &&
           !options->trust_network && !is_loopback(options->address);
}

bool hl7_admits_address(const struct hl7_configuration *configuration,
                        const struct address *address)
{
    const struct counted *counted = (const struct counted *)configuration;
    const struct hl7_options *options = &configuration->options;
    if (!options->peer_count)
        return options->trust_network || is_loopback(options->address);
    for (size_t i = 0; i < options->peer_count; i++)
        if (network_holds(&counted->networks[i], address))
            return true;
    return false;
}

static bool is_named(const char *expected, struct slice actual)
{
    return !expected || !*expected || slice_equals_text(actual, expected);
}

bool hl7_admits_sender(const struct hl7_configuration *configuration, const struct address *address,
                       const struct tls *tls, struct slice application, struct slice facility)
{
    const struct counted *counted = (const struct counted *)configuration;
    const struct hl7_options *options = &configuration->options;
    if (!options->peer_count)
        return hl7_admits_address(configuration, address);
    for (size_t i = 0; i < options->peer_count; i++) {
        const struct hl7_peer *peer = &options->peers[i];
        bool shows = !peer->certificate || !*peer->certificate ||
                     (tls && tls_peer_is(tls, peer->certificate));
        if (shows && network_holds(&counted->networks[i], address) &&
            is_named(peer->application, application) && is_named(peer->facility, facility))
            return true;
    }
    return false;
}
