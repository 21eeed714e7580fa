/* SPDX-License-Identifier: MIT */
#include "cast/cast.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/memory.h"
#include "cast/bearer.h"
#include "cast/fhir_time.h"
#include "cast/fhir_view.h"
#include "cast/follower.h"
#include "cast/order_poll.h"
#include "cast/order_post.h"
#include "cast/parked.h"
#include "cast/reconcile.h"
#include "cast/text.h"

enum { TEXTS = 32, MAXIMUM_AGE_MS = 60 * 1000 };

struct cast {
    struct archive *archive;
    struct mapping_options mapping;
    struct mapping_options view_mapping;
    struct bearer *bearer;     /* NULL: no tokens */
    struct follower *follower; /* NULL: no FHIR server */
    struct order_post posts;
    struct order_poll *orders; /* NULL: the FHIR server is not asked for any */
    struct fhir_view *view;
    char *texts[TEXTS]; /* what the options above point into */
    size_t text_count;
};

static const char *keep(struct cast *cast, const char *text)
{
    return text && *text ? cast->texts[cast->text_count++] = mem_copy_text(text) : NULL;
}

static const char *own_system(struct cast *cast, const char *ae_title)
{
    struct buffer system = buffer_up_to(1024);
    buffer_append_text(&system, "urn:hounsfield:");
    text_percent_encode(slice_text(ae_title && *ae_title ? ae_title : "HOUNSFIELD"), &system);
    const char *kept = keep(cast, buffer_text(&system));
    buffer_release(&system);
    return kept;
}

static bool check_options(const struct cast_options *options, struct error *err)
{
    char zone[FHIR_TIME_SIZE];
    if (options->identifier_system && *options->identifier_system &&
        !text_is_uri(options->identifier_system))
        return error_set(err, ERROR_INVALID,
                         "the identifier system (fhir.identifierSystem) is no URI");
    if (options->timezone && *options->timezone && !fhir_zone(options->timezone, zone))
        return error_set(err, ERROR_INVALID,
                         "the time zone (fhir.timezone) is not of the form +01:00");
    enum fhir_version version;
    if (options->version && !fhir_version_named(options->version, &version))
        return error_set(err, ERROR_INVALID, "the release (fhir.version) is auto, R4 or R5");
    if (options->dicomweb_url && *options->dicomweb_url && !text_is_uri(options->dicomweb_url))
        return error_set(err, ERROR_INVALID, "the cast's DICOMweb address is no URL");
    return true;
}

static enum fhir_version version_of(const struct cast_options *options)
{
    enum fhir_version version = FHIR_UNKNOWN;
    if (options->version)
        fhir_version_named(options->version, &version);
    return version;
}

static bool set_withheld(struct cast *cast, const struct cast_options *options, struct error *err)
{
    if (!withhold_read(options->withhold, &cast->mapping.withhold, err))
        return error_add_context(err, "fhir.withhold");
    if (!withhold_read(options->view_withhold, &cast->view_mapping.withhold, err))
        return error_add_context(err, "fhir.viewWithhold");
    if (cast->view_mapping.withhold & WITHHOLD_PATIENT)
        return error_set(err, ERROR_INVALID,
                         "fhir.viewWithhold: the view has a Patient for each study");
    return true;
}

static bool set_mapping(struct cast *cast, const struct cast_options *options, struct error *err)
{
    const char *source = own_system(cast, options->ae_title);
    const char *prefix = keep(cast, options->identifier_system);
    cast->mapping = (struct mapping_options){
        .prefix = prefix ? prefix : source,
        .source = source,
        .dicomweb_url = keep(cast, options->dicomweb_url),
        .timezone = keep(cast, options->timezone),
    };
    cast->view_mapping = cast->mapping;
    return set_withheld(cast, options, err);
}

