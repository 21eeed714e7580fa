/* SPDX-License-Identifier: MIT */
#include "base/tls.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

enum {
    GATHERED = 16384, /* the payload of the largest record */
    MIN_PRIME_BITS = 2048,
    SHA256_SIZE = 32,
    SUBJECT_SIZE = 1024,
};

/* PS3.15 B.12 refers to BCP 195: no version below 1.2, no static RSA, AEAD only. */
static const char priorities[] = "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:"
                                 "-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305:"
                                 "%SERVER_PRECEDENCE:%SAFE_RENEGOTIATION";

/* PS3.15 B.13 asks for groups besides: ECDHE of 256 bits at least, DHE of 2048 (whoever names no
 * group gets one of these, too, see MIN_PRIME_BITS), and signatures of that strength. */
static const char modified_priorities[] =
    "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+ECDHE-ECDSA:+ECDHE-RSA:+DHE-RSA:+AES-256-GCM:+AES-128-GCM:"
    "+CHACHA20-POLY1305:+AES-256-CCM:+AES-128-CCM:+AEAD:+COMP-NULL:+CTYPE-X509:"
    "+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:+GROUP-X25519:+GROUP-X448:"
    "+GROUP-FFDHE2048:+GROUP-FFDHE3072:+GROUP-FFDHE4096:+GROUP-FFDHE6144:+GROUP-FFDHE8192:"
    "+SIGN-RSA-SHA256:+SIGN-RSA-SHA384:+SIGN-RSA-SHA512:+SIGN-RSA-PSS-SHA256:"
    "+SIGN-RSA-PSS-SHA384:+SIGN-RSA-PSS-SHA512:+SIGN-RSA-PSS-RSAE-SHA256:"
    "+SIGN-RSA-PSS-RSAE-SHA384:+SIGN-RSA-PSS-RSAE-SHA512:+SIGN-ECDSA-SHA256:+SIGN-ECDSA-SHA384:"
    "+SIGN-ECDSA-SHA512:+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SECP384R1-SHA384:"
    "+SIGN-ECDSA-SECP521R1-SHA512:+SIGN-EDDSA-ED25519:%PROFILE_MEDIUM:%SERVER_PRECEDENCE:"
    "%SAFE_RENEGOTIATION";

static const char fingerprint_prefix[] = "sha256:";

struct tls_credentials {
    gnutls_certificate_credentials_t certificates;
    gnutls_priority_t priority;
    bool verifies; /* there is a CA to verify by */
    bool can_serve;
};

struct tls {
    gnutls_session_t session;
    bool is_borrowed;
    bool is_open;                    /* the handshake is done and nothing went wrong since */
    gnutls_typed_vdata_st wanted[2]; /* of the peer's certificate; GnuTLS borrows it */
    size_t gathered;
    size_t sent; /* of what was gathered */
    uint8_t out[GATHERED];
};

static bool fail(struct error *err, const char *what, int code)
{
    return error_set(err, ERROR_INVALID, "TLS: %s: %s", what, gnutls_strerror(code));
}

/* GnuTLS does not say which file it is, nor why it cannot be read. */
static bool check_file(const char *path, struct error *err)
{
    if (!path || access(path, R_OK) == 0)
        return true;
    return error_set(err, ERROR_INVALID, "TLS: cannot read %.150s: %s", path, strerror(errno));
}

static bool fail_file(struct error *err, const char *what, const char *path, int code)
{
    return error_set(err, ERROR_INVALID, "TLS: %s %.150s: %s", what, path, gnutls_strerror(code));
}

static bool load_files(struct tls_credentials *credentials, const struct tls_files *files,
                       struct error *err)
{
    int code;
    if (!check_file(files->certificate, err) || !check_file(files->key, err) ||
        !check_file(files->ca, err) || !check_file(files->crl, err))
        return false;
    if (files->certificate) {
        code = gnutls_certificate_set_x509_key_file(credentials->certificates, files->certificate,
                                                    files->key, GNUTLS_X509_FMT_PEM);
        if (code < 0)
            return fail_file(err, "key, or certificate", files->certificate, code);
        credentials->can_serve = true;
    }
    if (files->ca) {
        code = gnutls_certificate_set_x509_trust_file(credentials->certificates, files->ca,
                                                      GNUTLS_X509_FMT_PEM);
        if (code <= 0)
            return fail_file(err, "CA", files->ca, code ? code : GNUTLS_E_NO_CERTIFICATE_FOUND);
        credentials->verifies = true;
    }
    if (files->crl) {
        code = gnutls_certificate_set_x509_crl_file(credentials->certificates, files->crl,
                                                    GNUTLS_X509_FMT_PEM);
        if (code < 0)
            return fail_file(err, "CRL", files->crl, code);
    }
    return true;
}

