/* SPDX-License-Identifier: MIT */
#include "dimse/negotiate.h"

#include "archive/archive.h"

static const struct {
    const char *abstract_syntax;
    enum service service;
} services[] = {
    { UID_STORAGE_COMMITMENT, SERVICE_COMMITMENT },
    { UID_VERIFICATION, SERVICE_VERIFICATION },
    { UID_PATIENT_ROOT_FIND, SERVICE_FIND },
    { UID_PATIENT_ROOT_MOVE, SERVICE_MOVE },
    { UID_STUDY_ROOT_FIND, SERVICE_FIND },
    { UID_STUDY_ROOT_MOVE, SERVICE_MOVE },
    { UID_PATIENT_ROOT_GET, SERVICE_GET },
    { UID_STUDY_ROOT_GET, SERVICE_GET },
    { UID_COMPOSITE_ROOT_MOVE, SERVICE_MOVE },
    { UID_COMPOSITE_ROOT_GET, SERVICE_GET },
    { UID_WITHOUT_BULK_GET, SERVICE_GET },

    { UID_PATIENT_STUDY_FIND, SERVICE_FIND },
    { UID_PATIENT_STUDY_MOVE, SERVICE_MOVE },
    { UID_PATIENT_STUDY_GET, SERVICE_GET },

    { UID_INSTANCE_AVAILABILITY, SERVICE_AVAILABILITY },
    { UID_UPS_PUSH, SERVICE_UPS_PUSH },
    { UID_UPS_WATCH, SERVICE_UPS_WATCH },
    { UID_UPS_PULL, SERVICE_UPS_PULL },
    { UID_UPS_EVENT, SERVICE_UPS_EVENT },
    { UID_UPS_QUERY, SERVICE_UPS_QUERY },

    { UID_MODALITY_WORKLIST_FIND, SERVICE_WORKLIST },
    { UID_MPPS, SERVICE_MPPS },
    { UID_MPPS_RETRIEVE, SERVICE_MPPS_RETRIEVE },
};

enum service negotiate_service(const char *abstract_syntax, bool refuse_unknown)
{
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        if (strcmp(services[i].abstract_syntax, abstract_syntax) == 0)
            return services[i].service;
    const struct sop_class *known = sop_class_find(slice_text(abstract_syntax));
    if (!known)
        return refuse_unknown ? SERVICE_NONE : SERVICE_STORAGE;
    bool is_storage = known->kind == SOP_CLASS_STORAGE || known->kind == SOP_CLASS_STORAGE_RETIRED;
    return is_storage ? SERVICE_STORAGE : SERVICE_NONE;
}

/* Bytes of the extended negotiation that we serve. Query/Retrieve: see enum extended_query.
 * Storage (PS3.4 B.3.1): level 2 (full), then reserved, digital signatures level 3 (bytes are kept
 * as they came, so signatures stay valid), reserved, no coercion; from a peer whose attributes may
 * be coerced level 1 (signatures may become invalid). */
static const struct {
    enum service service;
    uint8_t size;
    uint8_t bytes[EXTENDED_SIZE];
} extended_served[] = {
    { SERVICE_STORAGE, 6, { 2, 0, 3, 0, 0, 0 } },
    { SERVICE_FIND, 7, { 1, 1, 1, 1, 0, 1, 1 } },
    { SERVICE_WORKLIST, 4, { 1, 1, 1, 1 } },
    { SERVICE_MOVE, 5, { 1, 0, 0, 0, 0 } },
    { SERVICE_GET, 5, { 1, 0, 0, 0, 0 } },
    /* Fuzzy names (PS3.4 CC.3.1.2); all else of it is as for other queries. */
    { SERVICE_UPS_WATCH, 3, { 1, 1, 1 } },
    { SERVICE_UPS_PULL, 3, { 1, 1, 1 } },
    { SERVICE_UPS_QUERY, 3, { 1, 1, 1 } },
};

struct rejection negotiate_check(const struct associate *request, const struct policy *policy)
{
    static const struct rejection none = { 0, 0, 0 };
    static const struct rejection protocol_version = { 1, 2, 2 };
    static const struct rejection application_context = { 1, 1, 2 };
    static const struct rejection called_ae_unknown = { 1, 1, 7 };
    char called[AE_TITLE_SIZE];
    char context[UID_SIZE];
    associate_called_ae(request, called);
    if (!(request->protocol_version & 1)) /* only bit 0 is tested (PS3.8 9.3.2) */
        return protocol_version;
    if (!uid_copy(request->application_context, context) ||
        strcmp(context, UID_APPLICATION_CONTEXT) != 0)
        return application_context;
    if (!policy->accept_any_called_ae && strcmp(called, policy->ae_title) != 0)
        return called_ae_unknown;
    return none;
}

