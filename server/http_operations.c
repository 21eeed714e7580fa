/* SPDX-License-Identifier: MIT */
#include "server/http_operations.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/verifier.h"

enum {
    KEPT = 64,   /* operations that are remembered */
    AT_ONCE = 4, /* that run */
    ID_SIZE = 17,
    PHASE_SIZE = 64,
    REQUEST_LIMIT = 16 << 10,
    ANSWER_LIMIT = 16 << 20,
};

enum state { RUNNING, COMPLETED, FAILED, CANCELED };

static const char *const state_names[] = {
    [RUNNING] = "running", [COMPLETED] = "completed", [FAILED] = "failed", [CANCELED] = "canceled"
};

struct entry {
    struct http_operations *service;
    const struct operation *operation; /* NULL: the place is free */
    struct operation_options options;
    pthread_t thread;
    char id[ID_SIZE];
    int64_t created_ms; /* Unix time */
    atomic_bool canceled;

    /* Guarded by the lock. */
    enum state state;
    bool joined;
    int64_t updated_ms;
    char phase[PHASE_SIZE];
    char unit[PHASE_SIZE];
    uint64_t done;
    uint64_t total;
    struct error error;
    cJSON *result;
};

struct http_operations {
    const struct operation_place *place;
    atomic_bool stopping;
    pthread_mutex_t lock;
    struct entry entries[KEPT]; /* in order of their beginning, from `next` on */
    size_t next;
};

/* --- the job's side --- */

static void tell_progress(void *context, const char *phase, const char *unit, uint64_t done,
                          uint64_t total)
{
    struct entry *entry = context;
    pthread_mutex_lock(&entry->service->lock);
    snprintf(entry->phase, sizeof(entry->phase), "%s", phase);
    snprintf(entry->unit, sizeof(entry->unit), "%s", unit);
    entry->done = done;
    entry->total = total;
    entry->updated_ms = clock_unix_ms();
    pthread_mutex_unlock(&entry->service->lock);
}

static bool is_canceled(void *context)
{
    struct entry *entry = context;
    return atomic_load(&entry->canceled) || atomic_load(&entry->service->stopping);
}

static void *run(void *argument)
{
    struct entry *entry = argument;
    const struct operation *operation = entry->operation;
    struct http_operations *service = entry->service;
    struct error err = { 0 };
    cJSON *result = cJSON_CreateObject();
    struct job job = { .progress = tell_progress,
                       .cancelled = is_canceled,
                       .context = entry,
                       .bytes_per_second = entry->options.bytes_per_second };
    int64_t began_ms = clock_monotonic_ms();
    log_info("operations: begins type=%s id=%s", operation->name, entry->id);
    bool ok = operation->run(service->place, &entry->options, &job, result, &err);
    operation_leave(service->place->turns, operation);
    uint64_t findings = ok && operation->findings ? operation->findings(result) : 0;
    (findings || (!ok && err.code != ERROR_STOPPED) ? log_warn : log_info)(
        "operations: ended type=%s id=%s status=%s findings=%" PRIu64 " ms=%" PRId64,
        operation->name, entry->id, ok ? "ok" : error_name(err.code), findings,
        clock_monotonic_ms() - began_ms);
    pthread_mutex_lock(&service->lock);
    entry->state = ok ? COMPLETED : err.code == ERROR_STOPPED ? CANCELED : FAILED;
    entry->updated_ms = clock_unix_ms();
    entry->error = err;
    entry->result = ok ? result : NULL;
    pthread_mutex_unlock(&service->lock);
    if (!ok)
        cJSON_Delete(result);
    return NULL;
}

/* --- the table; with the lock --- */

static void forget(struct entry *entry)
{
    if (entry->operation && !entry->joined)
        pthread_join(entry->thread, NULL);
    cJSON_Delete(entry->result);
    operation_options_release(&entry->options);
    memset(entry, 0, sizeof(*entry));
}

static struct entry *find(struct http_operations *service, const char *id)
{
    for (size_t i = 0; i < KEPT; i++)
        if (service->entries[i].operation && !strcmp(service->entries[i].id, id))
            return &service->entries[i];
    return NULL;
}

/* The oldest that has ended makes room. NULL: too many run. */
static struct entry *make_room(struct http_operations *service)
{
    size_t running = 0;
    for (size_t i = 0; i < KEPT; i++) {
        const struct entry *entry = &service->entries[i];
        running += entry->operation && entry->state == RUNNING;
    }
    if (running >= AT_ONCE)
        return NULL;
    while (service->entries[service->next].operation &&
           service->entries[service->next].state == RUNNING)
        service->next = (service->next + 1) % KEPT;
    struct entry *entry = &service->entries[service->next];
    service->next = (service->next + 1) % KEPT;
    if (entry->operation) {
        /* It has ended but for its last few instructions, which need no lock. */
        forget(entry);
    }
    return entry;
}

