/* SPDX-License-Identifier: MIT */
#include "server/serve.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "archive/changes.h"
#include "archive/compact.h"
#include "archive/hold.h"
#include "archive/query_tags.h"
#include "archive/registration.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "cast/cast.h"
#include "cast/webhook.h"
#include "dicomweb/dicomweb.h"
#include "dimse/peers.h"
#include "hl7/notifier.h"
#include "hl7/server.h"
#include "server/conformance.h"
#include "server/control.h"
#include "server/health.h"
#include "server/http_operations.h"
#include "server/keeper.h"
#include "server/openapi.h"
#include "server/restart.h"
#include "server/settings_parts.h"
#include "server/step_progress.h"
#include "server/users.h"
#include "server/verifier.h"
#include "server/viewer.h"
#include "storage/storage.h"
#include "worklist/worklist.h"

enum { STOP_GRACE_MS = 3000, TABLES = 8 /* of routes */ };

struct server {
    struct storage *storage;
    struct archive *archive;
    struct worklist *worklist;
    struct keeper *keeper;
    struct step_progress *progress;
    struct cast *cast;
    struct webhooks *webhooks;
    struct dicomweb *dicomweb;
    struct http_server *http;
    struct conformance *conformance;
    struct openapi *openapi;
    struct viewer *viewer;
    struct dimse_server *dimse;
    struct hl7_server *hl7;
    struct hl7_notifier *hl7_notifier;
    struct verifier *verifier;
    struct compactor *compactor;
    struct tag_indexer *indexer;
    struct amender *amender;
    struct operation_turns turns;
    struct operation_place place;
    struct control *control;
    struct http_operations *operations;
    struct health health;
    char *dicomweb_url;
};

static const char *or_null(const char *text)
{
    return text && *text ? text : NULL;
}

static bool open_archive(struct server *server, const struct settings *settings, struct error *err)
{
    const struct storage_options storage = {
        .path = settings->data_directory,
        .segment_size = (uint64_t)(settings->segment_size_mib * (1 << 20)),
    };
    const struct archive_options archive = {
        .ae_title = settings->ae_title,
        .refuse_unknown_sop_classes = settings->refuse_unknown_sop_classes,
        .minimum_free_bytes = (uint64_t)(settings->minimum_free_mib * (1 << 20)),
        .on_conflict = strcmp(settings->on_conflict, "replace") ? CONFLICT_KEEPS_FIRST
                                                                : CONFLICT_REPLACES,
        .coercions = settings->coercions,
        .coercion_count = settings->coercion_count,
        .versions_kept = (size_t)settings->versions_kept,
    };
    const struct worklist_options worklist = {
        .keep_done_ms = (int64_t)(settings->keep_done_days * 24 * 3600 * 1000),
        .refuse_deletion_locks = !settings->deletion_locks,
        .reschedule_discontinued = settings->reschedule_discontinued,
    };
    struct error why = { 0 };
    if (!storage_open(&storage, &server->storage, err) ||
        !archive_open(server->storage, &archive, &server->archive, err) ||
        !worklist_open(server->storage, &worklist, &server->worklist, err))
        return false;
    if (!hold_save_copy(server->archive, &why))
        log_warn("server: no copy of legal holds beside the index: %s", why.message);
    return true;
}

static bool open_verifier(struct server *server, const struct settings *settings, struct error *err)
{
    const struct verifier_options options = {
        .storage = server->storage,
        .every_days = settings->verify_every_days,
        .bytes_per_second = (uint64_t)(settings->verify_mib_per_second * (1 << 20)),
    };
    return verifier_open(server->archive, &options, &server->verifier, err);
}

static bool open_compactor(struct server *server, const struct settings *settings,
                           struct error *err)
{
    return settings->compact_above_dead_share == 0 ||
           compactor_open(server->archive, settings->compact_above_dead_share, &server->compactor,
                          err);
}

static bool open_control(struct server *server, const struct settings *settings, struct error *err)
{
    pthread_mutex_init(&server->turns.lock, NULL);
    server->place = (struct operation_place){ .storage = server->storage,
                                              .archive = server->archive,
                                              .turns = &server->turns,
                                              .verifier = server->verifier,
                                              .cast = server->cast,
                                              .data_directory = settings->data_directory,
                                              .ae_title = settings->ae_title };
    server->operations = http_operations_new(&server->place);
    return control_open(&server->place, &server->control, err);
}

