/* SPDX-License-Identifier: MIT */
/* What find, move and get have in common: keys, level, model and the request (PS3.4 C.4). */
#include <string.h>

#include "dicom/tag.h"
#include "dimse/status.h"
#include "server/scu.h"

enum { IDENTIFIER_SIZE = 4 << 20, MESSAGE_ID = 1 };

static bool has_value(const struct client_keys *keys, uint32_t tag)
{
    const char *value = client_keys_value(keys, tag);
    return value && *value;
}

/* The deepest level that is named by its unique key. */
static const char *level_of(const struct client_keys *keys)
{
    if (has_value(keys, TAG_SOP_INSTANCE_UID))
        return "IMAGE";
    if (has_value(keys, TAG_SERIES_INSTANCE_UID))
        return "SERIES";
    if (has_value(keys, TAG_STUDY_INSTANCE_UID))
        return "STUDY";
    return NULL;
}

/* What of an entry is returned, asked for or not (PS3.4 table K.6-1). */
static bool add_worklist_keys(struct client_keys *keys, struct error *err)
{
#define STEP "ScheduledProcedureStepSequence."
    static const char *const wanted[] = {
        "AccessionNumber",
        "PatientName",
        "PatientID",
        "StudyInstanceUID",
        "RequestedProcedureDescription",
        "RequestedProcedureID",
        STEP "Modality",
        STEP "ScheduledStationAETitle",
        STEP "ScheduledProcedureStepStartDate",
        STEP "ScheduledProcedureStepStartTime",
        STEP "ScheduledProcedureStepDescription",
        STEP "ScheduledProcedureStepID",
        STEP "ScheduledProcedureStepStatus",
    };
#undef STEP
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct error why; /* it was given */
        if (!client_keys_add(keys, wanted[i], &why) && why.code == ERROR_LIMIT)
            return error_set(err, ERROR_LIMIT, "too many keys");
    }
    return true;
}

bool scu_query_keys(struct scu *scu, struct scu_query *query, struct error *err)
{
    struct client_keys *keys = &query->keys;
    for (size_t i = 0; i < scu->word_count; i++)
        if (!client_keys_add(keys, scu->words[i], err))
            return false;
    if (scu->worklist)
        return add_worklist_keys(keys, err);
    const char *given = client_keys_value(keys, TAG_QUERY_RETRIEVE_LEVEL);
    if (given)
        scu->level = given;
    bool is_find = !scu->destination && !scu->folder;
    if (!scu->level && (scu->level = level_of(keys)) == NULL)
        scu->level = !is_find && has_value(keys, TAG_PATIENT_ID) ? "PATIENT" : "STUDY";
    if (strcmp(scu->level, "PATIENT") == 0)
        scu->patient_root = true;
    client_keys_default(keys, TAG_QUERY_RETRIEVE_LEVEL, scu->level);
    return true;
}

static const char *model_of(const struct scu *scu, enum scu_service service)
{
    static const char *const models[2][3] = {
        { UID_STUDY_ROOT_FIND, UID_STUDY_ROOT_MOVE, UID_STUDY_ROOT_GET },
        { UID_PATIENT_ROOT_FIND, UID_PATIENT_ROOT_MOVE, UID_PATIENT_ROOT_GET },
    };
    return scu->worklist ? UID_MODALITY_WORKLIST_FIND : models[scu->patient_root][service];
}

bool scu_query_begin(struct scu *scu, struct scu_query *query, enum scu_service service,
                     const struct proposal *more, size_t count, struct error *err)
{
    static const uint16_t fields[] = { C_FIND_RQ, C_MOVE_RQ, C_GET_RQ };
    struct proposal proposals[PDU_CONTEXTS];
    struct command command = { .field = fields[service], .message_id = MESSAGE_ID };
    const char *model = model_of(scu, service);
    query->message_id = MESSAGE_ID;
    query->identifier = buffer_up_to(IDENTIFIER_SIZE);
    proposals[0] = (struct proposal){
        .abstract_syntax = model,
        .transfer_syntaxes = { UID_EXPLICIT_LITTLE_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN },
    };
    for (size_t i = 0; i < count; i++)
        proposals[i + 1] = more[i];
    if (!scu_open(scu, proposals, count + 1, &query->association, err))
        return false;
    query->context = client_context(query->association, model, NULL, ROLE_SCU);
    if (!query->context)
        return error_set(err, ERROR_UNSUPPORTED, "the peer does not take %s of the %s model",
                         scu->command->name,
                         scu->worklist       ? "Modality Worklist"
                         : scu->patient_root ? "Patient Root"
                                             : "Study Root");
    bool explicit_vr = strcmp(query->context->transfer_syntax, UID_IMPLICIT_LITTLE_ENDIAN) != 0;
    if (!client_keys_encode(&query->keys, explicit_vr, &query->identifier, err))
        return false;
    if (scu->destination)
        memcpy(command.destination, scu->destination, strlen(scu->destination));
    struct slice identifier = buffer_slice(&query->identifier);
    return client_ask(query->association, query->context, &command, &identifier, err);
}

void scu_query_end(struct scu_query *query)
{
    client_close(query->association);
    buffer_release(&query->identifier);
}

void scu_query_progress(struct scu *scu, const struct command *answer, const char *phase)
{
    const struct suboperations *counts = &answer->counts;
    uint64_t done = (uint64_t)counts->completed + counts->failed + counts->warning;
    progress_show(&scu->progress, phase, "instances", done, done + counts->remaining);
}

int scu_query_summary(struct scu *scu, const struct command *answer, const char *verb)
{
    const struct suboperations *counts = &answer->counts;
    progress_end(&scu->progress);
    unsigned done = (unsigned)counts->completed + counts->warning;
    printf("%u instance%s %s, %u with a warning, %u failed\n", done, done == 1 ? "" : "s", verb,
           counts->warning, counts->failed);
    if (answer->status != STATUS_SUCCESS)
        fprintf(stderr, "hounsfield: %s: the peer ended with status %04X%s%s\n", scu->command->name,
                answer->status, *answer->comment ? ": " : "", answer->comment);
    return answer->status == STATUS_SUCCESS ? SCU_OK : SCU_FAILED;
}