bool tls_credentials_load(const struct tls_files *files, struct tls_credentials **out,
                          struct error *err)
{
    struct tls_credentials *credentials = mem_alloc(sizeof(*credentials));
    int code = gnutls_certificate_allocate_credentials(&credentials->certificates);
    bool ok = code >= 0 || fail(err, "credentials", code);
    const char *profile = files->modified_profile ? modified_priorities : priorities;
    if (ok && (code = gnutls_priority_init(&credentials->priority, profile, NULL)) < 0)
        ok = fail(err, "priorities", code);
    /* For clients that name no group of RFC 7919. */
    if (ok && (code = gnutls_certificate_set_known_dh_params(credentials->certificates,
                                                             GNUTLS_SEC_PARAM_MEDIUM)) < 0)
        ok = fail(err, "groups", code);
    ok = ok && load_files(credentials, files, err);
    if (!ok) {
        tls_credentials_free(credentials);
        credentials = NULL;
    }
    *out = credentials;
    return ok;
}

void tls_credentials_free(struct tls_credentials *credentials)
{
    if (!credentials)
        return;
    if (credentials->certificates)
        gnutls_certificate_free_credentials(credentials->certificates);
    if (credentials->priority)
        gnutls_priority_deinit(credentials->priority);
    free(credentials);
}

static bool start(const struct tls_credentials *credentials, int fd, unsigned flags,
                  struct tls **out, struct error *err)
{
    struct tls *tls = mem_alloc(sizeof(*tls));
    int code = gnutls_init(&tls->session, flags | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
    *out = NULL;
    if (code < 0) {
        free(tls);
        return fail(err, "session", code);
    }
    *out = tls;
    if ((code = gnutls_priority_set(tls->session, credentials->priority)) < 0 ||
        (code = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE,
                                       credentials->certificates)) < 0) {
        tls_free(tls);
        *out = NULL;
        return fail(err, "session", code);
    }
    gnutls_dh_set_prime_bits(tls->session, MIN_PRIME_BITS);
    /* Deadlines are the transport's. */
    gnutls_handshake_set_timeout(tls->session, GNUTLS_INDEFINITE_TIMEOUT);
    gnutls_transport_set_int(tls->session, fd);
    return true;
}

/* In the handshake, so that the peer hears why it failed. */
static void verify(struct tls *tls, const char *purpose, const char *host)
{
    tls->wanted[0] = (gnutls_typed_vdata_st){ .type = GNUTLS_DT_KEY_PURPOSE_OID,
                                              .data = (unsigned char *)(uintptr_t)purpose };
    tls->wanted[1] = (gnutls_typed_vdata_st){ .type = GNUTLS_DT_DNS_HOSTNAME,
                                              .data = (unsigned char *)(uintptr_t)host };
    gnutls_session_set_verify_cert2(tls->session, tls->wanted, host ? 2 : 1, 0);
}

bool tls_new_server(const struct tls_credentials *credentials, int fd, struct tls **out,
                    struct error *err)
{
    if (!credentials->can_serve)
        return error_set(err, ERROR_INVALID, "TLS: no certificate");
    if (!start(credentials, fd, GNUTLS_SERVER, out, err))
        return false;
    if (credentials->verifies) {
        gnutls_certificate_server_set_request((*out)->session, GNUTLS_CERT_REQUIRE);
        verify(*out, GNUTLS_KP_TLS_WWW_CLIENT, NULL);
    }
    return true;
}

bool tls_new_client(const struct tls_credentials *credentials, int fd, const char *host,
                    struct tls **out, struct error *err)
{
    struct in6_addr address;
    bool is_address = host && (inet_pton(AF_INET, host, &address) == 1 ||
                               inet_pton(AF_INET6, host, &address) == 1);
    if (!credentials->verifies)
        return error_set(err, ERROR_INVALID, "TLS: no CA to verify by");
    if (!start(credentials, fd, GNUTLS_CLIENT, out, err))
        return false;
    if (host && !is_address)
        gnutls_server_name_set((*out)->session, GNUTLS_NAME_DNS, host, strlen(host));
    /* GnuTLS compares an address in text with the IP addresses of the certificate. */
    verify(*out, GNUTLS_KP_TLS_WWW_SERVER, host);
    return true;
}

struct tls *tls_of_session(void *session)
{
    struct tls *tls = mem_alloc(sizeof(*tls));
    tls->session = session;
    tls->is_borrowed = true;
    tls->is_open = true;
    return tls;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    if (tls->is_open && !tls->is_borrowed)
        gnutls_bye(tls->session, GNUTLS_SHUT_WR);
    if (!tls->is_borrowed)
        gnutls_deinit(tls->session);
    free(tls);
}