static enum removal removal_of(const char *name)
{
    if (name && strcmp(name, "cancelled") == 0)
        return REMOVAL_CANCELLED;
    if (name && strcmp(name, "entered-in-error") == 0)
        return REMOVAL_ENTERED_IN_ERROR;
    return REMOVAL_DELETE;
}

static bool open_bearer(struct cast *cast, const struct cast_options *options, struct error *err)
{
    const struct bearer_options bearer = {
        .token = keep(cast, options->bearer_token),
        .file = keep(cast, options->bearer_token_file),
        .token_url = keep(cast, options->oauth.token_url),
        .client_id = keep(cast, options->oauth.client_id),
        .client_secret = keep(cast, options->oauth.client_secret),
        .client_secret_file = keep(cast, options->oauth.client_secret_file),
        .key_file = keep(cast, options->oauth.key_file),
        .key_id = keep(cast, options->oauth.key_id),
        .scope = keep(cast, options->oauth.scope),
        .http = { .tls_ca = options->tls_ca,
                  .tls_certificate = options->tls_certificate,
                  .tls_key = options->tls_key,
                  .proxy = options->proxy,
                  .timeout_ms = (int64_t)(options->timeout_seconds * 1000) },
    };
    return bearer_open(&bearer, &cast->bearer, err);
}

static bool is_near(const char *url)
{
    static const char *const hosts[] = { "127.", "localhost", "[::1]" };
    const char *host = strstr(url, "://") + 3;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (strncasecmp(host, hosts[i], strlen(hosts[i])) == 0)
            return true;
    return false;
}

static void warn_of_plain_text(const char *url, bool secret)
{
    if (url && secret && strncasecmp(url, "http://", 7) == 0 && !is_near(url))
        log_warn("cast: credentials go to %s without TLS", strchr(url, '@') ? "a server" : url);
}

static struct fhir_client_options client_options(struct cast *cast,
                                                 const struct cast_options *options)
{
    return (struct fhir_client_options){
        .url = keep(cast, options->fhir_url),
        .bearer = cast->bearer,
        .user = keep(cast, options->user),
        .password = keep(cast, options->password),
        .tls_ca = keep(cast, options->tls_ca),
        .tls_certificate = keep(cast, options->tls_certificate),
        .tls_key = keep(cast, options->tls_key),
        .proxy = keep(cast, options->proxy),
        .timeout_ms = (int64_t)(options->timeout_seconds * 1000),
    };
}

static bool start_follower(struct cast *cast, const struct cast_options *options,
                           const struct fhir_client_options *client, struct error *err)
{
    struct follower_options follower = {
        .client = *client,
        .mapping = cast->mapping,
        .quiet_ms = (int64_t)(options->quiet_seconds * 1000),
        .maximum_age_ms = options->maximum_age_seconds > 0
                              ? (int64_t)(options->maximum_age_seconds * 1000)
                              : MAXIMUM_AGE_MS,
        .workers = options->workers,
        .removal = removal_of(options->removal),
        .strict = options->strict,
        .looks_up = options->looks_up,
        .version = version_of(options),
    };
    warn_of_plain_text(client->url, cast->bearer || client->user);
    warn_of_plain_text(options->oauth.token_url, cast->bearer != NULL);
    return follower_open(cast->archive, &follower, &cast->follower, err);
}

static bool start_orders(struct cast *cast, const struct cast_options *options,
                         const struct fhir_client_options *client, struct error *err)
{
    const struct order_poll_options poll = {
        .client = *client,
        .mapping = cast->posts.mapping,
        .interval_ms = (int64_t)(options->orders.every_seconds * 1000),
    };
    if (!options->worklist || poll.interval_ms <= 0)
        return true;
    return order_poll_open(cast->archive, options->worklist, &poll, &cast->orders, err);
}

static bool start(struct cast *cast, const struct cast_options *options, struct error *err)
{
    if (!options->fhir_url || !*options->fhir_url)
        return true;
    if (!open_bearer(cast, options, err))
        return false;
    const struct fhir_client_options client = client_options(cast, options);
    return start_follower(cast, options, &client, err) && start_orders(cast, options, &client, err);
}

