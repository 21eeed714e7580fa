/* SPDX-License-Identifier: MIT */
#include "http/gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "http/cors.h"
#include "http/forwarded.h"
#include "http/login.h"

struct gate {
    struct proxies *proxies;
    struct router *router;
    struct cors *cors;
    char *base_url;
    char *bound_url;
    char *secure_bound_url;
    uint64_t body_limit;
    uint64_t id_seed;
    atomic_ullong ids; /* given out */
    pthread_mutex_t login_lock;
    struct login *login; /* NULL: anybody may ask; guarded by login_lock */
    atomic_uint reloads;
};

struct gate *gate_new(const struct http_options *options, const struct route_table *tables,
                      size_t table_count)
{
    struct gate *gate = mem_alloc(sizeof(*gate));
    gate->base_url = mem_copy_text(options->base_url);
    gate->body_limit = options->body_limit;
    gate->router = router_new(tables, table_count);
    gate->login = options->login ? login_new(options->users, options->user_count) : NULL;
    pthread_mutex_init(&gate->login_lock, NULL);
    random_bytes(&gate->id_seed, sizeof(gate->id_seed));
    gate->cors = cors_new(options->cors_origins, options->cors_origin_count);
    gate->proxies = proxies_new(options->trusted_proxies, options->forwarded_rfc_7239);
    return gate;
}

void gate_free(struct gate *gate)
{
    if (!gate)
        return;
    proxies_free(gate->proxies);
    login_free(gate->login);
    pthread_mutex_destroy(&gate->login_lock);
    router_free(gate->router);
    cors_free(gate->cors);
    free(gate->base_url);
    free(gate->bound_url);
    free(gate->secure_bound_url);
    free(gate);
}

void gate_set_bound_url(struct gate *gate, bool secure, const char *url)
{
    *(secure ? &gate->secure_bound_url : &gate->bound_url) = mem_copy_text(url);
}

void gate_reload(struct gate *gate, const struct http_options *options)
{
    struct login *login = options->login ? login_new(options->users, options->user_count) : NULL;
    pthread_mutex_lock(&gate->login_lock);
    struct login *old = gate->login;
    gate->login = login;
    if (old || login)
        atomic_fetch_add(&gate->reloads, 1);
    pthread_mutex_unlock(&gate->login_lock);
    login_free(old);
}

bool gate_is_proxy(const struct gate *gate, const struct address *address)
{
    return proxies_trust(gate->proxies, address);
}

static void route_request(const struct gate *gate, struct request *request,
                          struct response *response)
{
    const struct router *router = gate->router;
    const char *const *segments = request->target.segments;
    size_t count = request->target.segment_count;
    if (!router_match(router, request->method, segments, count, &request->match)) {
        response_error(response, request, 404, "there is nothing at this path");
        return;
    }
    bool options = strcmp(request->method, "OPTIONS") == 0;
    /* A browser that asks before it asks (CORS) wants no list of what there is. */
    bool preflight = options && request_header(request, "Access-Control-Request-Method");
    if (request->match.route && !preflight)
        return;
    request->match.route = NULL;
    if (options)
        response_status(response, 204);
    else
        response_error(response, request, 405, "this path does not take this method");
    struct buffer allow = buffer_up_to(256);
    router_allow(router, segments, count, &allow);
    response_header(response, "Allow", buffer_text(&allow));
    if (response->status == 204)
        cors_preflight(gate->cors, request, buffer_text(&allow), response);
    buffer_release(&allow);
}

