/* SPDX-License-Identifier: MIT */
#include "dimse/negotiate.h"

static const struct {
    const char *abstract_syntax;
    enum service service;
} services[] = {
    { UID_VERIFICATION, SERVICE_VERIFICATION }, { UID_PATIENT_ROOT_FIND, SERVICE_FIND },
    { UID_PATIENT_ROOT_MOVE, SERVICE_MOVE },    { UID_STUDY_ROOT_FIND, SERVICE_FIND },
    { UID_STUDY_ROOT_MOVE, SERVICE_MOVE },
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

static bool may_call(const struct policy *policy, const char *calling_ae)
{
    if (!policy->calling_ae_titles)
        return true;
    for (const char *const *title = policy->calling_ae_titles; *title; title++)
        if (strcmp(*title, calling_ae) == 0)
            return true;
    return false;
}

struct rejection negotiate_check(const struct associate *request, const struct policy *policy)
{
    static const struct rejection none = { 0, 0, 0 };
    static const struct rejection protocol_version = { 1, 2, 2 };
    static const struct rejection application_context = { 1, 1, 2 };
    static const struct rejection calling_ae_unknown = { 1, 1, 3 };
    static const struct rejection called_ae_unknown = { 1, 1, 7 };
    char called[AE_TITLE_SIZE];
    char calling[AE_TITLE_SIZE];
    char context[UID_SIZE];
    associate_called_ae(request, called);
    associate_calling_ae(request, calling);
    if (!(request->protocol_version & 1)) /* only bit 0 is tested (PS3.8 9.3.2) */
        return protocol_version;
    if (!uid_copy(request->application_context, context) ||
        strcmp(context, UID_APPLICATION_CONTEXT) != 0)
        return application_context;
    if (!policy->accept_any_called_ae && strcmp(called, policy->ae_title) != 0)
        return called_ae_unknown;
    if (!may_call(policy, calling))
        return calling_ae_unknown;
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

void negotiate_contexts(const struct associate *request, const struct policy *policy,
                        struct presentation_context *contexts)
{
    for (size_t i = 0; i < request->context_count; i++) {
        const struct associate_context *proposed = &request->contexts[i];
        struct presentation_context *context = &contexts[i];
        memset(context, 0, sizeof(*context));
        context->id = proposed->id;
        context->result = CONTEXT_NO_ABSTRACT_SYNTAX;
        if (!uid_copy(proposed->abstract_syntax, context->abstract_syntax)) {
            context->abstract_syntax[0] = '\0';
            continue;
        }
        context->service = negotiate_service(context->abstract_syntax,
                                             policy->refuse_unknown_sop_classes);
        if (context->service == SERVICE_NONE)
            continue;
        context->result = CONTEXT_NO_TRANSFER_SYNTAX;
        if (!choose_syntax(context->service, proposed->syntaxes, context->transfer_syntax))
            continue;
        context->syntax = transfer_syntax_or_private(slice_text(context->transfer_syntax));
        context->result = CONTEXT_ACCEPTED;
    }
}

/* The service that was accepted for a SOP class, in whichever context. */
static enum service accepted_service(const struct presentation_context *contexts, size_t count,
                                     struct slice sop_class)
{
    char uid[UID_SIZE];
    if (!uid_copy(sop_class, uid))
        return SERVICE_NONE;
    for (size_t i = 0; i < count; i++)
        if (contexts[i].result == CONTEXT_ACCEPTED && strcmp(contexts[i].abstract_syntax, uid) == 0)
            return contexts[i].service;
    return SERVICE_NONE;
}

static void answer_roles(const struct associate *request,
                         const struct presentation_context *contexts, struct associate *answer)
{
    for (size_t i = 0; i < request->role_count; i++) {
        const struct associate_role *proposed = &request->roles[i];
        enum service service = accepted_service(contexts, request->context_count,
                                                proposed->sop_class);
        if (service == SERVICE_NONE)
            continue;
        struct associate_role role = *proposed;
        role.scp = proposed->scp && service == SERVICE_STORAGE;
        answer->roles[answer->role_count++] = role;
    }
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
    associate_encode(&answer, PDU_ASSOCIATE_AC, pdu);
    buffer_release(&syntaxes);
}
