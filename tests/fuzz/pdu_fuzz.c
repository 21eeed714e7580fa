/* SPDX-License-Identifier: MIT */
/* The A-ASSOCIATE decoder and the negotiation behind it. The first byte chooses RQ or AC, the rest
 * is the body. What is accepted must survive being encoded again. */
#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"
#include "dimse/negotiate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void negotiate(const struct associate *request)
{
    static const struct policy policy = {
        .ae_title = "HOUNSFIELD", .max_pdu = 262144, .operations = 16, .knows_users = true
    };
    struct presentation_context *contexts = mem_alloc_array(request->context_count + 1,
                                                            sizeof(*contexts));
    struct associate *answer = mem_alloc(sizeof(*answer));
    struct buffer pdu = buffer_up_to(PDU_REQUEST_LIMIT);
    char user[USER_NAME_SIZE];
    associate_user(request, user);
    negotiate_check(request, &policy);
    negotiate_contexts(request, &policy, contexts);
    negotiate_encode_accept(request, &policy, contexts, &pdu);
    if (!pdu.overflowed && !associate_decode(slice_skip(buffer_slice(&pdu), PDU_HEADER_SIZE),
                                             PDU_ASSOCIATE_AC, answer, NULL))
        abort();
    /* No more is granted than was proposed. */
    if (answer->role_count > request->role_count ||
        answer->extended_count > request->extended_count || answer->common_count ||
        answer->has_window > request->has_window)
        abort();
    buffer_release(&pdu);
    free(answer);
    free(contexts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum pdu_type type = data[0] & 1 ? PDU_ASSOCIATE_RQ : PDU_ASSOCIATE_AC;
    struct slice body = slice_of(data + 1, size - 1);
    struct associate *associate = mem_alloc(sizeof(*associate));
    struct associate *again = mem_alloc(sizeof(*again));
    struct buffer pdu = buffer_up_to(PDU_REQUEST_LIMIT);
    struct error err;
    if (associate_decode(body, type, associate, &err)) {
        if (type == PDU_ASSOCIATE_RQ)
            negotiate(associate);
        /* It stands among the decoded sub-items, and must not be written twice. */
        for (size_t i = 0; i < associate->context_count; i++)
            associate->contexts[i].abstract_syntax.size = 0;
        associate_encode(associate, type, &pdu);
        if (!pdu.overflowed && (!associate_decode(slice_skip(buffer_slice(&pdu), PDU_HEADER_SIZE),
                                                  type, again, &err) ||
                                again->context_count != associate->context_count ||
                                again->role_count != associate->role_count ||
                                again->extended_count != associate->extended_count ||
                                again->common_count != associate->common_count ||
                                again->has_window != associate->has_window))
            abort();
    }
    buffer_release(&pdu);
    free(again);
    free(associate);
    return 0;
}
