/* SPDX-License-Identifier: MIT */
#include "dimse/service.h"

const struct service_row service_rows[] = {
    { C_ECHO_RQ, SERVICE_VERIFICATION, c_echo },
    { C_STORE_RQ, SERVICE_STORAGE, c_store },
    { C_FIND_RQ, SERVICE_FIND, c_find },
    { C_MOVE_RQ, SERVICE_MOVE, c_move },
    { C_GET_RQ, SERVICE_GET, c_get },
};
const size_t service_row_count = sizeof(service_rows) / sizeof(service_rows[0]);
