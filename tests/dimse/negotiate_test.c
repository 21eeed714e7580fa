/* SPDX-License-Identifier: MIT */
#include "dimse/negotiate.h"

#include <stdlib.h>

#include "base/memory.h"
#include "tests/test.h"

#define CT_IMAGE    "1.2.840.10008.5.1.4.1.1.2"
#define PRIVATE_UID "1.2.826.0.1.3680043.2.1143.9"

static const struct policy policy = { .ae_title = "HOUNSFIELD", .max_pdu = 262144 };

/* A request with one context per abstract syntax; syntaxes as a list up to NULL. */
struct request {
    struct associate associate;
    struct buffer syntaxes;
    struct presentation_context contexts[PDU_CONTEXTS];
};

static struct request *new_request(void)
{
    struct request *request = mem_alloc(sizeof(*request));
    request->associate.protocol_version = 1;
    request->associate.application_context = slice_text(UID_APPLICATION_CONTEXT);
    associate_set_titles(&request->associate, "HOUNSFIELD", "CT1");
    return request;
}

static void free_request(struct request *request)
{
    buffer_release(&request->syntaxes);
    free(request);
}

static const struct presentation_context *negotiate(struct request *request,
                                                    const struct policy *with,
                                                    const char *abstract_syntax,
                                                    const char *const *transfer_syntaxes)
{
    buffer_release(&request->syntaxes);
    request->syntaxes = buffer_up_to(10000);
    for (; *transfer_syntaxes; transfer_syntaxes++)
        pdu_append_syntax(&request->syntaxes, slice_text(*transfer_syntaxes));
    request->associate.context_count = 1;
    request->associate.contexts[0] = (struct associate_context){
        .id = 1,
        .abstract_syntax = slice_text(abstract_syntax),
        .syntaxes = buffer_slice(&request->syntaxes),
    };
    negotiate_contexts(&request->associate, with, request->contexts);
    return request->contexts;
}

TEST(requests_are_rejected_with_the_reasons_of_the_standard)
{
    struct request *request = new_request();
    struct associate *associate = &request->associate;
    CHECK_INT(negotiate_check(associate, &policy).result, 0);
    associate->protocol_version = 0xFFFE;
    CHECK_INT(negotiate_check(associate, &policy).source, 2);
    CHECK_INT(negotiate_check(associate, &policy).reason, 2);
    associate->protocol_version = 0x8003;
    CHECK_INT(negotiate_check(associate, &policy).result, 0);
    associate->application_context = slice_text("1.2.3");
    CHECK_INT(negotiate_check(associate, &policy).reason, 2);
    associate->application_context = slice_text(UID_APPLICATION_CONTEXT);
    associate_set_titles(associate, "hounsfield", "CT1");
    CHECK_INT(negotiate_check(associate, &policy).reason, 7);
    struct policy any = policy;
    any.accept_any_called_ae = true;
    CHECK_INT(negotiate_check(associate, &any).result, 0);
    free_request(request);
}

TEST(storage_takes_the_first_syntax_that_keeps_what_the_sender_has)
{
    struct request *request = new_request();
    static const char *const several[] = { UID_IMPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_BIG_ENDIAN,
                                           UID_JPEG_BASELINE, UID_EXPLICIT_LITTLE_ENDIAN, NULL };
    static const char *const fallback[] = { UID_EXPLICIT_BIG_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN,
                                            NULL };
    static const char *const private_one[] = { PRIVATE_UID ".1", NULL };
    CHECK_TEXT(negotiate(request, &policy, CT_IMAGE, several)->transfer_syntax, UID_JPEG_BASELINE);
    CHECK_TEXT(negotiate(request, &policy, CT_IMAGE, fallback)->transfer_syntax,
               UID_IMPLICIT_LITTLE_ENDIAN);
    CHECK_TEXT(negotiate(request, &policy, CT_IMAGE, private_one)->transfer_syntax,
               PRIVATE_UID ".1");
    free_request(request);
}

TEST(other_services_take_explicit_then_implicit_little_endian)
{
    struct request *request = new_request();
    static const char *const both[] = { UID_IMPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_LITTLE_ENDIAN,
                                        NULL };
    static const char *const neither[] = { UID_JPEG_BASELINE, UID_EXPLICIT_BIG_ENDIAN, NULL };
    CHECK_TEXT(negotiate(request, &policy, UID_STUDY_ROOT_FIND, both)->transfer_syntax,
               UID_EXPLICIT_LITTLE_ENDIAN);
    CHECK_INT(negotiate(request, &policy, UID_STUDY_ROOT_FIND, neither)->result,
              CONTEXT_NO_TRANSFER_SYNTAX);
    CHECK_INT(negotiate(request, &policy, UID_VERIFICATION, neither)->result,
              CONTEXT_NO_TRANSFER_SYNTAX);
    free_request(request);
}

TEST(unknown_classes_are_storage_unless_refused)
{
    struct request *request = new_request();
    static const char *const syntaxes[] = { UID_EXPLICIT_LITTLE_ENDIAN, NULL };
    struct policy strict = policy;
    strict.refuse_unknown_sop_classes = true;
    CHECK_INT(negotiate(request, &policy, PRIVATE_UID, syntaxes)->service, SERVICE_STORAGE);
    CHECK_INT(negotiate(request, &strict, PRIVATE_UID, syntaxes)->result,
              CONTEXT_NO_ABSTRACT_SYNTAX);
    CHECK_INT(negotiate(request, &strict, CT_IMAGE, syntaxes)->result, CONTEXT_ACCEPTED);
    /* Relevant Patient Information is known and not served. */
    CHECK_INT(negotiate(request, &policy, "1.2.840.10008.5.1.4.37.1", syntaxes)->result,
              CONTEXT_NO_ABSTRACT_SYNTAX);
    free_request(request);
}

