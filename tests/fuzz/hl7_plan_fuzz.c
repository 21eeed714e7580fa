/* SPDX-License-Identifier: MIT */
/* From the bytes of a message to the data sets that it would become: whatever they are, each one
 * can be walked to its end, and a refusal says why. */
#include <stdint.h>
#include <stdlib.h>

#include "dicom/dataset.h"
#include "dicom/utf8.h"
#include "hl7/plan.h"
#include "hl7/receive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct hl7_configuration *configuration(void)
{
    static const struct hl7_rule rules[] = { { "ZXX-1", "RequestedProcedureComments" },
                                             { "ZXX-2.1", "ScheduledStationAETitle" },
                                             { "ZXX-3", "PatientBirthName" },
                                             { "ZXX-4", "ScheduledProtocolCodeSequence" } };
    static struct hl7_configuration *made;
    const struct hl7_options options = {
        .address = "127.0.0.1", .assigning_authority = "HOSP", .rules = rules, .rule_count = 4
    };
    if (!made && !hl7_configuration_new(&options, &made, NULL))
        abort();
    return made;
}

static void check(const struct draft *draft)
{
    struct buffer bytes = buffer_up_to(2 * DRAFT_LIMIT);
    struct buffer text = buffer_up_to(2 * DRAFT_LIMIT);
    struct dataset *dataset = NULL;
    struct element element;
    enum walk_event event;
    if (!draft_encode(draft, &bytes))
        abort();
    if (!dataset_open(buffer_slice(&bytes),
                      transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                      &dataset, NULL))
        abort();
    struct walk walk = dataset_walk(dataset);
    while ((event = walk_next(&walk, &element)) != WALK_END) {
        if (event != WALK_ELEMENT)
            continue;
        buffer_clear(&text);
        dataset_element_text(dataset, &element, &text);
        if (!utf8_is_valid(buffer_slice(&text)))
            abort();
    }
    if (walk.broken)
        abort();
    dataset_close(dataset);
    buffer_release(&bytes);
    buffer_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hl7_rehearsal rehearsal;
    if (hl7_rehearse(configuration(), slice_of(data, size), &rehearsal)) {
        for (size_t i = 0; i < rehearsal.plan->count; i++) {
            const struct hl7_action *action = &rehearsal.plan->actions[i];
            check(&action->patient);
            for (size_t j = 0; j < action->step_count; j++)
                check(&action->steps[j]);
        }
    } else if (rehearsal.plan || !rehearsal.fault.code || !rehearsal.fault.text[0]) {
        abort();
    }
    hl7_rehearsal_release(&rehearsal);
    return 0;
}
