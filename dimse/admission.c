/* SPDX-License-Identifier: MIT */
#include "dimse/admission.h"

#include "base/bytes.h"
#include "base/log.h"
#include "base/metrics.h"
#include "dimse/peers.h"
#include "dimse/transport.h"

/* Calling AE title not recognized (PS3.8 9.3.4). */
const struct rejection admission_stranger = { 1, 1, 3 };

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

void admission_note(struct rejection rejection, const struct sockaddr_storage *address,
                    const char *called_ae, const char *calling_ae)
{
    char text[TRANSPORT_ADDRESS_SIZE];
    transport_format_address(address, text);
    log_warn("dimse: association rejected peer=%s calling_ae=%s called_ae=%s result=%u/%u/%u", text,
             calling_ae, called_ae, rejection.result, rejection.source, rejection.reason);
    metric_add(METRIC_ASSOCIATIONS_REJECTED, 1);
}
