/* SPDX-License-Identifier: MIT */
#include "cast/order_poll.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/changes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "cast/text.h"

#define FOLLOWER "orders"

/* What is asked for, and under whose name it is kept how far that was read. The second is for those
 * that were planned anew: their request has not changed. */
static const struct query {
    const char *type;
    const char *with;
    const char *with_plans;
} queries[] = {
    { "ServiceRequest", "&_include=ServiceRequest%3Apatient",
      "&_revinclude=Appointment%3Abased-on" },
    { "Appointment", "&_include=Appointment%3Abased-on",
      "&_include%3Aiterate=ServiceRequest%3Apatient" },
};

enum {
    PAGE = 50,
    PAGES_MAX = 10000,  /* of one answer: a server that links for ever is left */
    ENTRIES_MAX = 2000, /* of one page */
    INSTANT_SIZE = 64,
    LINK_SIZE = 4096,
    PLANS_AGAIN_MS = 60 * 60 * 1000,
};

/* That a clock may be ahead of ours. */
#define AHEAD_US ((int64_t)24 * 60 * 60 * 1000000)

struct order_poll {
    struct archive *archive;
    struct worklist *worklist;
    struct fhir_client *client;
    struct service_request_options mapping;
    int64_t interval_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping; /* guarded by lock */
    bool away;     /* the server did not answer: said once */
    /* It has no Appointments: asked again at this time, as what answers may have been something
     * else before it. 0: it has some, or was not asked yet. */
    int64_t plans_again_ms;
};

static bool has_plans(const struct order_poll *poll)
{
    return clock_monotonic_ms() >= poll->plans_again_ms;
}

/* Of a clock that is far ahead: nothing that comes later would be heard. */
static bool is_far_ahead(int64_t at_us)
{
    return at_us > clock_unix_us() + AHEAD_US;
}

/* One order. */

static bool open_entry(const struct service_request *request, struct dataset **entry,
                       struct error *err)
{
    *entry = NULL;
    return !request->dataset.size ||
           dataset_open(buffer_slice(&request->dataset),
                        transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                        entry, err);
}

bool order_apply(struct worklist *worklist, const struct service_request_parts *parts,
                 const struct service_request_options *options, struct service_request *request,
                 struct step_outcome *outcome, enum order_fate *fate, struct error *err)
{
    struct dataset *entry = NULL;
    *fate = ORDER_NONE;
    if (!service_request_read(parts, options, request, err))
        return false;
    if (!request->is_order)
        return true;
    bool ok = open_entry(request, &entry, err);
    const struct dataset *const steps[] = { entry };
    const struct step_order order = {
        .control = request->control,
        .placer = request->placer,
        .filler = request->filler,
        .source = "fhir",
        .message_us = is_far_ahead(request->message_us) ? 0 : request->message_us,
        .status = request->status,
        .steps = steps,
        .step_count = entry ? 1 : 0,
    };
    struct error reason = { 0 };
    if (ok && !steps_apply(worklist, &order, outcome, &reason)) {
        /* What is over, or was never ours, needs no cancelling. */
        bool over = request->control != STEP_NEW &&
                    (reason.code == ERROR_NOT_FOUND || reason.code == ERROR_CONFLICT);
        snprintf(request->why, sizeof request->why, "%s", over ? "nothing of it is scheduled" : "");
        if (!over && err)
            *err = reason;
        ok = over;
    } else if (ok) {
        *fate = ORDER_TAKEN;
    }
    dataset_close(entry);
    return ok;
}

/* A page of them. */

static bool is_named(const cJSON *resource, const char *type, const char *reference)
{
    const char *id = json_text(resource, "id");
    size_t length = id ? strlen(id) : 0, all = strlen(reference), kind = strlen(type);
    return id && json_is_resource(resource, type) && all >= length + kind + 1 &&
           strcmp(reference + all - length, id) == 0 && reference[all - length - 1] == '/' &&
           strncmp(reference + all - length - 1 - kind, type, kind) == 0;
}