/* Where the DICOMweb service is for others: Endpoint.address of the cast. */
static char *dicomweb_url(const struct settings *settings)
{
    if (*settings->base_url)
        return mem_format("%s%s", settings->base_url, settings->dicomweb_prefix);
    bool any = !strcmp(settings->bind, "0.0.0.0") || !strcmp(settings->bind, "::");
    const char *host = any ? "localhost" : settings->bind;
    const char *brackets = strchr(host, ':') ? "[]" : "";
    return mem_format("http://%.1s%s%.1s:%d%s", brackets, host, *brackets ? brackets + 1 : "",
                      (int)settings->http_port, settings->dicomweb_prefix);
}

static bool open_cast(struct server *server, const struct settings *settings, struct error *err)
{
    server->dicomweb_url = dicomweb_url(settings);
    const struct cast_options options = {
        .fhir_url = or_null(settings->fhir_url),
        .bearer_token = or_null(settings->bearer_token),
        .bearer_token_file = or_null(settings->bearer_token_file),
        .oauth = { .token_url = or_null(settings->oauth_token_url),
                   .client_id = or_null(settings->oauth_client_id),
                   .client_secret = or_null(settings->oauth_client_secret),
                   .client_secret_file = or_null(settings->oauth_client_secret_file),
                   .key_file = or_null(settings->oauth_key_file),
                   .key_id = or_null(settings->oauth_key_id),
                   .scope = or_null(settings->oauth_scope) },
        .tls_ca = or_null(settings->fhir_tls_ca),
        .tls_certificate = or_null(settings->fhir_tls_certificate),
        .tls_key = or_null(settings->fhir_tls_key),
        .proxy = or_null(settings->fhir_proxy),
        .user = or_null(settings->user),
        .password = or_null(settings->password),
        .quiet_seconds = settings->quiet_seconds,
        .maximum_age_seconds = settings->maximum_age_seconds,
        .dicomweb_url = server->dicomweb_url,
        .identifier_system = or_null(settings->identifier_system),
        .ae_title = settings->ae_title,
        .timezone = or_null(settings->timezone),
        .strict = settings->strict_mapping,
        .looks_up = settings->cast_looks_up,
        .withhold = (const char *const *)settings->cast_withhold.items,
        .view_withhold = (const char *const *)settings->view_withhold.items,
        .workers = (unsigned)settings->cast_workers,
        .removal = settings->cast_removal,
        .version = settings->fhir_version,
        .timeout_seconds = settings->fhir_timeout_seconds,
        .worklist = server->worklist,
        .orders = { .every_seconds = settings->orders_every_seconds,
                    .modality = or_null(settings->orders_modality),
                    .station = or_null(settings->orders_station),
                    .issuers = (const char *const *)settings->orders_issuers.items },
    };
    return cast_open(server->archive, &options, &server->cast, err);
}

static bool open_webhooks(struct server *server, const struct settings *settings, struct error *err)
{
    const struct webhook_options options = {
        .urls = (const char *const *)settings->webhook_urls.items,
        .secret_file = or_null(settings->webhook_secret_file),
        .tls_ca = or_null(settings->webhook_tls_ca),
        .proxy = or_null(settings->webhook_proxy),
    };
    return webhooks_open(server->archive, &options, &server->webhooks, err);
}

static struct http_options http_options(const struct settings *settings, const struct users *users)
{
    bool own = *settings->http_tls_certificate;
    return (struct http_options){
        .address = settings->bind,
        .port = (uint16_t)settings->http_port,
        .secure = settings->http_tls_port > 0,
        .secure_port = (uint16_t)settings->http_tls_port,
        .tls_files = { .certificate = or_null(own ? settings->http_tls_certificate
                                                  : settings->tls_certificate),
                       .key = or_null(own ? settings->http_tls_key : settings->tls_key) },
        .trusted_proxies = (const char *const *)settings->trusted_proxies.items,
        .forwarded_rfc_7239 = !strcmp(settings->forwarded_header, "Forwarded"),
        .access_log = settings->access_log,
        .login = *settings->users_file,
        .users = users->users,
        .user_count = users->count,
        .base_url = or_null(settings->base_url),
        .cors_origins = (const char *const *)settings->cors_origins.items,
        .cors_origin_count = settings->cors_origins.count,
        .connection_limit = (unsigned)settings->connection_limit,
        .connection_limit_per_address = (unsigned)settings->connection_limit_per_address,
        .idle_timeout_s = (unsigned)settings->http_idle_timeout_seconds,
        .header_timeout_s = (unsigned)settings->header_timeout_seconds,
        .minimum_rate = (uint64_t)settings->minimum_rate,
        .body_limit = (uint64_t)(settings->body_limit_mib * (1 << 20)),
    };
}

