/* SPDX-License-Identifier: MIT */
#include "cast/fhir_client.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/memory.h"
#include "cast/bearer.h"

enum {
    CONNECT_TIMEOUT_MS = 10 * 1000,
    TIMEOUT_MS = 120 * 1000,
    ANSWER_LIMIT = 64 << 20,
    POLL_MS = 1000,
    WATCH_MS = 200,
};

struct fhir_client {
    CURLM *multi; /* so that a request can be woken up */
    CURL *easy;
    char *base; /* without a slash at the end */
    struct bearer *bearer;
    char *user;
    char *password;
    char *tls_ca;
    char *tls_certificate;
    char *tls_key;
    char *proxy;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    size_t answer_limit;
    const char *peer;
    atomic_bool stopping;
    bool (*cancelled)(void *context);
    void *context;
};

static void curl_begin(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
}

static bool url_is_safe(const char *url)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return false;
    char host = strstr(url, "://")[3];
    if (!host || host == '/')
        return false;
    for (const char *at = url; *at; at++)
        if ((uint8_t)*at <= ' ' || (uint8_t)*at >= 0x7F || *at == '?' || *at == '#')
            return false;
    return true;
}

bool fhir_client_check(const struct fhir_client_options *options, struct error *err)
{
    if (!url_is_safe(options->url))
        return error_set(err, ERROR_INVALID,
                         "the URL of the FHIR server (fhir.url) is no http(s) URL");
    if (options->tls_certificate && !options->tls_key)
        return error_set(err, ERROR_INVALID, "fhir.tlsCertificate needs fhir.tlsKey");
    return true;
}

bool fhir_client_open(const struct fhir_client_options *options, struct fhir_client **out,
                      struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    if (!fhir_client_check(options, err))
        return false;
    pthread_once(&once, curl_begin);

    struct fhir_client *client = mem_alloc(sizeof *client);
    size_t size = strlen(options->url);
    while (size && options->url[size - 1] == '/')
        size--;
    client->base = mem_copy_text_up_to(options->url, size);
    client->bearer = options->bearer;
    client->tls_ca = mem_copy_text(options->tls_ca);
    client->tls_certificate = mem_copy_text(options->tls_certificate);
    client->tls_key = mem_copy_text(options->tls_key);
    client->proxy = mem_copy_text(options->proxy);
    client->user = mem_copy_text(options->user);
    client->password = mem_copy_text(options->password);
    client->connect_timeout_ms = options->connect_timeout_ms ? options->connect_timeout_ms
                                                             : CONNECT_TIMEOUT_MS;
    client->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    client->answer_limit = options->answer_limit ? options->answer_limit : ANSWER_LIMIT;
    client->peer = options->peer ? options->peer : "the FHIR server";
    client->multi = curl_multi_init();
    client->easy = curl_easy_init();
    if (!client->multi || !client->easy)
        abort();
    *out = client;
    return true;
}

void fhir_client_close(struct fhir_client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->easy);
    curl_multi_cleanup(client->multi);
    free(client->base);
    free(client->tls_ca);
    free(client->tls_certificate);
    free(client->tls_key);
    free(client->proxy);
    free(client->user);
    free(client->password);
    free(client);
}

const char *fhir_client_base(const struct fhir_client *client)
{
    return client->base;
}

void fhir_client_stop(struct fhir_client *client)
{
    atomic_store(&client->stopping, true);
    curl_multi_wakeup(client->multi);
}

void fhir_client_watch(struct fhir_client *client, bool (*cancelled)(void *context), void *context)
{
    client->cancelled = cancelled;
    client->context = context;
}

void fhir_answer_release(struct fhir_answer *answer)
{
    buffer_release(&answer->body);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct fhir_answer *answer = context;
    /* A short count ends the transfer. */
    return buffer_append(&answer->body, slice_of(bytes, size * count)) ? size * count : 0;
}

/* Seconds, or an HTTP date (RFC 9110 10.2.3). */
static int64_t parse_retry_after(const char *text)
{
    char *end;
    long seconds = strtol(text, &end, 10);
    if (end != text && (*end == 0 || *end == '\r' || *end == '\n' || *end == ' '))
        return seconds < 0 ? 0 : seconds > 86400 ? INT64_C(86400000) : seconds * INT64_C(1000);
    time_t at = curl_getdate(text, NULL);
    if (at == -1)
        return -1;
    int64_t wait_ms = (int64_t)at * 1000 - clock_unix_ms();
    return wait_ms < 0 ? 0 : wait_ms > INT64_C(86400000) ? INT64_C(86400000) : wait_ms;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *context)
{
    static const char name[] = "retry-after:";
    struct fhir_answer *answer = context;
    size_t total = size * count;
    if (total > sizeof name && total < 256 && strncasecmp(bytes, name, sizeof name - 1) == 0) {
        char value[256];
        size_t start = sizeof name - 1;
        while (start < total && (bytes[start] == ' ' || bytes[start] == '\t'))
            start++;
        memcpy(value, bytes + start, total - start);
        value[total - start] = 0;
        value[strcspn(value, "\r\n")] = 0;
        answer->retry_after_ms = parse_retry_after(value);
    }
    return total;
}

static struct curl_slist *add_header(struct curl_slist *headers, const char *line)
{
    struct curl_slist *longer = curl_slist_append(headers, line);
    if (!longer)
        abort();
    return longer;
}

