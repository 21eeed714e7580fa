/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside steps.c and its neighbours. */

#include "worklist/steps.h"

bool step_is_open(uint8_t state); /* not started, not over: in the list */
bool step_is_over(uint8_t state);
enum object_shelf step_shelf(uint8_t state);

void step_facts_put(struct object *step, const struct step_facts *facts);

/* A step takes a state: shelf, (0040,0020) and the time of it. The object is to be put. */
bool step_set_state(struct object *step, enum step_state state, int64_t at_ms, struct error *err);

/* What an entry says, for telling which step it is. Values cut at their sizes. */
struct step_entry {
    const struct dataset *dataset;
    char id[OBJECT_LINK_LIMIT + 1];
    char procedure_id[OBJECT_LINK_LIMIT + 1];
    char accession[OBJECT_LINK_LIMIT + 1];
    char study_uid[UID_SIZE];
};
/* ERROR_INVALID, with the tag, when it cannot become a step. */
bool step_entry_read(const struct dataset *dataset, struct step_entry *entry, struct error *err);

/* What is made for attributes that nobody told. */
struct step_defaults {
    char id[17];
    char procedure_id[17];
    char study_uid[UID_SIZE];
    const char *placer; /* NULL or "": none */
    const char *filler;
    int64_t message_us;
};
/* The step's data set with what `told` (may be NULL) says of it, made complete (PS3.4 K.6.1.2.2),
 * and the links that are made of it. State and patient are not touched. */
bool step_compose(struct object *step, const struct dataset *told,
                  const struct step_defaults *defaults, struct error *err);

/* Steps that are worked on in one turn. */
struct step_work {
    struct object object;
    struct object before; /* as it stands */
    bool is_new;
    bool asked_for; /* an entry of this message has its id */
    bool named;     /* an entry of this message was it */
};
struct step_list {
    struct step_work *works;
    size_t count;
};
void step_list_release(struct step_list *list);
struct step_work *step_list_add(struct step_list *list); /* NULL: there are STEPS_MAX */
/* Do more than STEPS_MAX steps have it? Then it stands for none of them, as "NONE" does. */
bool step_number_is_common(struct worklist *worklist, char link, const char *value, bool *common,
                           struct error *err);
/* ERROR_LIMIT for such a number. Loads the steps that have a link and that are not in the list yet.
 * `accepts` (may be NULL) says which. */
bool step_list_load(struct turn *turn, struct step_list *list, char link, const char *value,
                    bool (*accepts)(const struct object *step, void *context), void *context,
                    struct error *err);