TEST(malformed_uids_fail_their_own_context)
{
    struct request *request = new_request();
    static const char *const syntaxes[] = { UID_EXPLICIT_LITTLE_ENDIAN, NULL };
    static const char *const bad[] = { "explicit", "", NULL };
    char overlong[80];
    memset(overlong, '1', sizeof(overlong) - 1);
    overlong[sizeof(overlong) - 1] = '\0';
    CHECK_INT(negotiate(request, &policy, overlong, syntaxes)->result, CONTEXT_NO_ABSTRACT_SYNTAX);
    CHECK_INT(negotiate(request, &policy, "", syntaxes)->result, CONTEXT_NO_ABSTRACT_SYNTAX);
    CHECK_INT(negotiate(request, &policy, CT_IMAGE, bad)->result, CONTEXT_NO_TRANSFER_SYNTAX);
    free_request(request);
}

TEST(roles_grant_no_more_than_was_proposed)
{
    struct request *request = new_request();
    struct associate *answer = mem_alloc(sizeof(*answer));
    struct buffer pdu = buffer_up_to(100000);
    static const char *const syntaxes[] = { UID_EXPLICIT_LITTLE_ENDIAN, NULL };
    request->associate.role_count = 2;
    request->associate.roles[0] = (struct associate_role){ slice_text(CT_IMAGE), false, true };
    request->associate.roles[1] = (struct associate_role){ slice_text(UID_VERIFICATION), true,
                                                           true };
    CHECK_INT(negotiate(request, &policy, CT_IMAGE, syntaxes)->roles, ROLE_SCP);
    CHECK_INT(negotiate(request, &policy, UID_VERIFICATION, syntaxes)->roles, ROLE_SCU);
    CHECK_INT(negotiate(request, &policy, UID_STUDY_ROOT_FIND, syntaxes)->roles, ROLE_SCU);
    negotiate(request, &policy, CT_IMAGE, syntaxes);
    negotiate_encode_accept(&request->associate, &policy, request->contexts, &pdu);
    CHECK(associate_decode(slice_skip(buffer_slice(&pdu), PDU_HEADER_SIZE), PDU_ASSOCIATE_AC,
                           answer, NULL));
    /* Verification was not proposed in any context. */
    CHECK_INT(answer->role_count, 1);
    CHECK(slice_equals_text(answer->roles[0].sop_class, CT_IMAGE));
    CHECK(!answer->roles[0].scu && answer->roles[0].scp);
    CHECK(memcmp(answer->titles, request->associate.titles, PDU_TITLES_SIZE) == 0);
    CHECK_INT(answer->max_length, 262144);
    buffer_release(&pdu);
    free(answer);
    free_request(request);
}

TEST(extended_negotiation_is_answered_at_most_as_long_as_it_was_proposed)
{
    struct request *request = new_request();
    struct associate *answer = mem_alloc(sizeof(*answer));
    struct buffer pdu = buffer_up_to(100000);
    static const char *const syntaxes[] = { UID_EXPLICIT_LITTLE_ENDIAN, NULL };
    static const uint8_t proposed[] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    for (size_t size = 0; size <= sizeof(proposed); size++) {
        request->associate.extended_count = 2;
        request->associate.extended[0] = (struct associate_extended){ slice_text(CT_IMAGE),
                                                                      slice_of(proposed, size) };
        request->associate.extended[1] = (struct associate_extended){ slice_text(UID_VERIFICATION),
                                                                      slice_of(proposed, size) };
        negotiate(request, &policy, CT_IMAGE, syntaxes);
        buffer_clear(&pdu);
        negotiate_encode_accept(&request->associate, &policy, request->contexts, &pdu);
        CHECK(associate_decode(slice_skip(buffer_slice(&pdu), PDU_HEADER_SIZE), PDU_ASSOCIATE_AC,
                               answer, NULL));
        CHECK_INT(answer->extended_count, size ? 1 : 0);
        if (!size)
            continue;
        /* Level 2, signatures level 3, no coercion (PS3.4 B.3.1). */
        static const uint8_t level[] = { 2, 0, 3, 0, 0, 0 };
        CHECK_INT(answer->extended[0].information.size, size < 6 ? size : 6);
        CHECK(memcmp(answer->extended[0].information.data, level, size < 6 ? size : 6) == 0);
    }
    buffer_release(&pdu);
    free(answer);
    free_request(request);
}

TEST(common_extended_negotiation_says_what_an_unknown_class_is)
{
    struct request *request = new_request();
    static const char *const syntaxes[] = { UID_EXPLICIT_LITTLE_ENDIAN, NULL };
    struct policy strict = policy;
    strict.refuse_unknown_sop_classes = true;
    request->associate.common_count = 2;
    request->associate.common[0] =
        (struct associate_common){ slice_text(PRIVATE_UID), slice_text(UID_STORAGE_SERVICE_CLASS) };
    request->associate.common[1] = (struct associate_common){ slice_text(PRIVATE_UID ".2"),
                                                              slice_text("1.2.840.10008.4.999") };
    CHECK_INT(negotiate(request, &policy, PRIVATE_UID, syntaxes)->service, SERVICE_STORAGE);
    CHECK_INT(negotiate(request, &strict, PRIVATE_UID, syntaxes)->result,
              CONTEXT_NO_ABSTRACT_SYNTAX);
    CHECK_INT(negotiate(request, &policy, PRIVATE_UID ".2", syntaxes)->result,
              CONTEXT_NO_ABSTRACT_SYNTAX);
    CHECK_INT(negotiate(request, &policy, PRIVATE_UID ".3", syntaxes)->service, SERVICE_STORAGE);
    free_request(request);
}
