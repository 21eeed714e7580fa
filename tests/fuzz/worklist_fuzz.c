/* SPDX-License-Identifier: MIT */
/* Data sets of peers as orders, performed steps, changes of them, patients and keys: whatever they
 * are, what is kept of them can be read to its end, and an entry of the worklist has its attributes
 * of type 1. The first byte says what the rest is. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/storage.h"
#include "tests/fuzz/scanned_input.h"
#include "worklist/patients.h"
#include "worklist/performed.h"
#include "worklist/search.h"
#include "worklist/steps.h"

enum { ROUNDS = 500 /* on one worklist */, MATCHES_MAX = 20 };
#define PERFORMED_UID "1.2.3.4"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct storage *storage;
static struct worklist *worklist;
static char folder[] = "/tmp/worklist_fuzz.XXXXXX";

static void clean_up(void)
{
    char command[64];
    worklist_close(worklist);
    if (storage)
        storage_close(storage);
    storage = NULL;
    worklist = NULL;
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    if (system(command) != 0)
        abort();
}

/* A fresh one now and then, so that what is kept does not grow for ever. */
static void prepare(void)
{
    static unsigned round;
    static bool registered;
    if (round++ % ROUNDS != 0)
        return;
    if (registered)
        clean_up();
    else
        atexit(clean_up);
    registered = true;
    snprintf(folder, sizeof(folder), "/tmp/worklist_fuzz.XXXXXX");
    if (!mkdtemp(folder))
        abort();
    const struct storage_options options = { .path = folder,
                                             .segment_size = 1 << 20,
                                             .index_in_memory = true };
    if (!storage_open(&options, &storage, NULL) || !worklist_open(storage, NULL, &worklist, NULL))
        abort();
}

static void check_object(enum object_kind kind, const char *key)
{
    struct object object = object_init();
    struct dataset *dataset = NULL;
    struct element element;
    bool found;
    if (!object_get(worklist, kind, key, &object, &found, NULL) || !found ||
        !object_dataset(&object, &dataset, NULL))
        abort();
    struct walk walk = dataset_walk(dataset);
    while (walk_next(&walk, &element) != WALK_END)
        ;
    if (walk.broken)
        abort();
    dataset_close(dataset);
    object_release(&object);
}

static void check_filled(const char *key)
{
    static const uint32_t paths[][2] = {
        { TAG_STUDY_INSTANCE_UID, 0 },
        { TAG_REQUESTED_PROCEDURE_ID, 0 },
        { TAG_PATIENT_NAME, 0 },
        { TAG_PATIENT_ID, 0 },
        { TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, TAG_SCHEDULED_STATION_AE_TITLE },
        { TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE },
        { TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, TAG_SCHEDULED_PROCEDURE_STEP_START_TIME },
        { TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, TAG_MODALITY },
        { TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, TAG_SCHEDULED_PROCEDURE_STEP_ID },
    };
    struct object step = object_init();
    struct dataset *dataset = NULL;
    struct element element;
    bool found;
    if (!object_get(worklist, OBJECT_STEP, key, &step, &found, NULL) || !found ||
        !object_dataset(&step, &dataset, NULL))
        abort();
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (!dataset_find_path(dataset, paths[i], paths[i][1] ? 2 : 1, &element) || !element.size)
            abort();
    dataset_close(dataset);
    object_release(&step);
}

static void try_order(const struct dataset *dataset)
{
    const struct dataset *steps[] = { dataset };
    const struct step_order order = {
        .control = STEP_NEW, .placer = "1", .source = "fuzz", .steps = steps, .step_count = 1
    };
    struct step_outcome outcome;
    if (!steps_apply(worklist, &order, &outcome, NULL))
        return;
    check_object(OBJECT_STEP, outcome.key);
    check_filled(outcome.key);
}

static void try_performed(const struct dataset *dataset)
{
    struct performed_outcome outcome;
    if (performed_create(worklist, dataset, PERFORMED_UID, &outcome, NULL) &&
        outcome.code == PERFORMED_OK)
        check_object(OBJECT_PERFORMED, PERFORMED_UID);
}

static void try_change(const struct dataset *dataset)
{
    struct performed_outcome outcome;
    if (performed_set(worklist, PERFORMED_UID, dataset, &outcome, NULL) &&
        outcome.code == PERFORMED_OK)
        check_object(OBJECT_PERFORMED, PERFORMED_UID);
}

static void try_patient(const struct dataset *dataset)
{
    struct patient_outcome outcome;
    if (patients_update(worklist, dataset, 0, "fuzz", &outcome, NULL))
        check_object(OBJECT_PATIENT, outcome.key);
}

static void try_keys(const struct dataset *dataset)
{
    struct search *search = search_new(OBJECT_STEP);
    struct object step = object_init();
    const struct dataset *match;
    search_combine_date_time(search);
    bool ok = search_add_dataset(search, dataset, NULL, 0, NULL);
    for (int i = 0; ok && i < MATCHES_MAX; i++)
        if (!search_next(search, worklist, &step, &match, NULL) || !match)
            break;
    object_release(&step);
    search_free(search);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(const struct dataset *) = { try_order, try_performed, try_change,
                                                             try_patient, try_keys };
    struct scanned_input input;
    if (!size)
        return 0;
    prepare();
    if (!scanned_input_open(&input, slice_of(data + 1, size - 1)))
        return 0;
    tries[data[0] % (sizeof(tries) / sizeof(tries[0]))](input.header);
    scanned_input_close(&input);
    return 0;
}
