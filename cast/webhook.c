/* SPDX-License-Identifier: MIT */
#include "cast/webhook.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/changes.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "cast/breaker.h"
#include "cast/fhir_client.h"
#include "cast/json.h"
#include "cast/text.h"

enum {
    TIMEOUT_MS = 30 * 1000,
    WAIT_MS = 1000,
    SECRET_MAX = 4096,
    ANSWER_MAX = 64 << 10, /* nobody reads it */
    BODY_MAX = 1 << 20,
    NAME_SIZE = 32,
};

#define KEY_KNOWN "known"

struct webhook {
    struct webhooks *webhooks;
    struct fhir_client *client;
    char *url;
    char name[NAME_SIZE];      /* of the follower */
    _Atomic uint64_t position; /* delivered up to here; others read it */
    struct breaker breaker;
    pthread_t thread;
    bool started;
    struct change changes[WEBHOOK_EVENTS];
};

struct webhooks {
    struct archive *archive;
    struct buffer secret; /* empty: bodies are not signed */
    atomic_bool stopping;
    pthread_mutex_t lock;
    pthread_cond_t stops; /* with lock */
    struct webhook *hooks;
    size_t count;
};

/* --- what is sent --- */

static cJSON *event(const struct change *change)
{
    static const char *const actions[] = {
        [CHANGE_CREATE] = "create", [CHANGE_UPDATE] = "update", [CHANGE_DELETE] = "delete"
    };
    char at[CLOCK_TEXT_SIZE];
    cJSON *json = json_object();
    clock_format_utc(change->at_ms, at);
    json_set_integer(json, "sequence", (int64_t)change->sequence);
    json_set_text(json, "action", actions[change->action]);
    json_set_text(json, "at", at);
    json_set_text(json, "study", change->identity.study);
    json_set_text(json, "series", change->identity.series);
    json_set_text(json, "instance", change->identity.instance);
    json_set_text(json, "sopClass", change->identity.sop_class);
    return json;
}

static void print_events(const struct webhook *hook, size_t count, struct buffer *body)
{
    cJSON *json = json_object();
    cJSON *events = json_need_array(json, "events");
    for (size_t i = 0; i < count; i++)
        json_append_take(events, event(&hook->changes[i]));
    json_print(json, body);
    cJSON_Delete(json);
}

/* "" without a secret. */
static void sign(const struct webhooks *webhooks, struct slice body, char line[128])
{
    uint8_t digest[DIGEST_SIZE];
    line[0] = 0;
    if (!webhooks->secret.size)
        return;
    digest_hmac_sha256(buffer_slice(&webhooks->secret), body, digest);
    size_t used = (size_t)snprintf(line, 128, "X-Hounsfield-Signature: sha256=");
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        used += (size_t)snprintf(line + used, 128 - used, "%02x", digest[i]);
}

/* *status 0: no answer. */
static bool post(struct webhook *hook, size_t count, int *status, int64_t *retry_after_ms,
                 struct error *err)
{
    struct buffer body = buffer_up_to(BODY_MAX);
    struct fhir_answer answer = { .retry_after_ms = -1 };
    char signature[128];
    print_events(hook, count, &body);
    sign(hook->webhooks, buffer_slice(&body), signature);
    const struct fhir_request request = { .method = "POST",
                                          .url = hook->url,
                                          .content_type = "application/json",
                                          .accept = "*/*",
                                          .header = *signature ? signature : NULL,
                                          .body = buffer_slice(&body) };
    bool ok = buffer_check(&body, "the events", err) &&
              fhir_client_send(hook->client, &request, &answer, err);
    *status = ok ? answer.status : 0;
    *retry_after_ms = answer.retry_after_ms;
    if (ok && (answer.status < 200 || answer.status > 299))
        ok = error_set(err, ERROR_IO, "it was answered with %d", answer.status);
    fhir_answer_release(&answer);
    buffer_release(&body);
    return ok;
}

/* --- the feed --- */

static bool read_changes(struct webhook *hook, size_t *count, struct error *err)
{
    struct changes *changes = NULL;
    bool found = true;
    *count = 0;
    if (!changes_open(hook->webhooks->archive, hook->position, &changes, err))
        return false;
    bool ok = true;
    while (ok && found && *count < WEBHOOK_EVENTS) {
        ok = changes_next(changes, &hook->changes[*count], &found, err);
        *count += ok && found;
    }
    changes_close(changes);
    return ok;
}