bool cast_open(struct archive *archive, const struct cast_options *options, struct cast **out,
               struct error *err)
{
    *out = NULL;
    if (!check_options(options, err))
        return false;
    struct cast *cast = mem_alloc(sizeof *cast);
    cast->archive = archive;
    cast->posts = (struct order_post){
        .worklist = options->worklist,
        .mapping = { .modality = keep(cast, options->orders.modality),
                     .station = keep(cast, options->orders.station),
                     .issuers = options->orders.issuers },
    };
    cast->view = fhir_view_new(archive, &cast->view_mapping, version_of(options),
                               options->worklist != NULL);
    if (!set_mapping(cast, options, err) || !start(cast, options, err)) {
        cast_close(cast);
        return false;
    }
    *out = cast;
    return true;
}

void cast_stop(struct cast *cast)
{
    bearer_stop(cast->bearer);
    if (cast->follower)
        follower_stop(cast->follower);
    if (cast->orders)
        order_poll_stop(cast->orders);
}

void cast_close(struct cast *cast)
{
    if (!cast)
        return;
    bearer_stop(cast->bearer);
    follower_close(cast->follower);
    order_poll_close(cast->orders);
    bearer_close(cast->bearer);
    fhir_view_free(cast->view);
    for (size_t i = 0; i < cast->text_count; i++)
        free(cast->texts[i]);
    free(cast);
}

struct route_table cast_routes(struct cast *cast, const char *prefix)
{
    return fhir_view_routes(cast->view, prefix);
}

struct route_table cast_order_routes(struct cast *cast, const char *prefix)
{
    return order_post_routes(&cast->posts, prefix);
}

void cast_tell_metrics(struct cast *cast)
{
    if (cast->follower)
        follower_tell_metrics(cast->follower);
}

static bool need_follower(const struct cast *cast, struct error *err)
{
    return cast->follower ||
           error_set(err, ERROR_UNSUPPORTED, "there is no FHIR server: fhir.url is not set");
}

bool cast_status(struct cast *cast, cJSON *result, struct error *err)
{
    if (!need_follower(cast, err))
        return false;
    follower_status(cast->follower, result);
    return true;
}

enum { PARKED_MAX = 10 * 1000 };

bool cast_parked(struct cast *cast, cJSON *result, struct error *err)
{
    char study[UID_SIZE] = "";
    bool found = true;
    if (!need_follower(cast, err))
        return false;
    cJSON *list = cJSON_AddArrayToObject(result, "parked");
    uint64_t count = 0;
    bool ok;
    while ((ok = parked_next(cast->archive, study, &found, err)) && found) {
        cJSON *reason = NULL;
        if (count++ < PARKED_MAX && !(ok = parked_describe(cast->archive, study, &reason, err)))
            break;
        if (reason)
            cJSON_AddItemToArray(list, reason);
    }
    cJSON_AddNumberToObject(result, "parkedTotal", (double)count);
    return ok;
}

bool cast_replay(struct cast *cast, const char *study, cJSON *result, struct error *err)
{
    uint64_t count = 0;
    if (!need_follower(cast, err) || !follower_replay(cast->follower, study, &count, err))
        return false;
    cJSON_AddNumberToObject(result, "studies", (double)count);
    return true;
}

bool cast_reset(struct cast *cast, uint64_t position, cJSON *result, struct error *err)
{
    if (!need_follower(cast, err) || !follower_reset(cast->follower, position, err))
        return false;
    cJSON_AddNumberToObject(result, "position", (double)position);
    return true;
}

bool cast_reconcile(struct cast *cast, bool dry_run, struct job *job, cJSON *result,
                    struct error *err)
{
    return need_follower(cast, err) &&
           reconcile_run(cast->archive, cast->follower, dry_run, job, result, err);
}
