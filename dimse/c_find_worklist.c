/* SPDX-License-Identifier: MIT */
/* C-FIND as SCP of the Modality Worklist (PS3.4 annex K). */
#include "base/metrics.h"
#include "dimse/find_objects.h"

/* The list is what was not started: the rest is there for who asks for a state. */
bool c_find_worklist(struct session *session, struct message *request, struct error *err)
{
    static const uint32_t state[] = { TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE,
                                      TAG_SCHEDULED_PROCEDURE_STEP_STATUS };
    static const struct object_model model = { .kind = OBJECT_STEP,
                                               .combines_date_time = true,
                                               .state_key = state };
    metric_add(METRIC_WORKLIST_QUERIES, 1);
    return find_objects(session, request, &model, err);
}
