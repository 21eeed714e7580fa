/* SPDX-License-Identifier: MIT */
#include "dimse/configuration.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"

enum {
    DEFAULT_ASSOCIATIONS = 256,
    DEFAULT_ASSOCIATIONS_PER_PEER = 64,
    DEFAULT_MAX_PDU = 256 << 10,
    MIN_MAX_PDU = 4 << 10,
    DEFAULT_ARTIM_MS = 10 * 1000,
    DEFAULT_IDLE_MS = 10 * 60 * 1000,
    DEFAULT_MESSAGE_MS = 60 * 1000,
    DEFAULT_CONNECT_MS = 10 * 1000,
    DEFAULT_QUERY_MS = 60 * 1000,
    DEFAULT_RETRY_MS = 10 * 1000,
    DEFAULT_FORWARD_RETRY_MS = 5 * 1000,
    DEFAULT_QUIET_MS = 30 * 1000,
    DEFAULT_CONFLICT_STATUS = 0x0111,
    DEFAULT_OPERATIONS = 16,
};

struct counted {
    struct configuration configuration; /* first, so that one pointer is both */
    atomic_uint holders;
    /* What the options point to. */
    char *address;
    char *ae_title;
    struct peer *peers;
    struct user *users;
    struct forward_rule *forward_rules;
    char **calling_ae_titles;
    char **availability_to;
    char **performed_to;
    char **refused_sop_classes;
    struct tls_credentials *tls;
};

struct configuration_place {
    pthread_mutex_t lock;
    const struct configuration *current; /* guarded by lock */
};

