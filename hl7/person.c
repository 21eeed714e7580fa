/* SPDX-License-Identifier: MIT */
#include "hl7/person.h"

#include "dicom/tag.h"
#include "hl7/value.h"

enum {
    MAX_IDS = 32,
    OTHER_PATIENT_IDS = 0x00101000, /* retired, and what old consoles ask for */
    TYPE_OF_PATIENT_ID = 0x00100022,
    UNIVERSAL_ENTITY_ID = 0x00400032,
    UNIVERSAL_ENTITY_ID_TYPE = 0x00400033,
};

/* One CX. */
struct identifier {
    struct hl7_person person;
    char universal[HL7_ID_SIZE];
    char universal_type[HL7_ID_SIZE];
};

/* A component as text that fits as it is: numbers are not cut. */
static bool copy(const struct hl7_message *message, struct slice raw, uint16_t vr,
                 char text[HL7_ID_SIZE])
{
    struct buffer plain = buffer_up_to(HL7_MAX_SEGMENT * 4);
    struct buffer value = buffer_up_to(HL7_ID_SIZE - 1);
    hl7_unescape(message, raw, &plain);
    bool ok = !plain.overflowed && hl7_fit(vr, buffer_slice(&plain), &value) == HL7_FITS &&
              !value.overflowed;
    if (ok && value.size)
        memcpy(text, value.data, value.size);
    text[ok ? value.size : 0] = 0;
    buffer_release(&plain);
    buffer_release(&value);
    return ok;
}

/* 0: it is one; else the component at fault. */
static unsigned read_identifier(const struct hl7_message *message, struct slice cx,
                                const char *authority, struct identifier *identifier)
{
    struct slice assigner = hl7_component(message, cx, 4);
    memset(identifier, 0, sizeof(*identifier));
    char *issuer = identifier->person.issuer;
    if (!copy(message, hl7_component(message, cx, 1), VR_LO, identifier->person.id))
        return 1;
    if (!copy(message, hl7_subcomponent(message, assigner, 1), VR_LO, issuer) ||
        !copy(message, hl7_subcomponent(message, assigner, 2), VR_LO, identifier->universal))
        return 4;
    if (!copy(message, hl7_subcomponent(message, assigner, 3), VR_CS, identifier->universal_type))
        identifier->universal_type[0] = 0;
    if (!issuer[0])
        memcpy(issuer, identifier->universal, HL7_ID_SIZE);
    if (!issuer[0] && authority)
        memcpy(issuer, authority, strnlen(authority, HL7_ID_SIZE - 1));
    return 0;
}

/* Which repetition is the patient's ID: 0 when there is none. */
static unsigned choose(const struct hl7_message *message, struct slice field, const char *authority)
{
    struct identifier identifier;
    unsigned first = 0;
    struct slice cx;
    for (unsigned i = 1; i <= MAX_IDS && hl7_next_repetition(message, &field, &cx); i++) {
        struct slice number = hl7_component(message, cx, 1);
        if (!number.size || hl7_is_null(number))
            continue;
        first = first ? first : i;
        if (!authority)
            return i;
        if (!read_identifier(message, cx, authority, &identifier) &&
            (!strcmp(identifier.person.issuer, authority) ||
             !strcmp(identifier.universal, authority)))
            return i;
    }
    return first;
}

static bool read_chosen(const struct hl7_message *message, const struct hl7_segment *segment,
                        unsigned field, const char *authority, struct identifier *identifier,
                        unsigned *chosen, struct hl7_fault *fault)
{
    struct slice value = hl7_field(message, segment, field);
    *chosen = choose(message, value, authority);
    if (*chosen) {
        unsigned wrong = read_identifier(message, hl7_repetition(message, value, *chosen),
                                         authority, identifier);
        if (wrong) {
            hl7_fault_set(fault, HL7_DATA_TYPE, segment->name, segment->sequence, field,
                          "%s-%u.%u: longer than 64 characters, or with characters that a patient "
                          "ID cannot have",
                          segment->name, field, wrong);
            fault->component = wrong;
            return false;
        }
    }
    return (*chosen && identifier->person.id[0]) ||
           hl7_fault_set(fault, HL7_FIELD_MISSING, segment->name, segment->sequence, field,
                         "%s-%u: there is no patient ID", segment->name, field);
}

bool hl7_person_read(const struct hl7_message *message, const struct hl7_segment *segment,
                     unsigned field, const char *authority, struct hl7_person *person,
                     struct hl7_fault *fault)
{
    struct identifier identifier;
    unsigned chosen;
    if (!read_chosen(message, segment, field, authority, &identifier, &chosen, fault))
        return false;
    *person = identifier.person;
    return true;
}

static void set_qualifiers(struct draft *draft, const struct identifier *identifier)
{
    struct draft_place qualifiers = draft_at(TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE);
    if (!identifier->universal[0] || !identifier->universal_type[0])
        return;
    draft_set_text(draft, draft_under(qualifiers, 0, UNIVERSAL_ENTITY_ID), identifier->universal);
    draft_set_text(draft, draft_under(qualifiers, 0, UNIVERSAL_ENTITY_ID_TYPE),
                   identifier->universal_type);
}

/* Adds the numbers of a field but the chosen one; what DICOM cannot say is left out. */
static void add_others(const struct hl7_message *message, struct slice field, unsigned chosen,
                       const char *authority, struct draft *draft, unsigned *count,
                       struct buffer *list)
{
    struct draft_place others = draft_at(TAG_OTHER_PATIENT_IDS_SEQUENCE);
    struct identifier identifier;
    struct slice cx;
    for (unsigned i = 1; i <= MAX_IDS && hl7_next_repetition(message, &field, &cx); i++) {
        if (i == chosen || *count == MAX_IDS ||
            read_identifier(message, cx, authority, &identifier) || !identifier.person.id[0])
            continue;
        draft_set_text(draft, draft_under(others, *count, TAG_PATIENT_ID), identifier.person.id);
        draft_set_text(draft, draft_under(others, *count, TAG_ISSUER_OF_PATIENT_ID),
                       identifier.person.issuer);
        draft_set_text(draft, draft_under(others, *count, TYPE_OF_PATIENT_ID), "TEXT");
        if (list->size)
            buffer_append_byte(list, '\\');
        buffer_append_text(list, identifier.person.id);
        ++*count;
    }
}

bool hl7_person_set(const struct hl7_message *message, const struct hl7_segment *pid,
                    const char *authority, struct draft *draft, struct hl7_person *person,
                    struct hl7_fault *fault)
{
    struct identifier identifier;
    struct buffer list = buffer_up_to(MAX_IDS * HL7_ID_SIZE * 2);
    unsigned chosen;
    unsigned count = 0;
    if (!read_chosen(message, pid, 3, authority, &identifier, &chosen, fault))
        return false;
    *person = identifier.person;
    draft_set_text(draft, draft_at(TAG_PATIENT_ID), person->id);
    draft_set_text(draft, draft_at(TAG_ISSUER_OF_PATIENT_ID), person->issuer);
    set_qualifiers(draft, &identifier);
    add_others(message, hl7_field(message, pid, 3), chosen, authority, draft, &count, &list);
    add_others(message, hl7_field(message, pid, 4), 0, NULL, draft, &count, &list);
    if (list.size)
        draft_set(draft, draft_at(OTHER_PATIENT_IDS), buffer_slice(&list));
    buffer_release(&list);
    return true;
}
