/* SPDX-License-Identifier: MIT */
#include "dimse/service.h"

const struct service_row service_rows[] = {
    { C_ECHO_RQ, SERVICE_VERIFICATION, ROLE_SCU, c_echo },
    { C_STORE_RQ, SERVICE_STORAGE, ROLE_SCU, c_store },
    { C_FIND_RQ, SERVICE_FIND, ROLE_SCU, c_find },
    { C_MOVE_RQ, SERVICE_MOVE, ROLE_SCU, c_move },
    { C_GET_RQ, SERVICE_GET, ROLE_SCU, c_get },
    { N_ACTION_RQ, SERVICE_COMMITMENT, ROLE_SCU, n_action },
    { N_EVENT_REPORT_RQ, SERVICE_COMMITMENT, ROLE_SCP, n_event_report },
};
const size_t service_row_count = sizeof(service_rows) / sizeof(service_rows[0]);