static void pause_for(const struct webhook *hook, int64_t pause_ms)
{
    struct webhooks *webhooks = hook->webhooks;
    struct timespec until = clock_deadline(pause_ms);
    pthread_mutex_lock(&webhooks->lock);
    while (!atomic_load(&webhooks->stopping) &&
           pthread_cond_clockwait(&webhooks->stops, &webhooks->lock, CLOCK_MONOTONIC, &until) == 0)
        continue;
    pthread_mutex_unlock(&webhooks->lock);
}

static void deliver(struct webhook *hook, size_t count)
{
    struct error err;
    uint64_t last = hook->changes[count - 1].sequence;
    int64_t retry_after_ms;
    int status;
    if (!post(hook, count, &status, &retry_after_ms, &err)) {
        if (err.code == ERROR_STOPPED)
            return;
        int64_t pause_ms = breaker_failed(&hook->breaker, clock_monotonic_ms(), retry_after_ms);
        log_warn("webhook: not delivered hook=%s events=%zu status=%d pause_ms=%" PRId64
                 " reason=\"%s\"",
                 hook->name, count, status, pause_ms, err.message);
        pause_for(hook, pause_ms);
        return;
    }
    breaker_succeeded(&hook->breaker);
    hook->position = last;
    metric_add(METRIC_WEBHOOK_EVENTS, (int64_t)count);
    if (!follower_save(hook->webhooks->archive, hook->name, last, &err))
        log_error("webhook: cannot save the position hook=%s reason=\"%s\"", hook->name,
                  err.message);
}

void webhooks_tell_metrics(struct webhooks *webhooks)
{
    uint64_t most = 0;
    if (!webhooks)
        return;
    for (size_t i = 0; i < webhooks->count; i++) {
        uint64_t behind = changes_behind(webhooks->archive, webhooks->hooks[i].position);
        most = behind > most ? behind : most;
    }
    metric_set(METRIC_WEBHOOK_LAG, (int64_t)most);
}

static void *follow(void *context)
{
    struct webhook *hook = context;
    struct webhooks *webhooks = hook->webhooks;
    while (!atomic_load(&webhooks->stopping)) {
        struct error err;
        size_t count = 0;
        bool ok = read_changes(hook, &count, &err);
        if (!ok) {
            log_error("webhook: cannot read the change feed reason=\"%s\"", err.message);
            pause_for(hook, WAIT_MS);
        }
        if (ok && count)
            deliver(hook, count);
        else if (ok)
            changes_wait(webhooks->archive, hook->position, WAIT_MS);
    }
    return NULL;
}

/* --- life --- */

static bool read_secret(struct webhooks *webhooks, const char *path, struct error *err)
{
    char text[SECRET_MAX + 1];
    FILE *file = fopen(path, "rb");
    if (!file)
        return error_set(err, ERROR_INVALID, "cannot open the webhooks' secret file");
    size_t size = fread(text, 1, sizeof text, file);
    bool whole = !ferror(file) && size <= SECRET_MAX && !memchr(text, 0, size);
    fclose(file);
    if (whole) {
        text[size] = 0;
        whole = text_clean(text);
    }
    if (!whole)
        return error_set(err, ERROR_INVALID, "the webhooks' secret file is empty or no text");
    buffer_append_text(&webhooks->secret, text);
    return true;
}

/* From now on, when the URL is new. */
static bool find_position(struct webhook *hook, struct error *err)
{
    struct archive *archive = hook->webhooks->archive;
    struct buffer known = buffer_up_to(1024);
    bool found = false;
    bool ok = follower_get(archive, hook->name, KEY_KNOWN, &known, &found, err);
    if (ok && !found)
        ok = follower_save(archive, hook->name, changes_latest(archive), err) &&
             follower_put(archive, hook->name, KEY_KNOWN, slice_text("1"), err);
    uint64_t position = 0;
    ok = ok && follower_position(archive, hook->name, &position, err);
    hook->position = position;
    buffer_release(&known);
    return ok;
}

