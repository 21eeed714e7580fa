/* SPDX-License-Identifier: MIT */
#pragma once
/* What the files of UPS-RS (PS3.18 11) share; of it the performed steps use what is not of items.
 */

#include "dicomweb/routes.h"
#include "worklist/subscriptions.h"

/* "299 <service>: text" as a Warning field (PS3.18 11.4.3.3). */
void workitems_warn(struct request *request, struct response *response, const char *text);
/* The UID in the path; NULL: the response is filled. */
const char *workitems_uid(struct request *request, struct response *response);
/* Of an item that is not there: 410 for one that was, else 404. */
void workitems_absent(struct request *request, struct response *response, const char *uid);
/* The worklist failed, or the body was wrong. */
void workitems_fail(struct request *request, struct response *response, const struct error *err);
/* The subscriber that the path names, as one of the web's door. False: the response is filled; 403
 * when it is another user's. `makes_it`: it is the user's from now on, if it is nobody's. */
bool workitems_subscriber(struct request *request, struct response *response, bool makes_it,
                          char subscriber[SUBSCRIBER_SIZE]);
/* False: there is no worklist, and the response is filled. */
bool workitems_are_there(struct request *request, struct response *response);