static void set_default(unsigned *value, unsigned otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void complete(struct dimse_options *options)
{
    set_default(&options->association_limit, DEFAULT_ASSOCIATIONS);
    set_default(&options->association_limit_per_peer, DEFAULT_ASSOCIATIONS_PER_PEER);
    set_default(&options->max_pdu, DEFAULT_MAX_PDU);
    set_default(&options->artim_timeout_ms, DEFAULT_ARTIM_MS);
    set_default(&options->idle_timeout_ms, DEFAULT_IDLE_MS);
    set_default(&options->message_timeout_ms, DEFAULT_MESSAGE_MS);
    set_default(&options->connect_timeout_ms, DEFAULT_CONNECT_MS);
    set_default(&options->query_timeout_ms, DEFAULT_QUERY_MS);
    set_default(&options->commitment_retry_ms, DEFAULT_RETRY_MS);
    set_default(&options->forward_retry_ms, DEFAULT_FORWARD_RETRY_MS);
    set_default(&options->availability_quiet_ms, DEFAULT_QUIET_MS);
    if (options->conflict_status == 0)
        options->conflict_status = DEFAULT_CONFLICT_STATUS;
    if (options->operations == 0)
        options->operations = DEFAULT_OPERATIONS;
    if (options->max_pdu < MIN_MAX_PDU)
        options->max_pdu = MIN_MAX_PDU;
}

static size_t list_size(const char *const *list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    return count;
}

static char **copy_list(const char *const *list)
{
    size_t count = list_size(list);
    if (!list)
        return NULL;
    char **copy = mem_alloc_array(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = mem_copy_text(list[i]);
    return copy;
}

static void free_list(char **list)
{
    for (char **text = list; text && *text; text++)
        free(*text);
    free(list);
}

static void copy_peer(struct peer *peer, const struct peer *from)
{
    *peer = *from;
    peer->ae_title = mem_copy_text(from->ae_title);
    peer->host = from->host && *from->host ? mem_copy_text(from->host) : NULL;
    peer->character_set = mem_copy_text(from->character_set);
    peer->certificate = from->certificate && *from->certificate ? mem_copy_text(from->certificate)
                                                                : NULL;
    peer->destinations = (const char *const *)copy_list(from->destinations);
    peer->transfer_syntaxes = (const char *const *)copy_list(from->transfer_syntaxes);
}

static void release_peer(struct peer *peer)
{
    free((void *)(uintptr_t)peer->ae_title);
    free((void *)(uintptr_t)peer->host);
    free((void *)(uintptr_t)peer->character_set);
    free((void *)(uintptr_t)peer->certificate);
    free_list((char **)(uintptr_t)peer->transfer_syntaxes);
    free_list((char **)(uintptr_t)peer->destinations);
}

static void copy_rule(struct forward_rule *rule, const struct forward_rule *from)
{
    rule->to = mem_copy_text(from->to);
    rule->modalities = (const char *const *)copy_list(from->modalities);
    rule->calling_ae_titles = (const char *const *)copy_list(from->calling_ae_titles);
}

static void release_rule(struct forward_rule *rule)
{
    free((void *)(uintptr_t)rule->to);
    free_list((char **)(uintptr_t)rule->modalities);
    free_list((char **)(uintptr_t)rule->calling_ae_titles);
}

static bool load_tls(struct counted *counted, struct error *err)
{
    struct dimse_options *options = &counted->configuration.options;
    const struct tls_files *files = &options->tls_files;
    if (options->tls_port && !files->certificate)
        return error_set(err, ERROR_INVALID, "TLS has a port and no certificate");
    if ((files->certificate || files->ca) && !tls_credentials_load(files, &counted->tls, err))
        return false;
    options->tls = counted->tls;
    for (size_t i = 0; i < options->peer_count; i++) {
        const struct peer *peer = &options->peers[i];
        if (peer->tls && !files->ca)
            return error_set(err, ERROR_INVALID, "peer %s has TLS and there is no CA to verify by",
                             peer->ae_title);
        if (peer->certificate && !tls_is_description(peer->certificate))
            return error_set(err, ERROR_INVALID,
                             "peer %s: certificate takes sha256: and 64 digits, or a subject",
                             peer->ae_title);
    }
    /* Files are only needed to load. */
    options->tls_files = (struct tls_files){ .certificate = NULL };
    return true;
}

bool configuration_new(const struct dimse_options *options, const struct configuration **out,
                       struct error *err)
{
    struct counted *counted = mem_alloc(sizeof(*counted));
    struct dimse_options *copy = &counted->configuration.options;
    atomic_init(&counted->holders, 1);
    *copy = *options;
    complete(copy);
    counted->address = mem_copy_text(options->address);
    copy->address = counted->address;
    counted->ae_title = mem_copy_text(options->ae_title);
    copy->ae_title = counted->ae_title;
    counted->peers = mem_alloc_array(options->peer_count, sizeof(*counted->peers));
    for (size_t i = 0; i < options->peer_count; i++)
        copy_peer(&counted->peers[i], &options->peers[i]);
    copy->peers = counted->peers;
    counted->users = mem_alloc_array(options->user_count, sizeof(*counted->users));
    for (size_t i = 0; i < options->user_count; i++)
        counted->users[i] = (struct user){ mem_copy_text(options->users[i].name),
                                           mem_copy_text(options->users[i].passcode),
                                           options->users[i].rights };
    copy->users = counted->users;
    counted->forward_rules = mem_alloc_array(options->forward_rule_count,
                                             sizeof(*counted->forward_rules));
    for (size_t i = 0; i < options->forward_rule_count; i++)
        copy_rule(&counted->forward_rules[i], &options->forward_rules[i]);
    copy->forward_rules = counted->forward_rules;
    counted->performed_to = copy_list(options->performed_to);
    copy->performed_to = (const char *const *)counted->performed_to;
    counted->availability_to = copy_list(options->availability_to);
    copy->availability_to = (const char *const *)counted->availability_to;
    counted->calling_ae_titles = copy_list(options->calling_ae_titles);
    copy->calling_ae_titles = (const char *const *)counted->calling_ae_titles;
    counted->refused_sop_classes = copy_list(options->refused_sop_classes);
    copy->refused_sop_classes = (const char *const *)counted->refused_sop_classes;
    counted->configuration.policy = (struct policy){
        .archive = copy->archive,
        .has_worklist = copy->worklist != NULL,
        .ae_title = copy->ae_title,
        .accept_any_called_ae = copy->accept_any_called_ae,
        .refuse_unknown_sop_classes = copy->refuse_unknown_sop_classes,
        .refused_sop_classes = copy->refused_sop_classes,
        .max_pdu = copy->max_pdu,
        .operations = copy->operations,
        .knows_users = copy->user_count > 0,
    };
    bool ok = load_tls(counted, err);
    if (!ok)
        configuration_release(&counted->configuration);
    *out = ok ? &counted->configuration : NULL;
    return ok;
}

const struct configuration *configuration_hold(const struct configuration *configuration)
{
    struct counted *counted = (struct counted *)(uintptr_t)configuration;
    atomic_fetch_add(&counted->holders, 1);
    return configuration;
}

void configuration_release(const struct configuration *configuration)
{
    struct counted *counted = (struct counted *)(uintptr_t)configuration;
    if (!counted || atomic_fetch_sub(&counted->holders, 1) > 1)
        return;
    for (size_t i = 0; i < configuration->options.peer_count; i++)
        release_peer(&counted->peers[i]);
    free(counted->peers);
    for (size_t i = 0; i < configuration->options.user_count; i++) {
        free((void *)(uintptr_t)counted->users[i].name);
        free((void *)(uintptr_t)counted->users[i].passcode);
    }
    free(counted->users);
    for (size_t i = 0; i < configuration->options.forward_rule_count; i++)
        release_rule(&counted->forward_rules[i]);
    free(counted->forward_rules);
    free_list(counted->calling_ae_titles);
    free_list(counted->availability_to);
    free_list(counted->performed_to);
    free_list(counted->refused_sop_classes);
    tls_credentials_free(counted->tls);
    free(counted->ae_title);
    free(counted->address);
    free(counted);
}

struct configuration_place *configuration_place_new_take(const struct configuration *first)
{
    struct configuration_place *place = mem_alloc(sizeof(*place));
    pthread_mutex_init(&place->lock, NULL);
    place->current = first;
    return place;
}

void configuration_place_free(struct configuration_place *place)
{
    if (!place)
        return;
    configuration_release(place->current);
    pthread_mutex_destroy(&place->lock);
    free(place);
}

const struct configuration *configuration_current(struct configuration_place *place)
{
    pthread_mutex_lock(&place->lock);
    const struct configuration *current = configuration_hold(place->current);
    pthread_mutex_unlock(&place->lock);
    return current;
}

void configuration_replace_take(struct configuration_place *place, const struct configuration *next)
{
    pthread_mutex_lock(&place->lock);
    const struct configuration *before = place->current;
    place->current = next;
    pthread_mutex_unlock(&place->lock);
    configuration_release(before);
}
