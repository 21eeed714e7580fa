/* SPDX-License-Identifier: MIT */
#pragma once
/* Patient.link: which Patient took the place of which (R4 8.1.5). Only links of Patients with our
 * tag are written; what others linked is followed (search_answer_survivor). */

#include "cast/json.h"

/* `gone` was merged into this reference: it is linked and no longer active. False when it is not
 * ours, or linked already. */
bool patient_link_replaced_by(cJSON *gone, const char *reference);
/* `survivor` took the place of this reference. Any Patient that has our tag, or is yet to be made.
 */
bool patient_link_replaces(cJSON *survivor, const char *reference);
/* The merge of `patient` into this reference is taken back: it is active again, and that one does
 * not replace it any more. */
bool patient_link_revive(cJSON *patient, const char *reference);
bool patient_link_release(cJSON *survivor, const char *reference);