static struct curl_slist *make_headers(const struct fhir_request *request)
{
    char *accept = mem_format("Accept: %s",
                              request->accept ? request->accept : "application/fhir+json");
    struct curl_slist *headers = add_header(NULL, accept);
    free(accept);
    /* What was read a moment ago may be another one's version by now. */
    headers = add_header(headers, "Cache-Control: no-cache");
    headers = add_header(headers, "Prefer: return=minimal");
    headers = add_header(headers, "Expect:");
    if (request->body.size) {
        char *type = mem_format("Content-Type: %s", request->content_type
                                                        ? request->content_type
                                                        : "application/fhir+json; charset=utf-8");
        headers = add_header(headers, type);
        free(type);
    }
    if (request->if_match && *request->if_match) {
        char *line = mem_format("If-Match: %s", request->if_match);
        headers = add_header(headers, line);
        free(line);
    }
    if (request->header)
        headers = add_header(headers, request->header);
    return headers;
}

static void set_credentials(struct fhir_client *client, const struct fhir_request *request,
                            const char *token)
{
    CURL *easy = client->easy;
    const char *user = request->url ? request->user : client->user;
    const char *password = request->url ? request->password : client->password;
    if (token) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, token);
    } else if (user && *user) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, password ? password : "");
    }
}

/* The certificate and the name in it are always checked. */
static void set_tls(struct fhir_client *client)
{
    CURL *easy = client->easy;
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (client->tls_ca) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, client->tls_ca);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (client->tls_certificate) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, client->tls_certificate);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, client->tls_key);
    }
}

static void prepare(struct fhir_client *client, const struct fhir_request *request, const char *url,
                    const char *token, struct curl_slist *headers, struct fhir_answer *answer)
{
    CURL *easy = client->easy;
    curl_easy_reset(easy); /* keeps connections */
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)client->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)client->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "hounsfield/" HOUNSFIELD_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, answer);
    curl_easy_setopt(easy, CURLOPT_PROXY, client->proxy ? client->proxy : "");
    set_tls(client);
    set_credentials(client, request, token);
    if (request->body.size) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, (const char *)request->body.data);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static bool fail(const struct fhir_client *client, CURLcode code, bool overflowed,
                 struct error *err)
{
    enum error_code kind = ERROR_IO;
    if (overflowed)
        return error_set(err, ERROR_LIMIT, "the answer of %s is too long", client->peer);
    if (code == CURLE_OPERATION_TIMEDOUT)
        kind = ERROR_TIMEOUT;
    else if (code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR ||
             code == CURLE_SEND_ERROR)
        kind = ERROR_CLOSED;
    return error_set(err, kind, "%s: %s", client->peer, curl_easy_strerror(code));
}

/* Runs the prepared request to its end, or until the client is stopped. */
static bool run(struct fhir_client *client, CURLcode *code)
{
    int running = 1;
    *code = CURLE_GOT_NOTHING;
    while (!atomic_load(&client->stopping) &&
           !(client->cancelled && client->cancelled(client->context))) {
        if (curl_multi_perform(client->multi, &running) != CURLM_OK)
            return true;
        int left;
        CURLMsg *message;
        while ((message = curl_multi_info_read(client->multi, &left)))
            if (message->msg == CURLMSG_DONE)
                *code = message->data.result;
        if (!running)
            return true;
        curl_multi_poll(client->multi, NULL, 0, client->cancelled ? WATCH_MS : POLL_MS, NULL);
    }
    return false;
}

static bool send_once(struct fhir_client *client, const struct fhir_request *request,
                      const char *token, struct fhir_answer *answer, struct error *err)
{
    *answer = (struct fhir_answer){ .retry_after_ms = -1,
                                    .body = buffer_up_to(client->answer_limit) };
    const char *path = request->url ? "" : request->path;
    const char *slash = *path && *path != '?' ? "/" : "";
    char *url = request->url ? mem_copy_text(request->url)
                             : mem_format("%s%s%s", client->base, slash, path);
    struct curl_slist *headers = make_headers(request);
    CURLcode code;
    long status = 0;
    bool ok = false;

    prepare(client, request, url, token, headers, answer);
    if (curl_multi_add_handle(client->multi, client->easy) != CURLM_OK)
        abort();
    bool ended = run(client, &code);
    curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(client->multi, client->easy);
    answer->status = (int)status;
    if (!ended)
        error_set(err, ERROR_STOPPED, "the request to the FHIR server was stopped");
    else if (code != CURLE_OK)
        fail(client, code, answer->body.overflowed, err);
    else
        ok = true;

    curl_slist_free_all(headers);
    free(url);
    return ok;
}

bool fhir_client_send(struct fhir_client *client, const struct fhir_request *request,
                      struct fhir_answer *answer, struct error *err)
{
    struct bearer *bearer = request->url ? NULL : client->bearer;
    char *token = NULL, *other = NULL;
    *answer = (struct fhir_answer){ .retry_after_ms = -1 };
    if (bearer && !bearer_token(bearer, NULL, &token, err))
        return false;
    bool ok = send_once(client, request, token, answer, err);
    if (ok && bearer && answer->status == 401 && bearer_token(bearer, token, &other, NULL)) {
        fhir_answer_release(answer);
        ok = send_once(client, request, other, answer, err);
    }
    free(token);
    free(other);
    return ok;
}