/* Lower is better, UINT_MAX is no choice; equal ranks go by the requestor's order. */
static unsigned syntax_rank(enum service service, const char *uid)
{
    bool is_implicit = strcmp(uid, UID_IMPLICIT_LITTLE_ENDIAN) == 0;
    if (service == SERVICE_STORAGE)
        return is_implicit ? 1 : strcmp(uid, UID_EXPLICIT_BIG_ENDIAN) == 0 ? 2 : 0;
    if (strcmp(uid, UID_EXPLICIT_LITTLE_ENDIAN) == 0)
        return 0;
    return is_implicit ? 1 : UINT32_MAX;
}

static bool choose_syntax(enum service service, struct slice syntaxes, char chosen[UID_SIZE])
{
    unsigned best = UINT32_MAX;
    for (struct slice offered; pdu_next_syntax(&syntaxes, &offered);) {
        char uid[UID_SIZE];
        if (!uid_copy(offered, uid))
            continue;
        unsigned rank = syntax_rank(service, uid);
        if (rank < best) {
            best = rank;
            memcpy(chosen, uid, UID_SIZE);
        }
    }
    return best != UINT32_MAX;
}

static bool same_uid(struct slice value, const char *uid)
{
    char copy[UID_SIZE];
    return uid_copy(value, copy) && strcmp(copy, uid) == 0;
}

static bool is_refused(const struct policy *policy, const char *abstract_syntax)
{
    for (const char *const *uid = policy->refused_sop_classes; uid && *uid; uid++)
        if (strcmp(*uid, abstract_syntax) == 0)
            return true;
    return false;
}

/* An unknown SOP class is what its common extended negotiation says it is; storage is all that can
 * be served without knowing it (PS3.4 B.3.1.4). */
static bool is_of_other_service(const struct associate *request, const char *abstract_syntax)
{
    if (sop_class_find(slice_text(abstract_syntax)))
        return false;
    for (size_t i = 0; i < request->common_count; i++)
        if (same_uid(request->common[i].sop_class, abstract_syntax))
            return !same_uid(request->common[i].service_class, UID_STORAGE_SERVICE_CLASS);
    return false;
}

/* Of several items for one SOP class the first counts. */
static const struct associate_role *find_role(const struct associate *request,
                                              const char *abstract_syntax)
{
    for (size_t i = 0; i < request->role_count; i++)
        if (same_uid(request->roles[i].sop_class, abstract_syntax))
            return &request->roles[i];
    return NULL;
}

static const struct associate_extended *find_extended(const struct associate *request,
                                                      const char *abstract_syntax)
{
    for (size_t i = 0; i < request->extended_count; i++)
        if (same_uid(request->extended[i].sop_class, abstract_syntax))
            return &request->extended[i];
    return NULL;
}

static uint8_t granted_roles(enum service service, const struct associate_role *proposed)
{
    if (!proposed)
        return ROLE_SCU;
    bool scp = proposed->scp && (service == SERVICE_STORAGE || service == SERVICE_COMMITMENT ||
                                 service == SERVICE_UPS_EVENT);
    return (proposed->scu ? ROLE_SCU : 0) | (scp ? ROLE_SCP : 0);
}

enum { SIGNATURE_LEVEL = 2, COERCION = 4 };

static bool is_coerced(const struct associate *request, const struct policy *policy)
{
    char calling[AE_TITLE_SIZE];
    associate_calling_ae(request, calling);
    return policy->archive && archive_coerces(policy->archive, calling);
}

/* What we serve of what was proposed; returns how many bytes are answered, 0: none at all. */
static size_t agree_extended(enum service service, struct slice proposed,
                             uint8_t agreed[EXTENDED_SIZE])
{
    memset(agreed, 0, EXTENDED_SIZE);
    for (size_t i = 0; i < sizeof(extended_served) / sizeof(extended_served[0]); i++) {
        if (extended_served[i].service != service)
            continue;
        size_t size = extended_served[i].size;
        size = size < proposed.size ? size : proposed.size;
        for (size_t j = 0; j < size; j++) {
            /* Storage says what it does, whatever the requestor does itself, and so does the
             * worklist in its first two bytes, which are always 1 (PS3.4 K.5.1.2); a query option
             * needs both sides. */
            uint8_t served = extended_served[i].bytes[j];
            bool is_said = service == SERVICE_STORAGE || (service == SERVICE_WORKLIST && j < 2);
            agreed[j] = is_said || proposed.data[j] ? served : 0;
        }
        return size;
    }
    return 0;
}

static void negotiate_context(const struct associate *request, const struct policy *policy,
                              const struct associate_context *proposed,
                              struct presentation_context *context)
{
    memset(context, 0, sizeof(*context));
    context->id = proposed->id;
    context->result = CONTEXT_NO_ABSTRACT_SYNTAX;
    if (!uid_copy(proposed->abstract_syntax, context->abstract_syntax)) {
        context->abstract_syntax[0] = '\0';
        return;
    }
    context->service = negotiate_service(context->abstract_syntax,
                                         policy->refuse_unknown_sop_classes);
    bool is_of_worklist = context->service >= SERVICE_WORKLIST;
    if (context->service == SERVICE_NONE || (is_of_worklist && !policy->has_worklist) ||
        is_refused(policy, context->abstract_syntax) ||
        is_of_other_service(request, context->abstract_syntax))
        return;
    context->result = CONTEXT_NO_TRANSFER_SYNTAX;
    if (!choose_syntax(context->service, proposed->syntaxes, context->transfer_syntax))
        return;
    context->syntax = transfer_syntax_or_private(slice_text(context->transfer_syntax));
    context->roles = granted_roles(context->service, find_role(request, context->abstract_syntax));
    const struct associate_extended *extended = find_extended(request, context->abstract_syntax);
    if (extended)
        agree_extended(context->service, extended->information, context->extended);
    if (extended && context->service == SERVICE_STORAGE && is_coerced(request, policy)) {
        context->extended[SIGNATURE_LEVEL] = 1;
        context->extended[COERCION] = 1;
    }
    context->result = CONTEXT_ACCEPTED;
}

