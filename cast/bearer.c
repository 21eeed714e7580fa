/* SPDX-License-Identifier: MIT */
#include "cast/bearer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/signature.h"
#include "cast/json.h"
#include "cast/text.h"

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

enum {
    TOKEN_MAX = 16 * 1024,
    FILE_MAX = 64 * 1024,
    ANSWER_MAX = 64 * 1024,
    FORM_MAX = 64 * 1024,
    ASSERTION_S = 300,      /* SMART: no more than five minutes */
    UNSAID_LIFE_S = 300,    /* of a token that does not say its own */
    LONGEST_LIFE_S = 86400, /* that is believed */
    SPARE_S = 60,           /* renewed so long before its end, or at four fifths of its life */
};

struct bearer {
    struct bearer_options options;
    struct fhir_client *client; /* NULL unless there is a token endpoint */
    /* Held while a token is fetched: the others wait for the same one. */
    pthread_mutex_t lock;
    char *token;      /* guarded by lock */
    int64_t renew_ms; /* monotonic; guarded by lock */
};

/* --- files --- */

static bool is_token(const char *text)
{
    for (const char *at = text; *at; at++)
        if (*at <= ' ' || *at >= 0x7F)
            return false;
    return *text != 0;
}

/* One line, without the white space around it. */
static bool read_line(const char *path, char **line, struct error *err)
{
    char text[FILE_MAX];
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(err, ERROR_NOT_FOUND, "%.150s cannot be opened", path);
    size_t size = fread(text, 1, sizeof text - 1, file);
    bool ok = !ferror(file);
    fclose(file);
    text[size] = 0;
    char *start = text + strspn(text, " \t\r\n");
    start[strcspn(start, "\r\n")] = 0;
    for (size = strlen(start); size && (start[size - 1] == ' ' || start[size - 1] == '\t'); size--)
        start[size - 1] = 0;
    if (!ok || !is_token(start))
        return error_set(err, ERROR_INVALID, "%.150s holds no line of visible characters", path);
    *line = mem_copy_text(start);
    return true;
}

/* --- the assertion (RFC 7523 3) --- */

static void append_base64url(struct buffer *out, struct slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i < 3 ? bytes.size - i : 3;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= left > 2 ? bytes.data[i + 2] : 0;
        for (size_t digit = 0; digit <= left; digit++)
            buffer_append_byte(out, (uint8_t)digits[group >> (18 - 6 * digit) & 63]);
    }
}

static void append_part_take(struct buffer *out, cJSON *json)
{
    struct buffer text = buffer_up_to(FORM_MAX);
    json_print(json, &text);
    append_base64url(out, buffer_slice(&text));
    buffer_release(&text);
    cJSON_Delete(json);
}

static void append_claims(struct buffer *out, const struct bearer_options *options)
{
    uint8_t random[16];
    char id[2 * sizeof random + 1];
    int64_t now = clock_unix_ms() / 1000;
    cJSON *claims = json_object();
    random_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(id + 2 * i, 3, "%02x", random[i]);
    json_set_text(claims, "iss", options->client_id);
    json_set_text(claims, "sub", options->client_id);
    json_set_text(claims, "aud", options->token_url);
    json_set_integer(claims, "iat", now);
    json_set_integer(claims, "exp", now + ASSERTION_S);
    json_set_text(claims, "jti", id);
    append_part_take(out, claims);
}

/* The key is read anew each time: it may have been replaced. */
static bool make_assertion(const struct bearer_options *options, struct buffer *out,
                           struct error *err)
{
    struct signing_key *key = NULL;
    struct buffer signature = buffer_up_to(4096);
    if (!signing_key_load(options->key_file, &key, err))
        return false;
    cJSON *header = json_object();
    json_set_text(header, "alg", signing_key_algorithm(key));
    json_set_text(header, "kid", options->key_id);
    json_set_text(header, "typ", "JWT");
    append_part_take(out, header);
    buffer_append_byte(out, '.');
    append_claims(out, options);
    bool ok = signing_key_sign(key, buffer_slice(out), &signature, err);
    buffer_append_byte(out, '.');
    append_base64url(out, buffer_slice(&signature));
    buffer_release(&signature);
    signing_key_free(key);
    return ok;
}

/* --- the token endpoint --- */

static void append_field(struct buffer *form, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    buffer_append_format(form, "%s%s=", form->size ? "&" : "", name);
    text_percent_encode(slice_text(value), form);
}

static bool make_form(const struct bearer_options *options, struct buffer *form, struct error *err)
{
    struct buffer assertion = buffer_up_to(FORM_MAX);
    bool ok = true;
    append_field(form, "grant_type", "client_credentials");
    append_field(form, "scope", options->scope);
    if (options->key_file) {
        ok = make_assertion(options, &assertion, err);
        append_field(form, "client_assertion_type", ASSERTION_TYPE);
        append_field(form, "client_assertion", buffer_text(&assertion));
    }
    buffer_release(&assertion);
    return ok;
}

/* Who we are, by RFC 6749 2.3.1: each in the form's encoding. */
static bool make_basic(const struct bearer_options *options, char **user, char **password,
                       struct error *err)
{
    struct buffer text = buffer_up_to(FORM_MAX);
    char *secret = NULL;
    if (options->key_file)
        return true;
    if (options->client_secret_file && !read_line(options->client_secret_file, &secret, err))
        return false;
    text_percent_encode(slice_text(options->client_id), &text);
    *user = mem_copy_text(buffer_text(&text));
    buffer_clear(&text);
    text_percent_encode(slice_text(secret ? secret : options->client_secret), &text);
    *password = mem_copy_text(buffer_text(&text));
    buffer_release(&text);
    free(secret);
    return true;
}

