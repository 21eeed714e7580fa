/* SPDX-License-Identifier: MIT */
#include "dimse/admission.h"

#include "base/audit.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/metrics.h"
#include "dimse/peers.h"
#include "dimse/transport.h"

/* No reason given, by the service provider (PS3.7 D.3.3.7.3). */
static const struct rejection identity_refused = { 1, 2, 1 };

/* Calling AE title not recognized (PS3.8 9.3.4). */
const struct rejection admission_stranger = { 1, 1, 3 };

static bool is_same(struct rejection a, struct rejection b)
{
    return a.result == b.result && a.source == b.source && a.reason == b.reason;
}

bool admission_check_header(const uint8_t header[PDU_HEADER_SIZE], enum abort_reason *reason)
{
    *reason = pdu_check_header(header[0], get_u32be(header + 2), UINT32_MAX);
    if (*reason == ABORT_NOT_SPECIFIED && header[0] != PDU_ASSOCIATE_RQ)
        *reason = ABORT_UNEXPECTED_PDU;
    return *reason == ABORT_NOT_SPECIFIED;
}

bool admission_decode(struct slice body, struct associate *request, struct error *err)
{
    if (!associate_decode(body, PDU_ASSOCIATE_RQ, request, err))
        return false;
    if (request->context_count == 0)
        return error_set(err, ERROR_INVALID, "no presentation contexts");
    if (request->max_length && request->max_length < MIN_PEER_PDU)
        return error_set(err, ERROR_INVALID, "too small a maximum length");
    return true;
}

/* In a time that tells nothing about the passcode but its length. */
static bool same_passcode(struct slice given, const char *passcode)
{
    size_t size = strlen(passcode);
    unsigned difference = given.size != size;
    for (size_t i = 0; i < given.size && i < size; i++)
        difference |= given.data[i] ^ (uint8_t)passcode[i];
    return difference == 0;
}

/* PS3.7 D.3.3.7. Tokens (Kerberos, SAML, JWT) cannot be verified here, so they prove nothing. */
static bool is_known(const struct dimse_options *options, const struct associate *request)
{
    const struct associate_identity *identity = &request->identity;
    char name[USER_NAME_SIZE];
    if (options->user_count == 0)
        return true;
    if (identity->type == IDENTITY_NONE)
        return !options->require_user;
    associate_user(request, name);
    const struct user *user = name[0] ? peers_find_user(options, name) : NULL;
    if (!user)
        return false;
    return !user->passcode || (identity->type == IDENTITY_PASSCODE &&
                               same_passcode(identity->secondary, user->passcode));
}

struct rejection admission_check(const struct configuration *configuration,
                                 const struct associate *request,
                                 const struct sockaddr_storage *address, const struct tls *tls,
                                 bool *to_resolve)
{
    struct rejection rejection = negotiate_check(request, &configuration->policy);
    char calling[AE_TITLE_SIZE];
    *to_resolve = false;
    if (rejection.result)
        return rejection;
    if (!is_known(&configuration->options, request))
        return identity_refused;
    associate_calling_ae(request, calling);
    const struct peer *peer = peers_find(&configuration->options, calling);
    if (peer && peer->certificate && (!tls || !tls_peer_is(tls, peer->certificate)))
        return admission_stranger;
    switch (peers_admit(&configuration->options, calling, address)) {
    case ADMITTED:
        break;
    case ADMISSION_TO_RESOLVE:
        *to_resolve = true;
        break;
    case ADMISSION_UNKNOWN_TITLE:
    case ADMISSION_WRONG_ADDRESS:
        return admission_stranger;
    }
    return rejection;
}

/* PS3.15 A.5.3.11 to 13: who is not who may call, and who could not log in; what is refused for the
 * time being alone is no attack. */
static void note_rejection(struct rejection rejection, const char *address, const char *calling_ae)
{
    const struct audit_peer peer = { .ae_title = calling_ae, .address = address };
    if (is_same(rejection, identity_refused))
        audit_note(AUDIT_USER_AUTHENTICATION, AUDIT_LOGIN, AUDIT_MINOR_FAILURE, &peer,
                   "the user identity is missing or wrong");
    else if (is_same(rejection, admission_stranger))
        audit_note(
            AUDIT_SECURITY_ALERT, AUDIT_NODE_AUTHENTICATION, AUDIT_MINOR_FAILURE, &peer,
            "the calling AE title is not known, or not from there, or has another certificate");
    else if (rejection.result == 1)
        audit_note(AUDIT_SECURITY_ALERT, AUDIT_NODE_AUTHENTICATION, AUDIT_MINOR_FAILURE, &peer,
                   "the association request was rejected");
    else
        audit_note(AUDIT_NETWORK_ENTRY, AUDIT_ATTACH, AUDIT_MINOR_FAILURE, &peer,
                   "too many associations");
}

static const char *reason_text(struct rejection rejection)
{
    static const struct {
        struct rejection rejection;
        const char *text;
    } texts[] = {
        { { 1, 1, 2 }, "the application context is not DICOM's" },
        { { 1, 1, 3 }, "the calling AE title may not call, or not from there" },
        { { 1, 1, 7 }, "the called AE title is not ours" },
        { { 1, 2, 1 }, "the user identity is missing or wrong" },
        { { 1, 2, 2 }, "the protocol version is not 1" },
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (is_same(texts[i].rejection, rejection))
            return texts[i].text;
    }
    return rejection.result == 2 ? "too many associations" : "";
}

void admission_note(struct rejection rejection, const struct sockaddr_storage *address,
                    const char *called_ae, const char *calling_ae)
{
    char text[TRANSPORT_ADDRESS_SIZE];
    transport_format_address(address, text);
    log_warn("dimse: association rejected peer=%s calling_ae=\"%s\" called_ae=\"%s\" "
             "result=%u/%u/%u why=\"%s\"",
             text, calling_ae, called_ae, rejection.result, rejection.source, rejection.reason,
             reason_text(rejection));
    note_rejection(rejection, text, calling_ae);
    metric_add(METRIC_ASSOCIATIONS_REJECTED, 1);
}
