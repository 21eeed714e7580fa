/* SPDX-License-Identifier: MIT */
/* Every term and every document of the index: does it lead to something that is there? */
#include "archive/tag_terms.h"
#include "archive/terms.h"
#include "archive/verify_work.h"

/* The record that a key of another table leads to; false when the key cannot be understood. */
static bool record_of_term(struct slice term, struct slice value, struct key *record)
{
    struct identity identity = { 0 };
    struct slice stamp, study;
    switch (term.data[0]) {
    case TERM_INSTANCE:
        key_start(record, RECORD_INSTANCE);
        key_add(record, value);
        key_add_byte(record, 0);
        key_add(record, slice_skip(term, 1));
        return key_split_place(slice_skip(key_slice(record), 1), &identity) && identity.instance[0];
    case TERM_SERIES: {
        const uint8_t *end = memchr(term.data, 0, term.size);
        if (!end)
            return false;
        key_start(record, RECORD_SERIES);
        key_add(record, slice_skip(term, (size_t)(end - term.data) + 1));
        key_add_byte(record, 0);
        key_add(record, slice_of(term.data + 1, (size_t)(end - term.data) - 1));
        return key_split_place(slice_skip(key_slice(record), 1), &identity) && identity.series[0];
    }
    case TERM_TAG:
        if (!tag_split(term, value, &stamp, &identity))
            return false;
        key_place(record, RECORD_TAG_TERMS, identity.study, identity.series, identity.instance);
        return true;
    default:
        if (!term_split(term, &stamp, &study) || study.size >= UID_SIZE)
            return false;
        key_start(record, RECORD_STUDY);
        key_add(record, study);
        return true;
    }
}

/* A study that is there must also have this term. */
static bool study_has_term(struct slice record_bytes, const struct key *record_key,
                           struct slice term)
{
    struct term_list list = term_list_init();
    struct study_record record;
    struct slice uid = slice_skip(key_slice(record_key), 1);
    char study[UID_SIZE];
    memcpy(study, uid.data, uid.size);
    study[uid.size] = '\0';
    study_record_init(&record);
    /* One that cannot be read was told already. */
    bool has = !study_record_decode(record_bytes, &record, NULL) ||
               !terms_of_study(&list, study, &record, NULL) || term_list_holds(&list, term);
    study_record_release(&record);
    term_list_release(&list);
    return has;
}

struct term_look {
    struct verify *verify;
    struct buffer term;
    struct buffer value;
    struct buffer record;
    const char *message; /* of what is wrong */
};

/* *wrong as it stands at this moment, when it is done in the turn. */
static bool look_at_term(struct term_look *look, bool *wrong, struct error *err)
{
    struct key key;
    bool found;
    *wrong = true;
    look->message = "a term that cannot be read";
    if (!look->term.size ||
        !record_of_term(buffer_slice(&look->term), buffer_slice(&look->value), &key))
        return true;
    look->message = "a term that leads nowhere";
    if (!storage_get(look->verify->archive->storage, TABLE_RECORD, key_slice(&key), &look->record,
                     &found, err))
        return false;
    *wrong = !found;
    if (found && key.bytes[0] == RECORD_STUDY) {
        look->message = "a term that its study does not have";
        *wrong = !study_has_term(buffer_slice(&look->record), &key, buffer_slice(&look->term));
    }
    return true;
}

static bool confirm_term(struct term_look *look, struct error *err)
{
    struct transaction *turn = NULL;
    struct identity identity = { 0 };
    bool found = false, wrong = false;
    bool ok = verify_turn_open(look->verify, &turn, err) &&
              storage_get(look->verify->archive->storage, TABLE_TERM, buffer_slice(&look->term),
                          &look->value, &found, err) &&
              (!found || look_at_term(look, &wrong, err));
    transaction_close(turn);
    if (!ok || !found || !wrong)
        return ok;
    struct slice uid = slice_skip(buffer_slice(&look->term), 1);
    if (look->term.data[0] == TERM_INSTANCE && uid.size < UID_SIZE) {
        key_split_place(buffer_slice(&look->value), &identity);
        memcpy(identity.instance, uid.data, uid.size);
    }
    verify_found(look->verify, VERIFY_TERM_UNKNOWN, &identity, NULL, "%s (field %c)", look->message,
                 look->term.data[0]);
    return true;
}

bool verify_terms(struct verify *verify, struct error *err)
{
    struct term_look look = { .verify = verify,
                              .term = buffer_up_to(SIZE_MAX / 2),
                              .value = buffer_up_to(SIZE_MAX / 2),
                              .record = buffer_up_to(RECORD_SIZE) };
    struct pages pages;
    struct slice key, value;
    bool found = true, wrong;
    bool ok = true;
    uint64_t done = 0;
    const uint8_t others = KEY_OTHERS;
    pages_open(&pages, verify->archive->storage, TABLE_TERM, slice_of(NULL, 0),
               slice_of(&others, 1));
    while (ok && (ok = pages_next(&pages, &key, &value, &found, err)) && found) {
        buffer_clear(&look.term);
        buffer_append(&look.term, key);
        buffer_clear(&look.value);
        buffer_append(&look.value, value);
        ok = look_at_term(&look, &wrong, err) && (!wrong || confirm_term(&look, err)) &&
             verify_step(verify, PHASE_TERMS, "terms", ++done, 0, 0, err);
    }
    pages_close(&pages);
    buffer_release(&look.term);
    buffer_release(&look.value);
    buffer_release(&look.record);
    return ok;
}

/* Headers and tables of frames of instances that are not there. */
static bool check_document(struct verify *verify, struct slice key, struct error *err)
{
    struct transaction *turn = NULL;
    struct identity identity = { 0 };
    struct key record;
    bool there = false, found = false;
    bool readable = (key.data[0] == DOCUMENT_HEADER || key.data[0] == DOCUMENT_FRAMES) &&
                    key_split_place(slice_skip(key, 1), &identity) && identity.instance[0];
    if (!readable) {
        verify_found(verify, VERIFY_INDEX_CORRUPT, NULL, NULL,
                     "a key of table document cannot be read");
        return true;
    }
    key_place(&record, RECORD_INSTANCE, identity.study, identity.series, identity.instance);
    if (!verify_has(verify, TABLE_RECORD, key_slice(&record), &there, err))
        return false;
    if (there)
        return true;
    bool ok = verify_turn_open(verify, &turn, err) &&
              verify_has(verify, TABLE_DOCUMENT, key, &found, err) &&
              verify_has(verify, TABLE_RECORD, key_slice(&record), &there, err);
    transaction_close(turn);
    if (ok && found && !there)
        verify_found(verify, VERIFY_DOCUMENT_WRONG, &identity, NULL,
                     "%s of an instance that is not there",
                     key.data[0] == DOCUMENT_HEADER ? "a header" : "a table of frames");
    return ok;
}

bool verify_documents(struct verify *verify, struct error *err)
{
    struct buffer copy = buffer_up_to(SIZE_MAX / 2);
    struct pages pages;
    struct slice key, value;
    bool found = true;
    bool ok = true;
    uint64_t done = 0;
    pages_open(&pages, verify->archive->storage, TABLE_DOCUMENT, slice_of(NULL, 0),
               slice_of(NULL, 0));
    while (ok && (ok = pages_next(&pages, &key, &value, &found, err)) && found) {
        buffer_clear(&copy);
        buffer_append(&copy, key);
        ok = check_document(verify, buffer_slice(&copy), err) &&
             verify_step(verify, PHASE_DOCUMENTS, "documents", ++done, 0, 0, err);
    }
    pages_close(&pages);
    buffer_release(&copy);
    return ok;
}
