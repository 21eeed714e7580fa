/* SPDX-License-Identifier: MIT */
/* C-FIND of the unified procedure step (PS3.4 CC.2.8). */
#include "dimse/find_objects.h"

/* The lock is never told. */
bool ups_find(struct session *session, struct message *request, struct error *err)
{
    static const struct object_model model = { .kind = OBJECT_WORKITEM,
                                               .hidden = TAG_TRANSACTION_UID };
    return find_objects(session, request, &model, err);
}