void negotiate_contexts(const struct associate *request, const struct policy *policy,
                        struct presentation_context *contexts)
{
    for (size_t i = 0; i < request->context_count; i++)
        negotiate_context(request, policy, &request->contexts[i], &contexts[i]);
}

/* The first accepted context of a SOP class, or NULL. */
static const struct presentation_context *find_accepted(const struct presentation_context *contexts,
                                                        size_t count, struct slice sop_class)
{
    char uid[UID_SIZE];
    if (!uid_copy(sop_class, uid))
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (contexts[i].result == CONTEXT_ACCEPTED && strcmp(contexts[i].abstract_syntax, uid) == 0)
            return &contexts[i];
    return NULL;
}

static void answer_roles(const struct associate *request,
                         const struct presentation_context *contexts, struct associate *answer)
{
    for (size_t i = 0; i < request->role_count; i++) {
        const struct presentation_context *context = find_accepted(contexts, request->context_count,
                                                                   request->roles[i].sop_class);
        if (!context || find_role(request, context->abstract_syntax) != &request->roles[i])
            continue;
        answer->roles[answer->role_count++] = (struct associate_role){
            .sop_class = request->roles[i].sop_class,
            .scu = context->roles & ROLE_SCU,
            .scp = context->roles & ROLE_SCP,
        };
    }
}

static void answer_extended(const struct associate *request,
                            const struct presentation_context *contexts, struct associate *answer)
{
    for (size_t i = 0; i < request->extended_count; i++) {
        const struct associate_extended *proposed = &request->extended[i];
        const struct presentation_context *context = find_accepted(contexts, request->context_count,
                                                                   proposed->sop_class);
        uint8_t scratch[EXTENDED_SIZE];
        if (!context || find_extended(request, context->abstract_syntax) != proposed)
            continue;
        size_t size = agree_extended(context->service, proposed->information, scratch);
        if (size)
            answer->extended[answer->extended_count++] = (struct associate_extended){
                .sop_class = proposed->sop_class,
                .information = slice_of(context->extended, size),
            };
    }
}

uint16_t negotiate_operations(const struct associate *request, const struct policy *policy)
{
    uint16_t limit = policy->operations ? policy->operations : 1;
    if (!request->has_window)
        return 1;
    return request->invoked && request->invoked < limit ? request->invoked : limit;
}

void negotiate_encode_accept(const struct associate *request, const struct policy *policy,
                             const struct presentation_context *contexts, struct buffer *pdu)
{
    struct buffer syntaxes = buffer_up_to(PDU_CONTEXTS * (UID_SIZE + 8));
    struct associate answer = { .protocol_version = 1 };
    /* PS3.8 9.3.3: these bytes go back as they came. */
    memcpy(answer.titles, request->titles, PDU_TITLES_SIZE);
    answer.application_context = slice_text(UID_APPLICATION_CONTEXT);
    answer.max_length = policy->max_pdu;
    answer.implementation_class = slice_text(UID_IMPLEMENTATION_CLASS);
    answer.implementation_version = slice_text(IMPLEMENTATION_VERSION_NAME);
    size_t starts[PDU_CONTEXTS + 1];
    for (size_t i = 0; i < request->context_count; i++) {
        starts[i] = syntaxes.size;
        /* A refused context carries one too; it is not significant (PS3.8 9.3.3.2). */
        pdu_append_syntax(&syntaxes,
                          slice_text(contexts[i].transfer_syntax[0] ? contexts[i].transfer_syntax
                                                                    : UID_IMPLICIT_LITTLE_ENDIAN));
    }
    starts[request->context_count] = syntaxes.size;
    for (size_t i = 0; i < request->context_count; i++) {
        struct associate_context *context = &answer.contexts[answer.context_count++];
        context->id = contexts[i].id;
        context->result = contexts[i].result;
        context->syntaxes = slice_of(syntaxes.data + starts[i], starts[i + 1] - starts[i]);
    }
    answer_roles(request, contexts, &answer);
    answer_extended(request, contexts, &answer);
    answer.has_window = request->has_window;
    answer.invoked = negotiate_operations(request, policy);
    answer.performed = 1;
    answer.identity.has_response = policy->knows_users && request->identity.response_requested;
    associate_encode(&answer, PDU_ASSOCIATE_AC, pdu);
    buffer_release(&syntaxes);
}
