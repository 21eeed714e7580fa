/* SPDX-License-Identifier: MIT */
#include "dimse/service.h"

const struct service_row service_rows[] = {
    { C_ECHO_RQ, "C-ECHO", SERVICE_VERIFICATION, ROLE_SCU, c_echo },
    { C_STORE_RQ, "C-STORE", SERVICE_STORAGE, ROLE_SCU, c_store },
    { C_FIND_RQ, "C-FIND", SERVICE_FIND, ROLE_SCU, c_find },
    { C_FIND_RQ, "C-FIND", SERVICE_WORKLIST, ROLE_SCU, c_find_worklist },
    { C_MOVE_RQ, "C-MOVE", SERVICE_MOVE, ROLE_SCU, c_move },
    { C_GET_RQ, "C-GET", SERVICE_GET, ROLE_SCU, c_get },
    { N_ACTION_RQ, "N-ACTION", SERVICE_COMMITMENT, ROLE_SCU, n_action },
    { N_EVENT_REPORT_RQ, "N-EVENT-REPORT", SERVICE_COMMITMENT, ROLE_SCP, n_event_report },
    { N_CREATE_RQ, "N-CREATE", SERVICE_MPPS, ROLE_SCU, mpps_create },
    { N_SET_RQ, "N-SET", SERVICE_MPPS, ROLE_SCU, mpps_set },
    { N_GET_RQ, "N-GET", SERVICE_MPPS_RETRIEVE, ROLE_SCU, mpps_get },
    { N_CREATE_RQ, "N-CREATE", SERVICE_AVAILABILITY, ROLE_SCU, availability_create },

    { N_CREATE_RQ, "N-CREATE", SERVICE_UPS_PUSH, ROLE_SCU, ups_create },
    { N_GET_RQ, "N-GET", SERVICE_UPS_PUSH, ROLE_SCU, ups_get },
    { N_ACTION_RQ, "N-ACTION", SERVICE_UPS_PUSH, ROLE_SCU, ups_action },
    { C_FIND_RQ, "C-FIND", SERVICE_UPS_WATCH, ROLE_SCU, ups_find },
    { N_GET_RQ, "N-GET", SERVICE_UPS_WATCH, ROLE_SCU, ups_get },
    { N_ACTION_RQ, "N-ACTION", SERVICE_UPS_WATCH, ROLE_SCU, ups_action },
    { C_FIND_RQ, "C-FIND", SERVICE_UPS_PULL, ROLE_SCU, ups_find },
    { N_GET_RQ, "N-GET", SERVICE_UPS_PULL, ROLE_SCU, ups_get },
    { N_SET_RQ, "N-SET", SERVICE_UPS_PULL, ROLE_SCU, ups_set },
    { N_ACTION_RQ, "N-ACTION", SERVICE_UPS_PULL, ROLE_SCU, ups_action },
    { C_FIND_RQ, "C-FIND", SERVICE_UPS_QUERY, ROLE_SCU, ups_find },
    /* Events that come to us are of nothing that we have subscribed to. */
    { N_EVENT_REPORT_RQ, "N-EVENT-REPORT", SERVICE_UPS_EVENT, ROLE_SCP, n_event_report },
};
const size_t service_row_count = sizeof(service_rows) / sizeof(service_rows[0]);