static bool open_http(struct server *server, const struct settings *settings, struct error *err)
{
    const struct dicomweb_options dicomweb = {
        .worklist = server->worklist,
        .ae_title = settings->ae_title,
        .query_limit = (uint64_t)settings->query_limit,
        .query_timeout_ms = (int64_t)(settings->web_query_timeout_seconds * 1000),
        .feed_waiters = (unsigned)settings->feed_waiters,
        .metadata_cache_bytes = (uint64_t)(settings->metadata_cache_mib * (1 << 20)),
        .picture_cache_bytes = (uint64_t)(settings->picture_cache_mib * (1 << 20)),
    };
    struct users users = { 0 };
    if (*settings->users_file && !users_load(settings->users_file, &users, err))
        return false;
    if (!viewer_new(settings, &server->viewer, err)) {
        users_release(&users);
        return false;
    }
    const struct http_options options = http_options(settings, &users);
    server->dicomweb = dicomweb_new(server->archive, &dicomweb);
    server->conformance = conformance_new();
    server->health.storage = server->storage;
    server->health.archive = server->archive;
    server->health.verifier = server->verifier;
    server->health.cast = server->cast;
    server->health.webhooks = server->webhooks;
    server->health.settings = settings;
    struct route_table tables[TABLES] = {
        health_routes(&server->health),
        dicomweb_routes(server->dicomweb, settings->dicomweb_prefix),
        cast_order_routes(server->cast, settings->fhir_prefix), /* before who refuses all else */
        cast_routes(server->cast, settings->fhir_prefix),
        http_operations_routes(server->operations),
        viewer_routes(server->viewer),
        conformance_routes(server->conformance),
    };
    server->openapi = openapi_new(tables, TABLES - 1, settings->dicomweb_prefix,
                                  *settings->users_file);
    tables[TABLES - 1] = openapi_routes(server->openapi);
    conformance_update(server->conformance, settings, tables, TABLES);
    bool ok = http_server_open(&options, tables, TABLES, &server->http, err);
    users_release(&users);
    return ok;
}

/* The certificate and the users are taken anew. */
static bool reload_http(struct server *server, const struct settings *settings, struct error *err)
{
    struct users users = { 0 };
    if (*settings->users_file && !users_load(settings->users_file, &users, err))
        return false;
    const struct http_options options = http_options(settings, &users);
    bool ok = http_server_reload(server->http, &options, err);
    if (ok)
        openapi_set_login(server->openapi, options.login);
    users_release(&users);
    return ok;
}

static void warn_of_everybody(const struct settings *settings)
{
    bool loopback = !strncmp(settings->bind, "127.", 4) || !strcmp(settings->bind, "::1");
    if (!loopback && !*settings->users_file)
        log_warn("server: anybody who reaches HTTP may read, store and delete: there is no "
                 "http.usersFile, and bind is more than this machine");
}

static unsigned milliseconds(double seconds)
{
    return (unsigned)(seconds * 1000);
}

