/* SPDX-License-Identifier: MIT */
#include "base/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>

static const struct {
    const char *name;
    const char *type;
    const char *help;
} descriptions[METRIC_COUNT] = {
    [METRIC_ASSOCIATIONS_ACCEPTED] = { "hounsfield_associations_accepted_total", "counter",
                                       "Associations accepted" },
    [METRIC_ASSOCIATIONS_REJECTED] = { "hounsfield_associations_rejected_total", "counter",
                                       "Associations rejected" },
    [METRIC_ASSOCIATIONS_OPEN] = { "hounsfield_associations_open", "gauge",
                                   "Associations open now" },
    [METRIC_DIMSE_STORED] = { "hounsfield_dimse_stored_total", "counter",
                              "C-STORE requests answered with success" },
    [METRIC_DIMSE_FAILED] = { "hounsfield_dimse_failed_total", "counter",
                              "C-STORE requests answered with a failure" },
    [METRIC_STOW_STORED] = { "hounsfield_stow_stored_total", "counter",
                             "Instances stored by STOW-RS" },
    [METRIC_STOW_FAILED] = { "hounsfield_stow_failed_total", "counter",
                             "Instances refused by STOW-RS" },
    [METRIC_INSTANCES_STORED] = { "hounsfield_instances_stored_total", "counter",
                                  "New instances stored" },
    [METRIC_INSTANCES_DUPLICATE] = { "hounsfield_instances_duplicate_total", "counter",
                                     "Instances sent again with the same content" },
    [METRIC_INSTANCES_REPLACED] = { "hounsfield_instances_replaced_total", "counter",
                                    "Instances whose place other content took" },
    [METRIC_INSTANCES_AMENDED] = { "hounsfield_instances_amended_total", "counter",
                                   "Instances stored anew with other values of their patient" },
    [METRIC_INSTANCES_DELETED] = { "hounsfield_instances_deleted_total", "counter",
                                   "Instances deleted" },
    [METRIC_BYTES_STORED] = { "hounsfield_bytes_stored_total", "counter",
                              "Bytes of new instances stored" },
    [METRIC_DISK_LOW] = { "hounsfield_disk_low", "gauge",
                          "1 when less than twice data.minimumFreeMiB is free, 2 when stores are "
                          "refused, as of the last store" },
    [METRIC_READ_ERRORS] = { "hounsfield_read_errors_total", "counter",
                             "Reads of stored instances that the disk refused" },
    [METRIC_WORKLIST_QUERIES] = { "hounsfield_worklist_queries_total", "counter",
                                  "Queries of the modality worklist" },
    [METRIC_WORKLIST_ORDERS] = { "hounsfield_worklist_orders_total", "counter",
                                 "Messages of orders that were applied, of all sources" },
    [METRIC_PERFORMED_BEGUN] = { "hounsfield_performed_steps_begun_total", "counter",
                                 "Performed procedure steps that were created" },
    [METRIC_PERFORMED_ENDED] = { "hounsfield_performed_steps_ended_total", "counter",
                                 "Performed procedure steps that were completed or discontinued" },
    [METRIC_QUERIES] = { "hounsfield_queries_total", "counter", "Queries answered" },
    [METRIC_INSTANCES_SENT] = { "hounsfield_instances_sent_total", "counter",
                                "Instances sent to retrievers" },
    [METRIC_COMMITMENTS_WAITING] = { "hounsfield_commitments_waiting", "gauge",
                                     "Storage commitment transactions not reported yet" },
    [METRIC_COMMITMENTS_REPORTED] = { "hounsfield_commitments_reported_total", "counter",
                                      "Storage commitment transactions reported" },
    [METRIC_COMMITMENT_FAILURES] = { "hounsfield_commitment_failures_total", "counter",
                                     "References reported as not committed" },
    [METRIC_FORWARD_SENT] = { "hounsfield_forward_sent_total", "counter",
                              "Instances forwarded by rule" },
    [METRIC_FORWARD_FAILED] = { "hounsfield_forward_failed_total", "counter",
                                "Instances that a destination of dimse.forward refused for good" },
    [METRIC_FORWARD_PARKED] = { "hounsfield_forward_parked", "gauge",
                                "Refused instances that are tried again at the next start or "
                                "reload" },
    [METRIC_WORKITEM_EVENTS] = { "hounsfield_workitem_events_total", "counter",
                                 "Events of work items that subscribers were told" },
    [METRIC_AVAILABILITY_SENT] = { "hounsfield_availability_sent_total", "counter",
                                   "Instance availability notifications that were taken" },
    [METRIC_WORKITEM_EVENTS_FAILED] = { "hounsfield_workitem_events_failed_total", "counter",
                                        "Events of work items that a subscriber refused or hung up "
                                        "on" },
    [METRIC_PERFORMED_EVENTS_FAILED] = { "hounsfield_performed_events_failed_total", "counter",
                                         "Events of performed steps that a peer refused or hung up "
                                         "on" },
    [METRIC_AVAILABILITY_FAILED] = { "hounsfield_availability_failed_total", "counter",
                                     "Instance availability notifications that were refused for "
                                     "good" },
    [METRIC_AVAILABILITY_PARKED] = { "hounsfield_availability_parked", "gauge",
                                     "Studies of them that are told at the next start or reload" },
    [METRIC_FORWARD_LAG] = { "hounsfield_forward_lag", "gauge",
                             "Feed entries not yet forwarded, of all destinations" },
    [METRIC_HTTP_REQUESTS] = { "hounsfield_http_requests_total", "counter", "HTTP requests" },
    [METRIC_HTTP_ERRORS] = { "hounsfield_http_errors_total", "counter",
                             "HTTP requests answered with 5xx" },
    [METRIC_PICTURE_CACHE_HITS] = { "hounsfield_picture_cache_hits_total", "counter",
                                    "Pictures asked for that were kept from before" },
    [METRIC_PICTURE_CACHE_MISSES] = { "hounsfield_picture_cache_misses_total", "counter",
                                      "Pictures asked for that were drawn" },
    [METRIC_PICTURE_CACHE_BYTES] = { "hounsfield_picture_cache_bytes", "gauge",
                                     "Memory of the pictures that are kept" },
    [METRIC_HL7_ACCEPTED] = { "hounsfield_hl7_messages_accepted_total", "counter",
                              "HL7 messages answered with AA or CA" },
    [METRIC_HL7_FAILED] = { "hounsfield_hl7_messages_failed_total", "counter",
                            "HL7 messages answered with AE or CE" },
    [METRIC_HL7_REJECTED] = { "hounsfield_hl7_messages_rejected_total", "counter",
                              "HL7 messages answered with AR or CR, or not readable" },
    [METRIC_HL7_REPEATED] = { "hounsfield_hl7_messages_repeated_total", "counter",
                              "HL7 messages that told what was known already" },
    [METRIC_HL7_STALE] = { "hounsfield_hl7_messages_stale_total", "counter",
                           "HL7 messages that were older than what was heard before" },
    [METRIC_HL7_CONNECTIONS] = { "hounsfield_hl7_connections_open", "gauge",
                                 "HL7 connections open now" },
    [METRIC_HL7_CONNECTIONS_REFUSED] = { "hounsfield_hl7_connections_refused_total", "counter",
                                         "HL7 connections refused" },
    [METRIC_HL7_UPDATES_SENT] = { "hounsfield_hl7_updates_sent_total", "counter",
                                  "Order status updates that a destination took" },
    [METRIC_HL7_UPDATES_REFUSED] = { "hounsfield_hl7_updates_refused_total", "counter",
                                     "Order status updates that a destination refused" },
    [METRIC_HL7_UPDATES_PARKED] = { "hounsfield_hl7_updates_parked_total", "counter",
                                    "Order status updates left out: never answered" },
    [METRIC_ORDERS_FROM_FHIR] = { "hounsfield_orders_from_fhir_total", "counter",
                                  "Changes of the worklist that ServiceRequests made" },
    [METRIC_ORDERS_REFUSED] = { "hounsfield_orders_refused_total", "counter",
                                "ServiceRequests that cannot become an order" },
    [METRIC_CAST_TRANSACTIONS] = { "hounsfield_cast_transactions_total", "counter",
                                   "FHIR transactions that the server took" },
    [METRIC_CAST_RETRIES] = { "hounsfield_cast_retries_total", "counter",
                              "FHIR transactions sent again" },
    [METRIC_CAST_PARKED] = { "hounsfield_cast_parked", "gauge",
                             "Studies that the FHIR server refused" },
    [METRIC_CAST_LAG] = { "hounsfield_cast_lag", "gauge", "Feed entries not yet cast" },
    [METRIC_CAST_STUDIES] = { "hounsfield_cast_studies_total", "counter",
                              "Times that a study was brought in step with the FHIR server" },
    [METRIC_CAST_WAITING] = { "hounsfield_cast_waiting_studies", "gauge",
                              "Studies that wait to be cast" },
    [METRIC_CAST_IN_FLIGHT] = { "hounsfield_cast_in_flight_studies", "gauge",
                                "Studies that are being cast" },
    [METRIC_CAST_OLDEST] = { "hounsfield_cast_oldest_change_seconds", "gauge",
                             "Age of the oldest change that is not cast yet" },
    [METRIC_CAST_BREAKER] = { "hounsfield_cast_breaker", "gauge",
                              "The FHIR server: 0 answers, 1 is left alone for a pause, 2 is being "
                              "tried" },
    [METRIC_WEBHOOK_EVENTS] = { "hounsfield_webhook_events_total", "counter",
                                "Events that receivers of webhooks took" },
    [METRIC_WEBHOOK_LAG] = { "hounsfield_webhook_lag", "gauge",
                             "Feed entries that a receiver of webhooks has not got" },
};

static atomic_int_fast64_t values[METRIC_COUNT];

void metric_add(enum metric metric, int64_t amount)
{
    atomic_fetch_add_explicit(&values[metric], amount, memory_order_relaxed);
}

void metric_set(enum metric metric, int64_t value)
{
    atomic_store_explicit(&values[metric], value, memory_order_relaxed);
}

int64_t metric_get(enum metric metric)
{
    return atomic_load_explicit(&values[metric], memory_order_relaxed);
}

void metrics_write(struct buffer *text)
{
    for (int i = 0; i < METRIC_COUNT; i++)
        buffer_append_format(text, "# HELP %s %s\n# TYPE %s %s\n%s %" PRId64 "\n",
                             descriptions[i].name, descriptions[i].help, descriptions[i].name,
                             descriptions[i].type, descriptions[i].name,
                             metric_get((enum metric)i));
}