static const cJSON *find_patient(const cJSON *entries, const cJSON *request)
{
    const char *reference = service_request_patient(request);
    const cJSON *entry;
    cJSON_ArrayForEach(entry, entries) if (is_named(json_get(entry, "resource"), "Patient",
                                                    reference)) return json_get(entry, "resource");
    return NULL;
}

/* The one that is still to be, and comes first. */
static const cJSON *find_appointment(const cJSON *entries, const cJSON *request)
{
    const cJSON *entry, *based_on, *best = NULL;
    int64_t best_us = 0, start_us;
    cJSON_ArrayForEach(entry, entries)
    {
        const cJSON *resource = json_get(entry, "resource");
        const char *status = json_text(resource, "status"), *start = json_text(resource, "start");
        if (!json_is_resource(resource, "Appointment") || !start || !status ||
            (strcmp(status, "booked") != 0 && strcmp(status, "arrived") != 0 &&
             strcmp(status, "pending") != 0) ||
            !service_request_instant(start, &start_us))
            continue;
        cJSON_ArrayForEach(based_on, json_get(resource, "basedOn"))
        {
            const char *reference = json_text(based_on, "reference");
            if (reference && is_named(request, "ServiceRequest", reference) &&
                (!best || start_us < best_us)) {
                best = resource;
                best_us = start_us;
            }
        }
    }
    return best;
}

/* Is this the fault of the one order, and would be the next time? */
static bool is_its_own(const struct error *err)
{
    return err->code == ERROR_INVALID || err->code == ERROR_MISMATCH || err->code == ERROR_LIMIT ||
           err->code == ERROR_CONFLICT || err->code == ERROR_NOT_FOUND ||
           err->code == ERROR_UNSUPPORTED;
}

static bool take_request(struct order_poll *poll, const cJSON *entries, const cJSON *resource,
                         struct error *err)
{
    const struct service_request_parts parts = { resource, find_patient(entries, resource),
                                                 find_appointment(entries, resource) };
    const char *id = json_text(resource, "id");
    struct service_request request;
    struct step_outcome outcome;
    struct error reason = { 0 };
    enum order_fate fate;
    bool ok = order_apply(poll->worklist, &parts, &poll->mapping, &request, &outcome, &fate,
                          &reason);
    if (ok && fate == ORDER_TAKEN && outcome.result != STEPS_UNCHANGED &&
        outcome.result != STEPS_STALE) {
        metric_add(METRIC_ORDERS_FROM_FHIR, 1);
        log_info("orders: ServiceRequest=%.64s created=%zu updated=%zu cancelled=%zu",
                 id ? id : "-", outcome.created, outcome.updated, outcome.cancelled);
    } else if (ok && fate == ORDER_NONE) {
        log_debug("orders: ServiceRequest=%.64s left out: %s", id ? id : "-", request.why);
    } else if (!ok && is_its_own(&reason)) {
        metric_add(METRIC_ORDERS_REFUSED, 1);
        log_warn("orders: ServiceRequest=%.64s left out: %s", id ? id : "-", reason.message);
        ok = true;
    } else if (!ok) {
        *err = reason;
    }
    service_request_release(&request);
    return ok;
}

static bool take_page(struct order_poll *poll, const struct query *query, const cJSON *bundle,
                      char newest[INSTANT_SIZE], struct error *err)
{
    const cJSON *entries = json_get(bundle, "entry"), *entry;
    int64_t latest_us = 0, at_us;
    int count = 0;
    if (newest[0])
        service_request_instant(newest, &latest_us);
    cJSON_ArrayForEach(entry, entries)
    {
        const cJSON *resource = json_get(entry, "resource");
        const char *at = json_text(json_get(resource, "meta"), "lastUpdated");
        if (count++ == ENTRIES_MAX)
            return error_set(err, ERROR_LIMIT, "a page of more than %d entries", ENTRIES_MAX);
        if (json_is_resource(resource, "ServiceRequest") &&
            !take_request(poll, entries, resource, err))
            return false;
        if (at && json_is_resource(resource, query->type) && strlen(at) < INSTANT_SIZE &&
            service_request_instant(at, &at_us) && at_us > latest_us && !is_far_ahead(at_us)) {
            latest_us = at_us;
            snprintf(newest, INSTANT_SIZE, "%s", at);
        }
    }
    return true;
}