static struct dimse_options dimse_options(const struct server *server,
                                          const struct settings *settings)
{
    return (struct dimse_options){
        .worklist = server->worklist,
        .address = settings->bind,
        .port = (uint16_t)settings->dimse_port,
        .tls_port = (uint16_t)settings->dimse_tls_port,
        .tls_files = { or_null(settings->tls_certificate), or_null(settings->tls_key),
                       or_null(settings->tls_ca), or_null(settings->tls_crl),
                       !strcmp(settings->tls_profile, "bcp195-modified") },
        .ae_title = settings->ae_title,
        .accept_any_called_ae = settings->accept_any_called_ae,
        .calling_ae_titles = settings->calling_ae_titles.count
                                 ? (const char *const *)settings->calling_ae_titles.items
                                 : NULL,
        .refused_sop_classes = (const char *const *)settings->refused_sop_classes.items,
        .peers = settings->peers,
        .peer_count = settings->peer_count,
        .users = settings->users,
        .user_count = settings->user_count,
        .require_user = settings->require_user,
        .forward_rules = settings->forward_rules,
        .forward_rule_count = settings->forward_rule_count,
        .performed_to = (const char *const *)settings->performed_to.items,
        .availability_to = (const char *const *)settings->availability_to.items,
        .availability_quiet_ms = milliseconds(settings->availability_quiet_seconds),
        .forward_retry_ms = milliseconds(settings->forward_retry_seconds),
        .operations = (uint16_t)settings->operations,
        .trust_network = settings->trust_network,
        .association_limit = (unsigned)settings->association_limit,
        .association_limit_per_peer = (unsigned)settings->association_limit_per_peer,
        .max_pdu = (uint32_t)settings->max_pdu,
        .artim_timeout_ms = milliseconds(settings->artim_timeout_seconds),
        .idle_timeout_ms = milliseconds(settings->idle_timeout_seconds),
        .message_timeout_ms = milliseconds(settings->message_timeout_seconds),
        .connect_timeout_ms = milliseconds(settings->connect_timeout_seconds),
        .query_timeout_ms = milliseconds(settings->query_timeout_seconds),
        .commitment_wait_ms = milliseconds(settings->commitment_wait_seconds),
        .commitment_retry_ms = milliseconds(settings->commitment_retry_seconds),
        .refuse_unknown_sop_classes = settings->refuse_unknown_sop_classes,
        .conflict_status = (uint16_t)strtoul(settings->conflict_status, NULL, 16),
    };
}

static void warn_of_nobody(const struct dimse_options *options)
{
    if (peers_admit_nobody(options))
        log_warn(
            "server: bind is more than this machine, and nobody may call by DICOM: name who may in "
            "dimse.peers (--peer) or dimse.callingAeTitles, or set dimse.trustNetwork");
}

static bool open_dimse(struct server *server, const struct settings *settings, struct error *err)
{
    const struct dimse_options options = dimse_options(server, settings);
    warn_of_nobody(&options);
    return dimse_server_open(server->archive, &options, &server->dimse, err);
}

static void warn_of_no_sender(const struct hl7_options *options)
{
    if (hl7_admits_nobody(options))
        log_warn("server: bind is more than this machine, and nobody may send HL7: name who may in "
                 "hl7.peers, or set hl7.trustNetwork");
}

static bool open_hl7(struct server *server, const struct settings *settings, struct error *err)
{
    const struct hl7_options options = settings_hl7_options(settings);
    warn_of_no_sender(&options);
    return hl7_notifier_open(server->worklist, &options, &server->hl7_notifier, err) &&
           hl7_server_open(server->archive, server->worklist, &options, &server->hl7, err);
}

/* SIGHUP: the peers and all else of DICOM and HL7 but their address and ports are taken anew, and
 * the certificate of HTTPS and its users. Settings that are wrong change nothing. */
static void reload(struct server *server, const struct settings *running, int flag_count,
                   char **flags)
{
    struct settings *settings = NULL;
    struct error err;
    bool ok = settings_load(flag_count, flags, &settings, &err);
    if (ok) {
        struct dimse_options options = dimse_options(server, settings);
        options.address = running->bind; /* what is listened on decides who may call */
        struct hl7_options hl7 = settings_hl7_options(settings);
        hl7.address = running->bind;
        hl7.port = (uint16_t)running->hl7_port;
        hl7.tls_port = (uint16_t)running->hl7_tls_port;
        ok = reload_http(server, settings, &err) &&
             dimse_server_reload(server->dimse, &options, &err) &&
             hl7_server_reload(server->hl7, &hl7, &err);
        if (ok) {
            conformance_reload(server->conformance, settings, running);
            warn_of_nobody(&options);
            warn_of_no_sender(&hl7);
        }
    }
    if (ok)
        log_info("server: settings reloaded peers=%zu", settings->peer_count);
    else
        log_error("server: settings not reloaded, the old ones stay why=\"%s\"", err.message);
    settings_free(settings);
}

