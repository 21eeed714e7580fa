/* SPDX-License-Identifier: MIT */
#pragma once
/* TLS (PS3.15 B.12: the BCP 195 profile, or B.13: the modified one): the one door to GnuTLS.
 * TLS 1.3 and 1.2, ephemeral key exchange and authenticated encryption only. Credentials are
 * immutable and thread-safe once loaded; a session belongs to one thread at a time.
 *
 * Reading and writing are as with a non-blocking socket: -1 with errno EAGAIN when one has to wait
 * (for what tls_wants_write says), ECONNRESET when the session is broken. */

#include <sys/types.h>

#include "base/error.h"
#include "base/slice.h"

struct tls_files {
    const char *certificate; /* PEM, ours and those above it; NULL: none, as client only */
    const char *key;
    const char *ca;  /* PEM, who may have signed the others'; NULL: clients show no certificate */
    const char *crl; /* PEM; NULL: none */
    bool modified_profile; /* PS3.15 B.13 instead of B.12 */
};

struct tls_credentials;
bool tls_credentials_load(const struct tls_files *files, struct tls_credentials **out,
                          struct error *err);
void tls_credentials_free(struct tls_credentials *credentials);

struct tls;

/* The session borrows the socket. As client: `host` is the name or address that the certificate
 * must be for, NULL: any. The credentials, and the host until the handshake is done, outlive the
 * session. */
bool tls_new_server(const struct tls_credentials *credentials, int fd, struct tls **out,
                    struct error *err);
bool tls_new_client(const struct tls_credentials *credentials, int fd, const char *host,
                    struct tls **out, struct error *err);
/* A session (a gnutls_session_t) that a library made by itself, open and not blocking: it stays the
 * library's. */
struct tls *tls_of_session(void *session);
/* Tells the peer that nothing more comes, if that can be done without waiting. NULL does nothing.
 */
void tls_free(struct tls *tls);

/* One step: 1 done, 0 to be called again when the socket is ready, -1 failed with err. */
int tls_handshake(struct tls *tls, struct error *err);
bool tls_wants_write(const struct tls *tls);

bool tls_has_pending(const struct tls *tls); /* bytes that no poll would tell of */
ssize_t tls_receive(struct tls *tls, void *data, size_t size); /* 0: the end */
/* Gathers; what is gathered goes out when there is enough of it, or with tls_flush. */
ssize_t tls_send(struct tls *tls, const void *data, size_t size);
int tls_flush(struct tls *tls);

/* Is the peer's certificate the one that is described: "sha256:" and the digits of its fingerprint
 * (colons between them or not), or its subject as RFC 4514 writes it ("CN=CT1,O=Clinic")? */
bool tls_peer_is(const struct tls *tls, const char *description);
/* Can that be said of any certificate at all? */
bool tls_is_description(const char *description);

/* For a library that makes its sessions of GnuTLS by itself: the profile, in GnuTLS's terms, and
 * the last bytes to send on such a session (a gnutls_session_t), as far as they go without waiting,
 * with the notice that nothing more comes. */
const char *tls_profile(void);
void tls_session_end(void *session, struct slice last);
