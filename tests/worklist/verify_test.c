/* SPDX-License-Identifier: MIT */
#include "worklist/verify.h"

#include <stdio.h>

#include "storage/transaction.h"
#include "tests/worklist/fixture.h"
#include "worklist/core.h"
#include "worklist/patients.h"
#include "worklist/steps.h"

struct findings {
    struct worklist_verify_report report;
    char uid[UID_SIZE]; /* of the last one */
    char message[256];
};

static void remember(void *context, enum worklist_finding_kind kind, const char *uid,
                     const char *message)
{
    struct findings *findings = context;
    (void)kind;
    snprintf(findings->uid, sizeof(findings->uid), "%s", uid);
    snprintf(findings->message, sizeof(findings->message), "%s", message);
}

static struct findings verify(struct fixture *fixture)
{
    struct error err = { 0 };
    struct findings findings = { .uid = "" };
    const struct worklist_verify_options options = { remember, &findings };
    CHECK_OK(worklist_verify(fixture->worklist, &options, NULL, &findings.report, &err), err);
    return findings;
}

static void check(struct fixture *fixture, uint64_t corrupt, uint64_t missing, uint64_t unknown)
{
    struct findings findings = verify(fixture);
    CHECK_INT(findings.report.findings[WORKLIST_OBJECT_CORRUPT], corrupt);
    CHECK_INT(findings.report.findings[WORKLIST_TERM_MISSING], missing);
    CHECK_INT(findings.report.findings[WORKLIST_TERM_UNKNOWN], unknown);
    CHECK(!strstr(findings.message, "P1"));
    CHECK(!strstr(findings.message, "Jane"));
}

/* Two steps of one patient: three objects. Returns the key of the last step. */
static const char *fill(struct fixture *fixture)
{
    static struct step_outcome outcome;
    struct error err = { 0 };
    static const char *const placers[] = { "1", "2" };
    const struct dataset *steps[] = { dataset_of(
        "00080050 A1\n00100010 Doe^Jane\n00100020 P1\n00400100 [\n00400001 CT1\n"
        "00400002 20260101\n]") };
    for (size_t i = 0; i < 2; i++) {
        const struct step_order told = {
            .control = STEP_NEW, .placer = placers[i], .steps = steps, .step_count = 1
        };
        CHECK_OK(steps_apply(fixture->worklist, &told, &outcome, &err), err);
    }
    return outcome.key;
}

/* NULL: taken away. */
static void change(struct fixture *fixture, enum table table, struct slice key, const char *value)
{
    struct error err = { 0 };
    struct transaction *transaction = NULL;
    CHECK_OK(transaction_open(fixture->storage, &transaction, &err), err);
    if (value)
        transaction_put(transaction, table, key, slice_text(value));
    else
        transaction_delete(transaction, table, key);
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
}

/* The first term of an index. */
static void find_term(struct fixture *fixture, const char *prefix, struct buffer *term)
{
    struct error err = { 0 };
    struct storage_cursor *cursor = NULL;
    struct slice key;
    bool found;
    CHECK_OK(
        storage_cursor_open_prefix(fixture->storage, TABLE_TERM, slice_text(prefix), &cursor, &err),
        err);
    CHECK_OK(storage_cursor_next(cursor, &key, NULL, &found, &err), err);
    CHECK(found);
    buffer_clear(term);
    buffer_append(term, key);
    storage_cursor_close(cursor);
}

TEST(worklist_that_is_whole_has_no_findings)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    fill(&fixture);
    struct findings findings = verify(&fixture);
    CHECK_INT(findings.report.objects, 3);
    CHECK(findings.report.terms > 30);
    check(&fixture, 0, 0, 0);
    fixture_close(&fixture);
}

TEST(a_lost_term_of_any_index_of_an_object_is_found)
{
    static const char *const prefixes[] = { "wSl*", "wSlA", "wSlN", "wSlp", "wSli",
                                            "wSlu", "wDl*", "wDlI", "wDlN" };
    struct buffer term = buffer_up_to(1024);
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        struct fixture fixture;
        fixture_open(&fixture, true);
        fill(&fixture);
        find_term(&fixture, prefixes[i], &term);
        change(&fixture, TABLE_TERM, buffer_slice(&term), NULL);
        check(&fixture, 0, 1, 0);
        fixture_close(&fixture);
    }
    buffer_release(&term);
}

TEST(a_term_that_is_no_objects_is_found)
{
    struct fixture fixture;
    struct buffer term = buffer_up_to(1024);
    fixture_open(&fixture, true);
    const char *step = fill(&fixture);
    find_term(&fixture, "wSlA", &term);
    term.data[4]++; /* another value of an object that is there */
    change(&fixture, TABLE_TERM, buffer_slice(&term), "");
    check(&fixture, 0, 0, 1);
    find_term(&fixture, "wSlN", &term);
    buffer_append_text(&term, ".7"); /* the value of one that is not */
    change(&fixture, TABLE_TERM, buffer_slice(&term), "");
    change(&fixture, TABLE_TERM, slice_text("wS"), "");
    check(&fixture, 0, 0, 3);
    /* an object that went without its terms */
    buffer_clear(&term);
    object_record_key(OBJECT_STEP, step, &term);
    change(&fixture, TABLE_RECORD, buffer_slice(&term), NULL);
    CHECK(verify(&fixture).report.findings[WORKLIST_TERM_UNKNOWN] > 10);
    buffer_release(&term);
    fixture_close(&fixture);
}

TEST(an_object_that_cannot_be_read_is_found)
{
    struct fixture fixture;
    struct buffer key = buffer_up_to(1024);
    fixture_open(&fixture, true);
    const char *step = fill(&fixture);
    object_record_key(OBJECT_STEP, step, &key);
    change(&fixture, TABLE_RECORD, buffer_slice(&key), "no record");
    check(&fixture, 1, 0, 0);
    CHECK_TEXT(verify(&fixture).uid, step);
    change(&fixture, TABLE_RECORD, slice_text("wZ7"), "of no kind");
    check(&fixture, 2, 0, 0);
    buffer_release(&key);
    fixture_close(&fixture);
}
