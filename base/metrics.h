/* SPDX-License-Identifier: MIT */
#pragma once
/* Counters and gauges of the whole program, written out as Prometheus text. The set is one table in
 * metrics.c; a metric is named by its enumerator. Adding is one relaxed atomic add: cheap enough
 * for every instance. Thread-safe. */

#include <stdint.h>

#include "base/buffer.h"

enum metric {
    METRIC_ASSOCIATIONS_ACCEPTED,
    METRIC_ASSOCIATIONS_REJECTED,
    METRIC_ASSOCIATIONS_OPEN, /* gauge */
    METRIC_DIMSE_STORED,
    METRIC_DIMSE_FAILED,
    METRIC_STOW_STORED,
    METRIC_STOW_FAILED,
    METRIC_INSTANCES_STORED,
    METRIC_INSTANCES_DUPLICATE,
    METRIC_INSTANCES_REPLACED,
    METRIC_INSTANCES_AMENDED,
    METRIC_INSTANCES_DELETED,
    METRIC_BYTES_STORED,
    METRIC_DISK_LOW,
    METRIC_READ_ERRORS, /* of segments */
    METRIC_QUERIES,
    METRIC_INSTANCES_SENT,
    METRIC_COMMITMENTS_WAITING, /* gauge */
    METRIC_COMMITMENTS_REPORTED,
    METRIC_COMMITMENT_FAILURES, /* references reported as not committed */
    METRIC_FORWARD_SENT,
    METRIC_FORWARD_FAILED, /* that a peer refused for good */
    METRIC_FORWARD_PARKED, /* gauge: of those, the ones that were not sent since */
    METRIC_WORKITEM_EVENTS,
    METRIC_WORKITEM_EVENTS_FAILED, /* that a subscriber refused, or could not be told */
    METRIC_PERFORMED_EVENTS_FAILED,
    METRIC_AVAILABILITY_SENT,
    METRIC_AVAILABILITY_FAILED, /* that a peer refused for good */
    METRIC_AVAILABILITY_PARKED, /* gauge: studies of them that were not told since */
    METRIC_FORWARD_LAG,         /* gauge: feed entries not yet looked at, of all destinations */
    METRIC_HTTP_REQUESTS,
    METRIC_HTTP_ERRORS, /* answered 5xx */
    METRIC_PICTURE_CACHE_HITS,
    METRIC_PICTURE_CACHE_MISSES,
    METRIC_PICTURE_CACHE_BYTES, /* gauge */
    METRIC_WORKLIST_QUERIES,
    METRIC_WORKLIST_ORDERS, /* messages of them that were applied, of all sources */
    METRIC_PERFORMED_BEGUN,
    METRIC_PERFORMED_ENDED,
    METRIC_HL7_ACCEPTED,
    METRIC_HL7_FAILED,      /* answered AE or CE */
    METRIC_HL7_REJECTED,    /* answered AR or CR, or not readable */
    METRIC_HL7_REPEATED,    /* accepted: known already */
    METRIC_HL7_STALE,       /* accepted: older than what was heard before */
    METRIC_HL7_CONNECTIONS, /* gauge */
    METRIC_HL7_CONNECTIONS_REFUSED,
    METRIC_HL7_UPDATES_SENT,
    METRIC_HL7_UPDATES_REFUSED,
    METRIC_HL7_UPDATES_PARKED, /* never answered, and left out */
    METRIC_ORDERS_FROM_FHIR,
    METRIC_ORDERS_REFUSED,
    METRIC_CAST_TRANSACTIONS,
    METRIC_CAST_RETRIES,
    METRIC_CAST_PARKED, /* gauge */
    METRIC_CAST_LAG,    /* gauge: feed entries not yet cast */
    METRIC_CAST_STUDIES,
    METRIC_CAST_WAITING,   /* gauge: studies */
    METRIC_CAST_IN_FLIGHT, /* gauge: studies */
    METRIC_CAST_OLDEST,    /* gauge: seconds */
    METRIC_CAST_BREAKER,   /* gauge: enum breaker_state */
    METRIC_WEBHOOK_EVENTS,
    METRIC_WEBHOOK_LAG, /* gauge: of the one that is furthest behind */
    METRIC_COUNT,
};

void metric_add(enum metric metric, int64_t amount);
void metric_set(enum metric metric, int64_t value);
int64_t metric_get(enum metric metric);
void metrics_write(struct buffer *text); /* Prometheus text exposition format 0.0.4 */
