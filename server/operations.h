/* SPDX-License-Identifier: MIT */
#pragma once
/* The operations themselves, for the table in operation.c. */

#include "server/operation.h"

bool operation_verify(const struct operation_place *place, const struct operation_options *options,
                      struct job *job, cJSON *result, struct error *err);
void operation_verify_print(const cJSON *result, FILE *out);
uint64_t operation_verify_findings(const cJSON *result);

bool operation_stats(const struct operation_place *place, const struct operation_options *options,
                     struct job *job, cJSON *result, struct error *err);
void operation_stats_print(const cJSON *result, FILE *out);

bool operation_backup(const struct operation_place *place, const struct operation_options *options,
                      struct job *job, cJSON *result, struct error *err);
void operation_backup_print(const cJSON *result, FILE *out);

bool operation_restore(const struct operation_place *place, const struct operation_options *options,
                       struct job *job, cJSON *result, struct error *err);
void operation_restore_print(const cJSON *result, FILE *out);

bool operation_rebuild(const struct operation_place *place, const struct operation_options *options,
                       struct job *job, cJSON *result, struct error *err);
void operation_rebuild_print(const cJSON *result, FILE *out);
uint64_t operation_rebuild_findings(const cJSON *result);

bool operation_compact(const struct operation_place *place, const struct operation_options *options,
                       struct job *job, cJSON *result, struct error *err);
void operation_compact_print(const cJSON *result, FILE *out);

bool operation_cast_status(const struct operation_place *place,
                           const struct operation_options *options, struct job *job, cJSON *result,
                           struct error *err);
void operation_cast_status_print(const cJSON *result, FILE *out);

bool operation_cast_parked(const struct operation_place *place,
                           const struct operation_options *options, struct job *job, cJSON *result,
                           struct error *err);
void operation_cast_parked_print(const cJSON *result, FILE *out);
uint64_t operation_cast_parked_findings(const cJSON *result);

bool operation_cast_replay(const struct operation_place *place,
                           const struct operation_options *options, struct job *job, cJSON *result,
                           struct error *err);
void operation_cast_replay_print(const cJSON *result, FILE *out);

bool operation_cast_reset(const struct operation_place *place,
                          const struct operation_options *options, struct job *job, cJSON *result,
                          struct error *err);
void operation_cast_reset_print(const cJSON *result, FILE *out);

bool operation_cast_reconcile(const struct operation_place *place,
                              const struct operation_options *options, struct job *job,
                              cJSON *result, struct error *err);
void operation_cast_reconcile_print(const cJSON *result, FILE *out);
uint64_t operation_cast_reconcile_findings(const cJSON *result);