int tls_handshake(struct tls *tls, struct error *err)
{
    int code = gnutls_handshake(tls->session);
    if (code == GNUTLS_E_SUCCESS) {
        tls->is_open = true;
        return 1;
    }
    if (!gnutls_error_is_fatal(code))
        return 0;
    if (code == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
        gnutls_datum_t text = { NULL, 0 };
        unsigned status = gnutls_session_get_verify_cert_status(tls->session);
        gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
        error_set(err, ERROR_MISMATCH, "TLS: %s", text.data ? (const char *)text.data : "");
        gnutls_free(text.data);
    } else {
        error_set(err, ERROR_MISMATCH, "TLS: %s", gnutls_strerror(code));
    }
    gnutls_alert_send_appropriate(tls->session, code);
    return -1;
}

const char *tls_profile(void)
{
    return priorities;
}

void tls_session_end(void *session, struct slice last)
{
    while (last.size) {
        ssize_t sent = gnutls_record_send(session, last.data, last.size);
        if (sent <= 0)
            return;
        last = slice_skip(last, (size_t)sent);
    }
    gnutls_bye(session, GNUTLS_SHUT_WR);
}

bool tls_wants_write(const struct tls *tls)
{
    return gnutls_record_get_direction(tls->session) == 1;
}

bool tls_has_pending(const struct tls *tls)
{
    return gnutls_record_check_pending(tls->session) > 0;
}

static int fail_with(struct tls *tls, ssize_t code)
{
    if (code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED) {
        errno = code == GNUTLS_E_AGAIN ? EAGAIN : EINTR;
        return -1;
    }
    /* A renegotiation that the client asks for is refused in the same way. */
    tls->is_open = false;
    errno = ECONNRESET;
    return -1;
}

ssize_t tls_receive(struct tls *tls, void *data, size_t size)
{
    ssize_t received = gnutls_record_recv(tls->session, data, size);
    return received >= 0 ? received : fail_with(tls, received);
}

int tls_flush(struct tls *tls)
{
    while (tls->sent < tls->gathered) {
        ssize_t sent = gnutls_record_send(tls->session, tls->out + tls->sent,
                                          tls->gathered - tls->sent);
        if (sent < 0)
            return fail_with(tls, sent);
        tls->sent += (size_t)sent;
    }
    tls->sent = 0;
    tls->gathered = 0;
    return 0;
}

ssize_t tls_send(struct tls *tls, const void *data, size_t size)
{
    /* A record whose sending has begun must be sent as it is. */
    if ((tls->gathered == GATHERED || tls->sent) && tls_flush(tls) < 0)
        return -1;
    size_t room = GATHERED - tls->gathered;
    size = size < room ? size : room;
    memcpy(tls->out + tls->gathered, data, size);
    tls->gathered += size;
    return (ssize_t)size;
}

/* The digits of a fingerprint; false when they are none. */
static bool parse_fingerprint(const char *text, uint8_t digest[SHA256_SIZE])
{
    size_t digits = 0;
    memset(digest, 0, SHA256_SIZE);
    for (; *text; text++) {
        if (*text == ':')
            continue;
        if (!isxdigit((unsigned char)*text) || digits == 2 * SHA256_SIZE)
            return false;
        int low = tolower((unsigned char)*text);
        int digit = isdigit(low) ? low - '0' : low - 'a' + 10;
        digest[digits / 2] = (uint8_t)(digest[digits / 2] << 4 | digit);
        digits++;
    }
    return digits == 2 * SHA256_SIZE;
}

static bool is_fingerprint(const char *description)
{
    return strncmp(description, fingerprint_prefix, sizeof(fingerprint_prefix) - 1) == 0;
}

bool tls_is_description(const char *description)
{
    uint8_t digest[SHA256_SIZE];
    if (is_fingerprint(description))
        return parse_fingerprint(description + sizeof(fingerprint_prefix) - 1, digest);
    return strchr(description, '=') && strlen(description) < SUBJECT_SIZE;
}

static bool has_subject(const gnutls_datum_t *certificate, const char *subject)
{
    gnutls_x509_crt_t parsed;
    char text[SUBJECT_SIZE];
    size_t size = sizeof(text);
    if (gnutls_x509_crt_init(&parsed) < 0)
        return false;
    bool same = gnutls_x509_crt_import(parsed, certificate, GNUTLS_X509_FMT_DER) >= 0 &&
                gnutls_x509_crt_get_dn(parsed, text, &size) >= 0 && strcmp(text, subject) == 0;
    gnutls_x509_crt_deinit(parsed);
    return same;
}

bool tls_peer_is(const struct tls *tls, const char *description)
{
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(tls->session, &count);
    uint8_t wanted[SHA256_SIZE];
    uint8_t digest[SHA256_SIZE];
    size_t size = sizeof(digest);
    if (!chain || !count)
        return false;
    if (!is_fingerprint(description))
        return has_subject(&chain[0], description);
    return parse_fingerprint(description + sizeof(fingerprint_prefix) - 1, wanted) &&
           gnutls_fingerprint(GNUTLS_DIG_SHA256, &chain[0], digest, &size) >= 0 &&
           memcmp(digest, wanted, SHA256_SIZE) == 0;
}