static void close_all(struct server *server)
{
    keeper_announce_end(server->keeper);
    /* Before who waits for an operation of it. */
    if (server->cast)
        cast_stop(server->cast);
    webhooks_stop(server->webhooks);
    control_close(server->control);
    if (server->archive)
        changes_wake(server->archive);
    hl7_server_close(server->hl7);
    hl7_notifier_close(server->hl7_notifier);
    if (server->dimse)
        dimse_server_close(server->dimse, STOP_GRACE_MS);
    if (server->http)
        http_server_close(server->http, STOP_GRACE_MS);
    openapi_free(server->openapi);
    conformance_free(server->conformance);
    viewer_free(server->viewer);
    /* Behind HTTP: it asks them. */
    http_operations_free(server->operations);
    compactor_close(server->compactor);
    tag_indexer_close(server->indexer);
    amender_close(server->amender);
    verifier_close(server->verifier);
    if (server->cast)
        cast_close(server->cast);
    webhooks_close(server->webhooks);
    if (server->dicomweb)
        dicomweb_free(server->dicomweb);
    keeper_close(server->keeper);
    step_progress_close(server->progress);
    worklist_close(server->worklist);
    if (server->archive)
        archive_close(server->archive);
    if (server->storage)
        storage_close(server->storage);
    free(server->dicomweb_url);
}

void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Waits for SIGTERM or SIGINT, and heeds SIGHUP meanwhile. False: it is to start anew. */
static bool await_stop(struct server *server, const struct settings *settings, int flag_count,
                       char **flags, struct restart *restart, const sigset_t *signals)
{
    int number = SIGHUP;
    while ((number = restart_wait(restart, server->storage, signals)) == SIGHUP)
        reload(server, settings, flag_count, flags);
    log_info("server: stopping signal=%s", !number ? "none" : number == SIGINT ? "INT" : "TERM");
    return number != 0;
}

bool serve(const struct settings *settings, int flag_count, char **flags, struct error *err)
{
    struct server server = { 0 };
    struct restart restart;
    sigset_t stop;
    bool ok = false;
    bool again = false;
    int64_t began_ms = clock_monotonic_ms();

    /* Blocked here, so that every thread inherits it and sigwait alone takes them. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* Whatever is written holds patients' data, RocksDB's files too. */
    umask(S_IWGRP | S_IRWXO);
    raise_descriptor_limit();
    restart_init(&restart, settings->restart_after_failure);

    if (!open_archive(&server, settings, err) || !open_verifier(&server, settings, err) ||
        !open_compactor(&server, settings, err) ||
        !tag_indexer_open(server.archive, &server.indexer, err) ||
        (settings->amend_patients && !amender_open(server.archive, &server.amender, err)) ||
        !open_cast(&server, settings, err) || !open_webhooks(&server, settings, err) ||
        !open_control(&server, settings, err) || !open_http(&server, settings, err) ||
        !keeper_open(server.worklist, &server.keeper, err) ||
        !step_progress_open(server.archive, server.worklist, &server.progress, err) ||
        !open_dimse(&server, settings, err) || !open_hl7(&server, settings, err))
        goto out;
    log_info("server: ready version=%s ae_title=\"%s\" dimse=%s:%d http=%s:%d dicomweb=%s fhir=%s "
             "hl7_port=%d data=%s cast=%s ms=%d",
             HOUNSFIELD_VERSION, settings->ae_title, settings->bind, (int)settings->dimse_port,
             settings->bind, (int)settings->http_port, settings->dicomweb_prefix,
             settings->fhir_prefix, (int)settings->hl7_port, settings->data_directory,
             *settings->fhir_url ? "on" : "off", (int)(clock_monotonic_ms() - began_ms));
    if (*settings->fhir_url && !*settings->base_url)
        log_warn("server: http.baseUrl is not set, so Endpoint resources say %s",
                 server.dicomweb_url);
    warn_of_everybody(settings);
    again = !await_stop(&server, settings, flag_count, flags, &restart, &stop);
    /* Who asks a second time does not want to wait. */
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_IGN);
    pthread_sigmask(SIG_UNBLOCK, &stop, NULL);
    ok = true;
out:
    close_all(&server);
    if (ok)
        log_info("server: stopped");
    if (!ok && restart.attempts)
        log_error("server: %s", err->message);
    if (again || (!ok && restart_pause(&restart, &stop)))
        restart_execute(&restart);
    return ok && !again;
}