/* The URL may hold a secret, so it is known by its fingerprint. */
static void set_name(struct webhook *hook)
{
    uint8_t digest[DIGEST_SIZE];
    digest_sha256(slice_text(hook->url), digest);
    size_t used = (size_t)snprintf(hook->name, NAME_SIZE, "webhook-");
    for (size_t i = 0; i < 8; i++)
        used += (size_t)snprintf(hook->name + used, NAME_SIZE - used, "%02x", digest[i]);
}

/* Scheme, host and port. */
static char *origin_of(const char *url)
{
    const char *host = strstr(url, "://");
    return mem_copy_text_up_to(url, host ? (size_t)(host - url) + 3 + strcspn(host + 3, "/?#")
                                         : strlen(url));
}

static bool prepare(struct webhook *hook, const char *url, const struct webhook_options *options,
                    struct error *err)
{
    char *origin = origin_of(url);
    const struct fhir_client_options client = {
        .url = origin,
        .peer = "the receiver",
        .tls_ca = options->tls_ca,
        .proxy = options->proxy,
        .timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS,
        .answer_limit = ANSWER_MAX,
    };
    hook->url = mem_copy_text(url);
    set_name(hook);
    breaker_init(&hook->breaker, (uint32_t)clock_monotonic_us());
    bool ok = fhir_client_check(&client, err) && fhir_client_open(&client, &hook->client, err) &&
              find_position(hook, err);
    free(origin);
    return ok || error_add_context(err, "webhook.urls");
}

static bool start(struct webhook *hook, struct error *err)
{
    log_info("webhook: follows hook=%s position=%" PRIu64, hook->name, (uint64_t)hook->position);
    hook->started = pthread_create(&hook->thread, NULL, follow, hook) == 0;
    return hook->started || error_set(err, ERROR_NO_SPACE, "no thread for a webhook");
}

bool webhooks_open(struct archive *archive, const struct webhook_options *options,
                   struct webhooks **out, struct error *err)
{
    size_t count = 0;
    bool ok = true;
    *out = NULL;
    while (options->urls && options->urls[count])
        count++;
    if (!count)
        return true;
    if (count > WEBHOOKS_MAX)
        return error_set(err, ERROR_LIMIT, "more than %d webhooks", WEBHOOKS_MAX);
    struct webhooks *webhooks = mem_alloc(sizeof *webhooks);
    webhooks->archive = archive;
    webhooks->secret = buffer_up_to(SECRET_MAX);
    webhooks->hooks = mem_alloc_array(count, sizeof *webhooks->hooks);
    pthread_mutex_init(&webhooks->lock, NULL);
    pthread_cond_init(&webhooks->stops, NULL);
    if (options->secret_file)
        ok = read_secret(webhooks, options->secret_file, err);
    webhooks->count = count;
    for (size_t i = 0; i < count; i++)
        webhooks->hooks[i].webhooks = webhooks;
    /* All are there before the first thread looks at them. */
    for (size_t i = 0; i < count && ok; i++)
        ok = prepare(&webhooks->hooks[i], options->urls[i], options, err);
    for (size_t i = 0; i < count && ok; i++)
        ok = start(&webhooks->hooks[i], err);
    if (ok)
        *out = webhooks;
    else
        webhooks_close(webhooks);
    return ok;
}

void webhooks_stop(struct webhooks *webhooks)
{
    if (!webhooks)
        return;
    pthread_mutex_lock(&webhooks->lock);
    atomic_store(&webhooks->stopping, true);
    pthread_cond_broadcast(&webhooks->stops);
    pthread_mutex_unlock(&webhooks->lock);
    for (size_t i = 0; i < webhooks->count; i++)
        if (webhooks->hooks[i].client)
            fhir_client_stop(webhooks->hooks[i].client);
    changes_wake(webhooks->archive);
}

void webhooks_close(struct webhooks *webhooks)
{
    if (!webhooks)
        return;
    webhooks_stop(webhooks);
    for (size_t i = 0; i < webhooks->count; i++) {
        struct webhook *hook = &webhooks->hooks[i];
        if (hook->started)
            pthread_join(hook->thread, NULL);
        fhir_client_close(hook->client);
        free(hook->url);
    }
    pthread_cond_destroy(&webhooks->stops);
    pthread_mutex_destroy(&webhooks->lock);
    buffer_release(&webhooks->secret);
    free(webhooks->hooks);
    free(webhooks);
}