/* What stands behind the host of a URL. */
static const char *behind_host(const char *url)
{
    const char *host = strstr(url, "://");
    return host ? host + 3 + strcspn(host + 3, "/?") : "";
}

/* The path of the next page below the base. A server behind a proxy may call itself otherwise; it
 * is asked where we know it, and only there our credentials go. */
static bool next_page(const struct order_poll *poll, const cJSON *bundle, char path[LINK_SIZE])
{
    const char *base = behind_host(fhir_client_base(poll->client));
    size_t size = strlen(base);
    const cJSON *link;
    cJSON_ArrayForEach(link, json_get(bundle, "link"))
    {
        const char *relation = json_text(link, "relation"), *url = json_text(link, "url");
        if (!relation || !url || strcmp(relation, "next") != 0)
            continue;
        url = behind_host(url);
        if (strncmp(url, base, size) != 0 || strlen(url + size) >= LINK_SIZE ||
            !strchr("/?", url[size]))
            continue;
        url += size;
        snprintf(path, LINK_SIZE, "%s", *url == '/' ? url + 1 : url);
        return true;
    }
    return false;
}

/* One look at all that has changed. */

static bool ask(struct order_poll *poll, const char *path, cJSON **bundle, struct error *err)
{
    const struct fhir_request request = { .method = "GET", .path = path };
    struct fhir_answer answer = { 0 };
    *bundle = NULL;
    bool ok = fhir_client_send(poll->client, &request, &answer, err);
    /* What it does not know it calls a bad request, or not found. */
    if (ok && answer.status >= 400 && answer.status < 500 && answer.status != 401 &&
        answer.status != 403 && answer.status != 408 && answer.status != 429 &&
        strstr(path, "Appointment"))
        ok = error_set(err, ERROR_UNSUPPORTED, "the FHIR server answers %d", answer.status);
    else if (ok && answer.status != 200)
        ok = error_set(err, ERROR_IO, "the FHIR server answers %d to a search for orders",
                       answer.status);
    ok = ok && json_parse(buffer_slice(&answer.body), bundle, err);
    fhir_answer_release(&answer);
    return ok;
}

static void first_page(const struct order_poll *poll, const struct query *query, const char *since,
                       char path[LINK_SIZE])
{
    struct buffer escaped = buffer_up_to(3 * INSTANT_SIZE);
    text_percent_encode(slice_text(since), &escaped);
    snprintf(path, LINK_SIZE, "%s?%s%s%s_sort=_lastUpdated&_count=%d%s%s", query->type,
             *since ? "_lastUpdated=ge" : "", *since ? buffer_text(&escaped) : "",
             *since ? "&" : "", PAGE, query->with, has_plans(poll) ? query->with_plans : "");
    buffer_release(&escaped);
}

static bool load_since(struct order_poll *poll, const struct query *query, char since[INSTANT_SIZE],
                       struct error *err)
{
    struct buffer value = buffer_up_to(INSTANT_SIZE);
    int64_t at_us;
    bool found;
    since[0] = '\0';
    bool ok = follower_get(poll->archive, FOLLOWER, query->type, &value, &found, err);
    if (ok && found && value.size < INSTANT_SIZE) {
        memcpy(since, value.data, value.size);
        since[value.size] = '\0';
        if (service_request_instant(since, &at_us) && is_far_ahead(at_us))
            since[0] = '\0';
    }
    buffer_release(&value);
    return ok;
}

static bool is_stopping(struct order_poll *poll)
{
    pthread_mutex_lock(&poll->lock);
    bool stopping = poll->stopping;
    pthread_mutex_unlock(&poll->lock);
    return stopping;
}

