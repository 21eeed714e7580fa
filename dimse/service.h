/* SPDX-License-Identifier: MIT */
#pragma once
/* The services, one file each. A service receives its request's data set to the end, answers, and
 * returns true; false when the association has ended. */

#include "dimse/session.h"

typedef bool service_function(struct session *session, struct message *request, struct error *err);

service_function c_echo;              /* PS3.4 annex A */
service_function c_store;             /* PS3.4 annex B */
service_function c_find;              /* PS3.4 C.4.1 */
service_function c_move;              /* PS3.4 C.4.2 */
service_function c_get;               /* PS3.4 C.4.3 */
service_function n_action;            /* PS3.4 J.3.2 */
service_function n_event_report;      /* PS3.4 J.3.3 */
service_function ups_create;          /* PS3.4 CC.2.5 */
service_function ups_set;             /* PS3.4 CC.2.6 */
service_function ups_get;             /* PS3.4 CC.2.7 */
service_function ups_find;            /* PS3.4 CC.2.8 */
service_function ups_action;          /* PS3.4 CC.2.1 to CC.2.3 */
service_function c_find_worklist;     /* PS3.4 K.4.1 */
service_function mpps_create;         /* PS3.4 F.7.2.1 */
service_function mpps_set;            /* PS3.4 F.7.2.2 */
service_function mpps_get;            /* PS3.4 F.8.2.1 */
service_function availability_create; /* PS3.4 R.3.2.1 */

/* Sends the reports that wait for this association. False when it has ended. */
bool n_event_report_send(struct session *session, struct error *err);
/* A response came in. */
void n_event_report_answered(struct session *session, const struct command *response);

/* One row for each operation of each service: a field may be of several services. */
struct service_row {
    uint16_t field;   /* enum command_field */
    const char *name; /* for logs */
    enum service service;
    enum role role; /* that the requestor must have */
    service_function *serve;
};
extern const struct service_row service_rows[];
extern const size_t service_row_count;
