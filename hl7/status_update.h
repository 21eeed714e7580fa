/* SPDX-License-Identifier: MIT */
#pragma once
/* What others are told of a step: an order status update (IHE RAD-3: ORM^O01 of v2.3.1, ORC-1 SC,
 * ORC-5). Pure. */

#include "base/buffer.h"
#include "dicom/dataset.h"

struct hl7_update {
    const struct dataset *step; /* an entry of the worklist */
    const char *status;         /* ORC-5: "IP", "CM", "DC", "CA" */
    const char *control_id;     /* the same when it is told again */
    int64_t at_ms;              /* when it was so, since 1970 */
    const char *our_title;      /* MSH-4 */
    const char *application;    /* MSH-5, "" for none */
    const char *facility;       /* MSH-6 */
};

/* Appends the message, without its frame. In UTF-8, which MSH-18 says where it is more than ASCII.
 */
void hl7_update_write(const struct hl7_update *update, struct buffer *out);