static bool begin(struct http_operations *service, const struct operation *operation,
                  struct operation_options *options, char id[ID_SIZE], struct error *err)
{
    uint8_t random[(ID_SIZE - 1) / 2];
    bool ok = false;
    pthread_mutex_lock(&service->lock);
    if (!operation_enter(service->place->turns, operation, err))
        goto out;
    /* Last, as what has ended goes for it. */
    struct entry *entry = make_room(service);
    if (!entry) {
        operation_leave(service->place->turns, operation);
        error_set(err, ERROR_BUSY, "too many operations run already");
        goto out;
    }
    random_bytes(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(entry->id + 2 * i, 3, "%02x", random[i]);
    memcpy(id, entry->id, ID_SIZE);
    entry->service = service;
    entry->operation = operation;
    entry->options = *options;
    memset(options, 0, sizeof(*options));
    entry->created_ms = entry->updated_ms = clock_unix_ms();
    if (pthread_create(&entry->thread, NULL, run, entry) != 0) {
        entry->joined = true;
        forget(entry);
        operation_leave(service->place->turns, operation);
        error_set(err, ERROR_BUSY, "no thread for the operation");
        goto out;
    }
    ok = true;
out:
    pthread_mutex_unlock(&service->lock);
    return ok;
}

/* --- as JSON --- */

static void add_time(cJSON *json, const char *name, int64_t unix_ms)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format_utc(unix_ms, text);
    cJSON_AddStringToObject(json, name, text);
}

static double percent(const struct entry *entry)
{
    if (entry->state == COMPLETED)
        return 100;
    double share = entry->total ? 100.0 * (double)entry->done / (double)entry->total : 0;
    return share > 99 ? 99 : share;
}

static cJSON *describe(const struct entry *entry, bool with_result)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "operationId", entry->id);
    cJSON_AddStringToObject(json, "type", entry->operation->name);
    cJSON_AddStringToObject(json, "status", state_names[entry->state]);
    cJSON_AddNumberToObject(json, "percentComplete", (double)(int)percent(entry));
    add_time(json, "createdTime", entry->created_ms);
    add_time(json, "lastUpdatedTime", entry->updated_ms);
    if (*entry->phase) {
        cJSON *progress = cJSON_AddObjectToObject(json, "progress");
        cJSON_AddStringToObject(progress, "phase", entry->phase);
        cJSON_AddStringToObject(progress, "unit", entry->unit);
        cJSON_AddNumberToObject(progress, "done", (double)entry->done);
        cJSON_AddNumberToObject(progress, "total", (double)entry->total);
    }
    if (entry->state == FAILED) {
        cJSON *error = cJSON_AddObjectToObject(json, "error");
        cJSON_AddStringToObject(error, "code", error_name(entry->error.code));
        cJSON_AddStringToObject(error, "message", entry->error.message);
    }
    if (with_result && entry->result)
        cJSON_AddItemToObject(json, "result", cJSON_Duplicate(entry->result, true));
    return json;
}

static void take_json(struct response *response, int status, cJSON *json)
{
    struct buffer body = buffer_up_to(ANSWER_LIMIT);
    char *text = cJSON_PrintUnformatted(json);
    buffer_append_text(&body, text);
    buffer_append_byte(&body, '\n');
    free(text);
    cJSON_Delete(json);
    response_status(response, status);
    response_content_type(response, "application/json");
    response_header(response, "Cache-Control", "no-store");
    response_body_take(response, &body);
}

static void add_location(const struct request *request, const char *id, struct response *response)
{
    char *url = mem_format("%s/operations/%s", request_base_url(request), id);
    response_header(response, "Location", url);
    free(url);
}

/* The answer about one: 202 while it runs, or when it was begun just now, and where to ask again.
 */
static void tell(struct http_operations *service, const struct request *request, const char *id,
                 bool begun, struct response *response)
{
    cJSON *json = NULL;
    bool runs = false;
    pthread_mutex_lock(&service->lock);
    const struct entry *entry = find(service, id);
    if (entry) {
        json = describe(entry, true);
        runs = begun || entry->state == RUNNING;
    }
    pthread_mutex_unlock(&service->lock);
    if (!json) {
        response_error(response, request, 404, "there is no such operation, or not any more");
        return;
    }
    if (runs)
        add_location(request, id, response);
    take_json(response, runs ? 202 : 200, json);
}

/* --- requests --- */

static void list(struct request *request, struct response *response)
{
    struct http_operations *service = request_context(request);
    cJSON *json = cJSON_CreateObject();
    cJSON *all = cJSON_AddArrayToObject(json, "operations");
    struct verifier_status verified;
    pthread_mutex_lock(&service->lock);
    for (size_t i = 0; i < KEPT; i++) { /* the latest first */
        const struct entry *entry = &service->entries[(service->next + KEPT - 1 - i) % KEPT];
        if (entry->operation)
            cJSON_AddItemToArray(all, describe(entry, false));
    }
    pthread_mutex_unlock(&service->lock);
    verifier_status(service->place->verifier, &verified);
    cJSON *own = cJSON_AddObjectToObject(json, "scheduledVerification");
    cJSON_AddStringToObject(own, "status", verified.progress > 0 ? "running" : "waiting");
    cJSON_AddNumberToObject(own, "percentComplete", (double)(int)(verified.progress * 100));
    if (verified.finished_ms)
        add_time(own, "lastCompletedTime", verified.finished_ms);
    take_json(response, 200, json);
}

