/* SPDX-License-Identifier: MIT */
#pragma once
/* What a FHIR server holds and what we map, made one. We own elements, not resources: everything
 * that others added (identifiers, telecom, notes, tags, extensions, members that we do not know)
 * stays as it came, decimals and order included.
 *
 * A Patient gets what it lacks and loses nothing. An Endpoint, ImagingStudy, Observation ... with
 * our tag agrees with the archive afterwards; an ImagingStudy that others made, or another archive
 * that casts to the same server, only gets what it lacks. */

#include "cast/json.h"

/* The extension of what nobody owns. */
#define MERGE_HANDED_OVER "urn:hounsfield:handed-over"

/* Changes `held` (a resource as the server gave it) and tells whether anything changed: if not,
 * there is nothing to write. */
bool merge_resource(cJSON *held, const cJSON *mapped);

/* Takes out of a resource of ours what is not to be told any more: the members, and items of lists,
 * that are just what `withheld` has (withhold_apply). Others' word stays. */
bool merge_take_back(cJSON *held, const cJSON *withheld, const char *source);

/* The study's instances were amended: where a Patient of ours says just what they said `before`, it
 * says what they say now. */
bool merge_amended_patient(cJSON *held, const cJSON *before, const cJSON *mapped);

/* Does the server's Patient say another sex or birth date than the study? Its own word stays. */
bool merge_patient_differs(const cJSON *held, const cJSON *mapped);

/* The study is gone from the archive, and its ImagingStudy stays, because others refer to it or
 * because it is to: with this status ("entered-in-error", "cancelled"), without series and
 * endpoints. */
bool merge_withdraw(cJSON *held, const char *status);
bool merge_is_withdrawn(const cJSON *held);

/* The same of what a document said; its content stays, to be read with that status. */
bool merge_withdraw_document(cJSON *held, const char *status);

/* The study is gone from one archive and another has it yet: takes a reference out of `endpoint`.
 */
bool merge_detach(cJSON *held, const char *endpoint);
/* The same of the series that an archive put there beside its owner's. */
bool merge_detach_series(cJSON *held, const char *source);
/* Whose it is from now on is for the next one to say that writes it. */
void merge_hand_over(cJSON *held);
/* The same of what a document said. It gets an extension, which its next owner takes away: servers
 * take what differs in its source alone for no change. */
void merge_hand_over_document(cJSON *held);