static bool look(struct order_poll *poll, const struct query *query, struct error *err)
{
    char since[INSTANT_SIZE], newest[INSTANT_SIZE], path[LINK_SIZE];
    if (!load_since(poll, query, since, err))
        return false;
    memcpy(newest, since, sizeof newest);
    first_page(poll, query, since, path);
    bool more = true, ok = true;
    for (int pages = 0; ok && more && pages < PAGES_MAX && !is_stopping(poll); pages++) {
        cJSON *bundle = NULL;
        ok = ask(poll, path, &bundle, err) && take_page(poll, query, bundle, newest, err);
        /* They come in the order of their times: what is behind a page is not lost by a restart. */
        bool went_on = ok && strcmp(newest, since) != 0;
        if (went_on) {
            ok = follower_put(poll->archive, FOLLOWER, query->type, slice_text(newest), err);
            memcpy(since, newest, sizeof since);
        }
        more = ok && next_page(poll, bundle, path);
        /* A server that names its pages otherwise than we name the server: from the last time on.
         */
        if (ok && !more && went_on && cJSON_GetArraySize(json_get(bundle, "entry")) >= PAGE) {
            first_page(poll, query, since, path);
            more = true;
        }
        cJSON_Delete(bundle);
    }
    return ok;
}

/* The thread. */

static void rest(struct order_poll *poll)
{
    struct timespec deadline = clock_deadline(poll->interval_ms);
    int code = 0;
    pthread_mutex_lock(&poll->lock);
    while (!poll->stopping && code != ETIMEDOUT)
        code = pthread_cond_timedwait(&poll->changed, &poll->lock, &deadline);
    pthread_mutex_unlock(&poll->lock);
}

static void *run(void *argument)
{
    struct order_poll *poll = argument;
    while (!is_stopping(poll)) {
        struct error err = { 0 };
        bool ok = true;
        for (size_t i = 0; ok && i < (has_plans(poll) ? sizeof queries / sizeof *queries : 1); i++)
            ok = look(poll, &queries[i], &err);
        if (!ok && err.code == ERROR_UNSUPPORTED) {
            log_info("orders: the FHIR server has no Appointments that lead to orders");
            poll->plans_again_ms = clock_monotonic_ms() + PLANS_AGAIN_MS;
            continue;
        }
        if (!ok && err.code != ERROR_STOPPED && !poll->away)
            log_warn("orders: not read, to be tried again: %s", err.message);
        else if (ok && poll->away)
            log_info("orders: read again");
        poll->away = !ok;
        rest(poll);
    }
    return NULL;
}

static bool start(struct order_poll *poll, struct error *err)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&poll->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&poll->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int code = pthread_create(&poll->thread, NULL, run, poll);
    if (!code)
        return true;
    pthread_cond_destroy(&poll->changed);
    pthread_mutex_destroy(&poll->lock);
    return error_set_errno(err, code, "no thread for orders");
}

bool order_poll_open(struct archive *archive, struct worklist *worklist,
                     const struct order_poll_options *options, struct order_poll **out,
                     struct error *err)
{
    struct order_poll *poll = mem_alloc(sizeof *poll);
    poll->archive = archive;
    poll->worklist = worklist;
    poll->mapping = options->mapping;
    poll->interval_ms = options->interval_ms;
    if (!fhir_client_open(&options->client, &poll->client, err) || !start(poll, err)) {
        fhir_client_close(poll->client);
        free(poll);
        return false;
    }
    *out = poll;
    return true;
}

void order_poll_stop(struct order_poll *poll)
{
    fhir_client_stop(poll->client);
    pthread_mutex_lock(&poll->lock);
    poll->stopping = true;
    pthread_cond_broadcast(&poll->changed);
    pthread_mutex_unlock(&poll->lock);
}

void order_poll_close(struct order_poll *poll)
{
    if (!poll)
        return;
    order_poll_stop(poll);
    pthread_join(poll->thread, NULL);
    fhir_client_close(poll->client);
    pthread_cond_destroy(&poll->changed);
    pthread_mutex_destroy(&poll->lock);
    free(poll);
}