static bool take_answer(struct bearer *bearer, const struct fhir_answer *answer, struct error *err)
{
    cJSON *json = NULL;
    bool ok = false;
    bool parsed = json_parse(buffer_slice(&answer->body), &json, NULL);
    const char *token = json_text(json, "access_token");
    const char *kind = json_text(json, "token_type");
    const cJSON *life = json_get(json, "expires_in");
    const char *error = json_text(json, "error");
    if (answer->status != 200) {
        bool safe = error && strspn(error, "abcdefghijklmnopqrstuvwxyz_") == strlen(error);
        error_set(err, ERROR_UNSUPPORTED, "the token endpoint answered %d %.60s", answer->status,
                  safe ? error : "");
    } else if (!parsed || !token || !is_token(token) || strlen(token) > TOKEN_MAX ||
               (kind && strcasecmp(kind, "bearer") != 0)) {
        error_set(err, ERROR_INVALID, "the token endpoint's answer holds no bearer token");
    } else {
        long long seconds = cJSON_IsRaw(life) ? strtoll(life->valuestring, NULL, 10)
                                              : UNSAID_LIFE_S;
        seconds = seconds < 1 ? 1 : seconds > LONGEST_LIFE_S ? LONGEST_LIFE_S : seconds;
        int64_t spare = seconds / 5 < SPARE_S ? seconds / 5 : SPARE_S;
        free(bearer->token);
        bearer->token = mem_copy_text(token);
        bearer->renew_ms = clock_monotonic_ms() + (seconds - spare) * 1000;
        log_info("cast: has a new access token seconds=%lld", seconds);
        ok = true;
    }
    cJSON_Delete(json);
    return ok;
}

/* With the lock. */
static bool fetch(struct bearer *bearer, struct error *err)
{
    struct buffer form = buffer_up_to(FORM_MAX);
    struct fhir_answer answer = { 0 };
    char *user = NULL, *password = NULL;
    bool ok = make_form(&bearer->options, &form, err) &&
              make_basic(&bearer->options, &user, &password, err);
    struct fhir_request request = { .method = "POST",
                                    .url = bearer->options.token_url,
                                    .path = "",
                                    .body = buffer_slice(&form),
                                    .content_type = "application/x-www-form-urlencoded",
                                    .accept = "application/json",
                                    .user = user,
                                    .password = password };
    if (ok && !fhir_client_send(bearer->client, &request, &answer, err))
        ok = error_add_context(err, "the token endpoint");
    else
        ok = ok && take_answer(bearer, &answer, err);
    fhir_answer_release(&answer);
    buffer_release(&form);
    free(user);
    free(password);
    return ok;
}

/* --- */

static bool check(const struct bearer_options *options, struct error *err)
{
    int ways = (options->token != NULL) + (options->file != NULL) + (options->token_url != NULL);
    int proofs = (options->client_secret != NULL) + (options->client_secret_file != NULL) +
                 (options->key_file != NULL);
    struct signing_key *key = NULL;
    if (ways > 1)
        return error_set(
            err, ERROR_INVALID,
            "fhir.bearerToken, fhir.bearerTokenFile and fhir.oauth.tokenUrl: give one");
    if (options->token && !is_token(options->token))
        return error_set(err, ERROR_INVALID,
                         "fhir.bearerToken holds a character that a header cannot have");
    if (!options->token_url)
        return true;
    if (!options->client_id || proofs != 1)
        return error_set(err, ERROR_INVALID,
                         "fhir.oauth needs clientId and one of clientSecret, clientSecretFile and "
                         "keyFile");
    bool ok = !options->key_file || signing_key_load(options->key_file, &key, err);
    signing_key_free(key);
    return ok;
}

bool bearer_open(const struct bearer_options *options, struct bearer **out, struct error *err)
{
    *out = NULL;
    if (!check(options, err))
        return false;
    if (!options->token && !options->file && !options->token_url)
        return true;
    struct bearer *bearer = mem_alloc(sizeof *bearer);
    bearer->options = *options;
    pthread_mutex_init(&bearer->lock, NULL);
    if (options->token_url) {
        struct fhir_client_options http = options->http;
        http.url = options->token_url;
        http.answer_limit = ANSWER_MAX;
        if (!fhir_client_open(&http, &bearer->client, err)) {
            error_add_context(err, "fhir.oauth.tokenUrl");
            bearer_close(bearer);
            return false;
        }
    }
    *out = bearer;
    return true;
}

void bearer_close(struct bearer *bearer)
{
    if (!bearer)
        return;
    fhir_client_close(bearer->client);
    pthread_mutex_destroy(&bearer->lock);
    free(bearer->token);
    free(bearer);
}

void bearer_stop(struct bearer *bearer)
{
    if (bearer && bearer->client)
        fhir_client_stop(bearer->client);
}

bool bearer_token(struct bearer *bearer, const char *refused, char **token, struct error *err)
{
    const struct bearer_options *options = &bearer->options;
    bool ok = true;
    *token = NULL;
    if (options->token)
        *token = mem_copy_text(options->token);
    else if (options->file)
        ok = read_line(options->file, token, err);
    if (options->token_url) {
        pthread_mutex_lock(&bearer->lock);
        bool is_old = !bearer->token || clock_monotonic_ms() >= bearer->renew_ms ||
                      (refused && strcmp(refused, bearer->token) == 0);
        ok = !is_old || fetch(bearer, err);
        if (ok)
            *token = mem_copy_text(bearer->token);
        pthread_mutex_unlock(&bearer->lock);
    }
    if (ok && refused && strcmp(refused, *token) == 0) {
        free(*token);
        *token = NULL;
        ok = error_set(err, ERROR_UNSUPPORTED, "the FHIR server does not take the token");
    }
    return ok;
}