static void show(struct request *request, struct response *response)
{
    tell(request_context(request), request, request_parameter(request, "id"), false, response);
}

static void cancel(struct request *request, struct response *response)
{
    struct http_operations *service = request_context(request);
    const char *id = request_parameter(request, "id");
    pthread_mutex_lock(&service->lock);
    struct entry *entry = find(service, id);
    if (entry)
        atomic_store(&entry->canceled, true);
    pthread_mutex_unlock(&service->lock);
    tell(service, request, id, false, response);
}

/* A web page of another origin can send what is no JSON without asking first (CORS). */
static bool open_body(struct request *request, struct response *response)
{
    const char *type = request_header(request, "Content-Type");
    if (!type || strncasecmp(type, "application/json", 16) || !strchr("; \t", type[16])) {
        response_error(response, request, 415, "an operation is asked for in application/json");
        return false;
    }
    struct buffer *body = mem_alloc(sizeof(*body));
    *body = buffer_up_to(REQUEST_LIMIT);
    request_set_state(request, body);
    return true;
}

static bool take_body(struct request *request, struct slice piece)
{
    return buffer_append(request_state(request), piece);
}

static void close_body(struct request *request, bool complete)
{
    (void)complete;
    struct buffer *body = request_state(request);
    if (body)
        buffer_release(body);
    free(body);
}

/* {"type": "verify", "quick": true, "bytesPerSecond": 1e7}: as the sub-command's options. */
static bool read_request(const cJSON *json, const struct operation **operation,
                         struct operation_options *options, struct error *err)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(json, "type");
    *operation = cJSON_IsString(type) ? operation_find(type->valuestring) : NULL;
    if (!*operation || (*operation)->offline || (*operation)->argument)
        return error_set(err, ERROR_INVALID, "type is verify, compact, stats or cast-...");
    return operation_options_read(json, *operation, options, err);
}

static void begin_one(struct request *request, struct response *response)
{
    struct http_operations *service = request_context(request);
    struct buffer *body = request_state(request);
    const struct operation *operation;
    struct operation_options options = { 0 };
    struct error err = { 0 };
    char id[ID_SIZE];
    if (body->overflowed) {
        response_error(response, request, 413, "no operation needs that much");
        return;
    }
    cJSON *json = cJSON_ParseWithOpts(buffer_text(body), NULL, true);
    bool ok = json || error_set(&err, ERROR_INVALID, "the request is no JSON");
    ok = ok && read_request(json, &operation, &options, &err) &&
         begin(service, operation, &options, id, &err);
    cJSON_Delete(json);
    operation_options_release(&options);
    if (!ok) {
        response_error(response, request, err.code == ERROR_BUSY ? 409 : http_status_of(err.code),
                       err.message);
        return;
    }
    tell(service, request, id, true, response);
}

static const struct route routes[] = {
    { .method = "GET",
      .pattern = "/operations",
      .respond = list,
      .right = HTTP_ADMIN,
      .summary = "Operations, the latest first",
      .produces = "application/json" },
    { .method = "POST",
      .pattern = "/operations",
      .respond = begin_one,
      .open = open_body,
      .body = take_body,
      .close = close_body,
      .right = HTTP_ADMIN,
      .summary = "Begin to verify, to compact, to count, or to look after the cast",
      .produces = "application/json",
      .consumes = "application/json" },
    { .method = "GET",
      .pattern = "/operations/{id}",
      .respond = show,
      .right = HTTP_ADMIN,
      .summary = "How far an operation is, and what came of it",
      .produces = "application/json" },
    { .method = "DELETE",
      .pattern = "/operations/{id}",
      .respond = cancel,
      .right = HTTP_ADMIN,
      .summary = "Cancel an operation",
      .produces = "application/json" },
};

/* --- life --- */

struct http_operations *http_operations_new(const struct operation_place *place)
{
    struct http_operations *service = mem_alloc(sizeof(*service));
    service->place = place;
    pthread_mutex_init(&service->lock, NULL);
    return service;
}

void http_operations_free(struct http_operations *service)
{
    if (!service)
        return;
    atomic_store(&service->stopping, true);
    for (size_t i = 0; i < KEPT; i++)
        forget(&service->entries[i]);
    pthread_mutex_destroy(&service->lock);
    free(service);
}

struct route_table http_operations_routes(struct http_operations *service)
{
    return (struct route_table){ "", routes, sizeof(routes) / sizeof(routes[0]), service };
}
