/* SPDX-License-Identifier: MIT */
#pragma once
/* What the parts of a round share. Only for round*.c. */

#include "cast/bundle.h"
#include "cast/claims.h"
#include "cast/links.h"
#include "cast/round.h"
#include "cast/search_answer.h"

/* `what` is for the log: "a search". */
enum round_result round_send(struct round *round, const struct fhir_request *request,
                             const char *what, struct fhir_answer *answer,
                             struct round_report *report);
/* What an error in the report means, when there is no answer, or none that can be read. */
enum round_result round_no_answer(struct round_report *report);
/* What the server holds of the first identifier of `mapped`. Release it. */
enum round_result round_search(struct round *round, const cJSON *mapped,
                               struct search_answer *found, struct round_report *report);
enum round_result round_post(struct round *round, struct bundle *bundle,
                             struct round_report *report);

/* The server's; known since the round began. */
enum fhir_version round_version(struct round *round);

char *round_reference(const cJSON *resource); /* "Patient/7"; free it */
/* Puts found->best, which was changed, into the bundle. */
void round_plan_update(struct bundle *bundle, struct search_answer *found);
/* The reference to a resource that is there, or that the bundle creates; free it. Takes what was
 * found. `withheld` may be NULL. `changed`: what was found is changed already. */
char *round_plan(struct bundle *bundle, struct search_answer *found, const cJSON *mapped,
                 const cJSON *withheld, bool changed);

/* round_patient.c: *reference NULL: there is none, and none is to be made. */
enum round_result round_plan_patient(struct round *round, struct bundle *bundle,
                                     const struct mapping *mapping, char **reference,
                                     struct round_report *report);

/* Takes our Endpoints out of `held`, also those that are not to be told any more. */
enum round_result round_detach_ours(struct round *round, cJSON *held, bool *changed,
                                    struct round_report *report);

/* round_remove.c */
enum round_result round_delete(struct round *round, const cJSON *held, unsigned attempt,
                               struct round_report *report);
enum round_result round_remove(struct round *round, const char *study_uid, unsigned attempt,
                               struct round_report *report);

/* What all rounds remember of resources that do not change: a reference; NULL when it is not known.
 * Free it. */
char *round_known(struct round *round, const char *type, const cJSON *identifier);
void round_know(struct round *round, const char *type, const cJSON *identifier,
                const char *reference);
struct claims *round_claims(struct round *round);
#define ROUND_CLAIM_DEVICES "devices"

/* round_devices.c: adds a link to each Device. *claimed: the caller leaves ROUND_CLAIM_DEVICES. */
enum round_result round_plan_devices(struct round *round, struct bundle *bundle,
                                     const struct mapping *mapping, struct links *links,
                                     bool *remembered, bool *claimed, struct round_report *report);

/* round_others.c: adds links to Practitioners, ServiceRequests and Encounters that the server has.
 * *remembered: one of them was known from before. */
enum round_result round_link_others(struct round *round, const struct mapping *mapping,
                                    struct links *links, bool *remembered,
                                    struct round_report *report);

/* An ImagingStudy with it has documents, or had. */
#define ROUND_TAG_DOCUMENTS "documents"

/* round_documents.c: `links` has Patient, ImagingStudy and Devices. */
enum round_result round_plan_documents(struct round *round, struct bundle *bundle,
                                       const struct mapping *mapping, struct links *links,
                                       unsigned attempt, struct round_report *report);
/* What documents said goes, or is kept by policy; to be handed over, it belongs to nobody. */
enum round_result round_remove_documents(struct round *round, const char *study_uid, bool hand_over,
                                         unsigned attempt, struct round_report *report);
/* May the server hold documents of this ImagingStudy (NULL: it has none)? */
bool round_has_documents(const struct round *round, const cJSON *imaging_study);