static bool is_request_id(const char *text)
{
    size_t size = strspn(text, "-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return size && size < REQUEST_ID_SIZE && !text[size];
}

/* The proxy's, so that its log and ours can be read together, or one of our own. */
static void name_request(struct gate *gate, struct request *request)
{
    const char *given = request_header(request, "X-Request-Id");
    if (request->origin.trusted && given && is_request_id(given)) {
        snprintf(request->id, sizeof(request->id), "%s", given);
    } else {
        uint64_t id = gate->id_seed + atomic_fetch_add(&gate->ids, 1);
        snprintf(request->id, sizeof(request->id), "%016llx", (unsigned long long)id);
    }
    log_set_request(request->id);
}

static unsigned right_of(const struct request *request)
{
    const struct route *route = request->match.route;
    if (route->right)
        return route->right;
    return !strcmp(route->method, "GET")      ? HTTP_READ
           : !strcmp(route->method, "DELETE") ? HTTP_DELETE
                                              : HTTP_WRITE;
}

/* Held, as a password takes its time; NULL: anybody may ask. */
static struct login *hold_login(struct gate *gate, struct request *request)
{
    pthread_mutex_lock(&gate->login_lock);
    struct login *login = gate->login ? login_hold(gate->login) : NULL;
    request->let_in = atomic_load(&gate->reloads);
    pthread_mutex_unlock(&gate->login_lock);
    return login;
}

/* Whose credentials came, and may they have this? LOGIN_FOUND, too, when anybody may ask. */
static enum login_result look_up_user(struct gate *gate, struct request *request, unsigned needed,
                                      bool *may)
{
    const struct http_user *user = NULL;
    enum login_result result = LOGIN_FOUND;
    struct login *login = hold_login(gate, request);
    *may = true;
    if (login)
        result = login_find(login, request_header(request, "Authorization"),
                            &request->origin.client, &user);
    if (user) {
        snprintf(request->user, sizeof(request->user), "%s", user->name);
        request->let_in_until_ms = user->expires_ms;
        *may = user->rights & needed;
    }
    login_free(login);
    return result;
}

bool gate_lets_stay(struct gate *gate, const struct request *request)
{
    return request->let_in == atomic_load(&gate->reloads) &&
           (!request->let_in_until_ms || clock_unix_ms() < request->let_in_until_ms);
}

static void note_refusal(const struct request *request, enum audit_event event,
                         enum audit_type type)
{
    char client[ADDRESS_TEXT_SIZE] = "-";
    address_format(&request->origin.client, client);
    const struct audit_peer peer = { .user = request->user, .address = client };
    audit_note(event, type, AUDIT_MINOR_FAILURE, &peer, request->match.pattern);
}

/* PS3.18 8.5: 401 for who is nobody we know, 403 for who may not. */
static void authorize(struct gate *gate, struct request *request, struct response *response)
{
    unsigned needed = right_of(request);
    bool may;
    if (needed == HTTP_ANYBODY)
        return;
    enum login_result result = look_up_user(gate, request, needed, &may);
    if (result == LOGIN_FOUND && may)
        return;
    if (result == LOGIN_BUSY) {
        response_error(response, request, 503, "too many passwords are being looked at");
        return;
    }
    if (result == LOGIN_FOUND) {
        note_refusal(request, AUDIT_SECURITY_ALERT, AUDIT_RESTRICTED_FUNCTION);
        log_warn("http: refused, the right is missing user=\"%s\" method=%s path=%s", request->user,
                 request->method, request->match.pattern);
        response_error(response, request, 403, "you have not the right to this");
        return;
    }
    if (request_header(request, "Authorization")) {
        note_refusal(request, AUDIT_USER_AUTHENTICATION, AUDIT_LOGIN);
        log_warn("http: refused, the credentials are wrong or have expired method=%s path=%s",
                 request->method, request->match.pattern);
    }
    response_error(response, request, 401, "log in first");
    response_header(response, "WWW-Authenticate", "Basic realm=\"Hounsfield\", charset=\"UTF-8\"");
    response_header(response, "WWW-Authenticate", "Bearer realm=\"Hounsfield\"");
}

/* Are the fields of the head sound, and the body that they announce one that we take? Else the
 * response says what is wrong. */
static bool check_head(const struct gate *gate, const struct arrival *arrival,
                       const struct request *request, struct response *response,
                       struct framing *framing)
{
    struct error err = { 0 };
    if (arrival->has_too_many_fields) {
        response_error(response, request, 431, "too many header fields");
        return false;
    }
    int status = framing_check(request, arrival->version, framing, &err);
    if (!status && !arrival->sound_head) {
        status = 400;
        error_set(&err, ERROR_INVALID,
                  "each line of a head ends with CR and LF, and none is folded");
    }
    if (!status && framing->has_length && framing->length > gate->body_limit) {
        status = 413;
        error_set(&err, ERROR_LIMIT, "the body is larger than this server takes");
    }
    if (status)
        response_error(response, request, status, err.message);
    return !status;
}

bool gate_check(struct gate *gate, const struct arrival *arrival, struct request *request,
                struct response *response, struct framing *framing)
{
    struct error err = { 0 };
    memset(framing, 0, sizeof(*framing));
    proxies_resolve(gate->proxies, arrival->peer, arrival->secure, request);
    name_request(gate, request);
    if (!check_head(gate, arrival, request, response, framing))
        return false;
    request_set_base_url(request, gate->base_url,
                         arrival->secure ? gate->secure_bound_url : gate->bound_url);
    if (!target_parse(arrival->target, request_header(request, "Host"), &request->target, &err)) {
        response_error(response, request, err.code == ERROR_LIMIT ? 414 : 400, err.message);
        return true;
    }
    if (arrival->turned_away) {
        response_error(response, request, 503, arrival->turned_away);
        return false;
    }
    route_request(gate, request, response);
    if (!response->status)
        authorize(gate, request, response);
    return true;
}

void gate_finish(const struct gate *gate, const struct request *request, struct response *response)
{
    cors_finish(gate->cors, request, response);
}

bool gate_allows_origin(const struct gate *gate, const struct request *request)
{
    const char *origin = request_header(request, "Origin");
    const char *own = request_base_url(request);
    size_t size = origin ? strlen(origin) : 0;
    if (!origin || cors_allows(gate->cors, request))
        return true;
    /* The base may have a path behind its host and port. */
    return strncasecmp(own, origin, size) == 0 && (own[size] == '\0' || own[size] == '/');
}
