/* SPDX-License-Identifier: MIT */
#include "worklist/demographics.h"

#include "worklist/edit.h"

/* Who it is: the rest of group 0010 is how the patient is. */
static bool identifies(uint32_t tag)
{
    static const uint32_t tags[] = {
        TAG_PATIENT_NAME,         TAG_PATIENT_ID,
        TAG_ISSUER_OF_PATIENT_ID, TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE,
        TAG_PATIENT_BIRTH_DATE,   TAG_PATIENT_BIRTH_TIME,
        TAG_PATIENT_SEX,          TAG_OTHER_PATIENT_IDS,
        TAG_OTHER_PATIENT_NAMES,  TAG_OTHER_PATIENT_IDS_SEQUENCE,
    };
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        if (tags[i] == tag)
            return true;
    }
    return false;
}

static bool is_of_patient(uint32_t tag)
{
    return (tag >> 16 == 0x0010 && (tag & 0xFFFF)) || tag == TAG_SPECIAL_NEEDS ||
           tag == TAG_CURRENT_PATIENT_LOCATION || tag == TAG_PATIENT_STATE;
}

static void copy_those(struct edit *edit, const struct dataset *dataset, bool identifying_alone)
{
    struct walk walk = dataset_walk(dataset);
    struct element element;
    size_t depth = 0;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (depth == 0 && (event == WALK_ELEMENT || event == WALK_SEQUENCE) &&
            (identifying_alone ? identifies(element.tag) : is_of_patient(element.tag)))
            edit_copy(edit, dataset, element.tag);
        if (event == WALK_SEQUENCE)
            depth++;
        else if (event == WALK_SEQUENCE_END)
            depth--;
    }
}

bool demographics_merge(const struct object *patient, const struct dataset *told,
                        struct buffer *out, struct error *err)
{
    struct edit edit = edit_init();
    struct dataset *known = NULL;
    bool ok = object_dataset(patient, &known, err);
    if (ok) {
        edit_copy_all(&edit, known);
        copy_those(&edit, told, false);
        ok = edit_write(&edit, out, err);
    }
    dataset_close(known);
    edit_release(&edit);
    return ok;
}

bool demographics_of_key(const char *key, struct buffer *out, struct error *err)
{
    char id[OBJECT_KEY_SIZE];
    const char *separator = strchr(key, '\\');
    if (!separator)
        return error_set(err, ERROR_INVALID, "no key of a patient");
    struct edit edit = edit_init();
    memcpy(id, key, (size_t)(separator - key));
    id[separator - key] = '\0';
    edit_text(&edit, TAG_PATIENT_ID, id);
    if (separator[1])
        edit_text(&edit, TAG_ISSUER_OF_PATIENT_ID, separator + 1);
    bool ok = edit_write(&edit, out, err);
    edit_release(&edit);
    return ok;
}

static bool changes_issuer(const struct dataset *dataset, const struct dataset *patient)
{
    char before[OBJECT_KEY_SIZE] = "", now[OBJECT_KEY_SIZE] = "";
    dataset_string(dataset, TAG_ISSUER_OF_PATIENT_ID, before, sizeof(before));
    dataset_string(patient, TAG_ISSUER_OF_PATIENT_ID, now, sizeof(now));
    return strcmp(before, now) != 0;
}

bool demographics_apply(const struct object *object, const struct object *patient,
                        struct buffer *out, struct error *err)
{
    struct edit edit = edit_init();
    struct dataset *known = NULL, *dataset = NULL;
    char issuer[8];
    struct element qualifiers;
    bool is_planned = (object->kind == OBJECT_STEP || object->kind == OBJECT_WORKITEM) &&
                      object->shelf == OBJECT_LIVE;
    bool ok = object_dataset(object, &dataset, err) && object_dataset(patient, &known, err);
    if (ok) {
        edit_copy_all(&edit, dataset);
        copy_those(&edit, known, !is_planned);
        /* An ID without an issuer is another one than the same with the old one's. */
        if (!dataset_string(known, TAG_ISSUER_OF_PATIENT_ID, issuer, sizeof(issuer)) &&
            dataset_string(dataset, TAG_ISSUER_OF_PATIENT_ID, issuer, sizeof(issuer)))
            edit_remove(&edit, TAG_ISSUER_OF_PATIENT_ID);
        /* Nor do qualifiers of the old one's issuer say anything of this one. */
        if (changes_issuer(dataset, known) &&
            !dataset_find(known, TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE, &qualifiers))
            edit_remove(&edit, TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE);
        ok = edit_write(&edit, out, err);
    }
    dataset_close(dataset);
    dataset_close(known);
    edit_release(&edit);
    return ok;
}

bool demographics_give(struct object *object, const struct object *patient, bool *changed,
                       struct error *err)
{
    struct buffer dataset = buffer_up_to(OBJECT_DATASET_LIMIT);
    bool ok = demographics_apply(object, patient, &dataset, err);
    if (ok && !slice_equal(buffer_slice(&dataset), buffer_slice(&object->dataset))) {
        buffer_release(&object->dataset);
        object->dataset = dataset;
        dataset = buffer_up_to(0);
        *changed = true;
    }
    buffer_release(&dataset);
    return ok;
}
