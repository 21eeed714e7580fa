/* SPDX-License-Identifier: MIT */
#pragma once
/* Requests to a FHIR server: the one door to libcurl. Connections are kept; certificates are
 * checked; redirects are not followed, so that credentials stay where they belong. One thread at a
 * time, but for fhir_client_stop. */

#include "base/buffer.h"
#include "base/error.h"

struct bearer;
struct fhir_client;

/* The strings are copied. */
struct fhir_client_options {
    const char *url;       /* base; http or https */
    struct bearer *bearer; /* borrowed, where tokens come from (cast/bearer.h); or NULL */
    const char *user;      /* Basic; or NULL */
    const char *password;
    const char *tls_ca;          /* PEM: who may have signed the server's certificate; NULL: those
                                    whom the system trusts */
    const char *tls_certificate; /* PEM: ours, when the server asks for one; or NULL */
    const char *tls_key;
    const char *proxy;          /* "http://proxy:3128"; NULL: none, whatever the environment says */
    int64_t connect_timeout_ms; /* 0: 10 s */
    int64_t timeout_ms;         /* of a request in all, 0: 120 s */
    size_t answer_limit;        /* 0: 64 MiB */
    const char *peer;           /* whom errors speak of; NULL: "the FHIR server". Not copied */
};

/* ERROR_INVALID says what is wrong with them. */
bool fhir_client_check(const struct fhir_client_options *options, struct error *err);
bool fhir_client_open(const struct fhir_client_options *options, struct fhir_client **out,
                      struct error *err);
void fhir_client_close(struct fhir_client *client);
/* From any thread: ends the request in flight and all later ones with ERROR_STOPPED. */
void fhir_client_stop(struct fhir_client *client);

/* Asked some times a second while a request is under way: true ends it with ERROR_STOPPED. NULL:
 * nobody is asked. */
void fhir_client_watch(struct fhir_client *client, bool (*cancelled)(void *context), void *context);

/* The base URL, without a slash at the end. */
const char *fhir_client_base(const struct fhir_client *client);

struct fhir_request {
    const char *url; /* whole, instead of base and path, and without our credentials; or NULL */
    const char *content_type; /* of the body; NULL: FHIR's */
    const char *accept;       /* NULL: FHIR's */
    const char *user;         /* Basic, for `url`; or NULL */
    const char *password;
    const char *method;
    const char *path;     /* below the base: "Patient?identifier=..."; "" for the base itself */
    struct slice body;    /* JSON; empty: none */
    const char *if_match; /* or NULL, "" */
    const char *header;   /* one more, as a whole line; or NULL */
};

struct fhir_answer {
    int status;
    int64_t retry_after_ms; /* -1: the server says nothing */
    struct buffer body;
};
void fhir_answer_release(struct fhir_answer *answer);

/* A token that is refused (401) is replaced once, if there is another. ERROR_UNSUPPORTED: the token
 * endpoint gives us none. Else false when no whole answer came: ERROR_TIMEOUT, ERROR_CLOSED,
 * ERROR_IO, ERROR_LIMIT, ERROR_STOPPED. The server may have done what was asked all the same. */
bool fhir_client_send(struct fhir_client *client, const struct fhir_request *request,
                      struct fhir_answer *answer, struct error *err);
