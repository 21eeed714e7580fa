/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "dicom/dataset.h"
#include "dicom/json.h"
#include "dimse/status.h"
#include "server/scu.h"

enum { MATCH_LIMIT = 64 << 20, TEXT_LIMIT = 1 << 20 };

struct matches {
    struct scu *scu;
    struct scu_query query;
    struct buffer text;
    uint64_t count;
    bool cancelled;
};

/* Control characters of a peer do not reach the terminal: those of ASCII, and U+0080 to U+009F. */
static void blank_controls(struct buffer *text)
{
    for (size_t i = 0; i < text->size; i++) {
        uint8_t *byte = &text->data[i];
        bool is_c1 = *byte == 0xC2 && i + 1 < text->size && byte[1] >= 0x80 && byte[1] < 0xA0;
        if (*byte < ' ' || *byte == 0x7F || is_c1)
            *byte = ' ';
        if (is_c1)
            byte[1] = ' ';
    }
}

/* One line of an attribute. */
static void print_element(struct matches *matches, const struct dataset *match,
                          const struct element *element, size_t depth)
{
    const struct dictionary_entry *entry = dictionary_find(element->tag);
    struct buffer *text = &matches->text;
    buffer_clear(text);
    dataset_element_text(match, element, text);
    blank_controls(text);
    printf("%*s%04X,%04X %-30s %.*s\n", (int)depth * 2, "", (unsigned)(element->tag >> 16),
           (unsigned)(element->tag & 0xFFFF), entry && entry->keyword ? entry->keyword : "",
           (int)text->size, text->size ? (const char *)text->data : "");
}

static void print_lines(struct matches *matches, const struct dataset *match)
{
    struct walk walk = dataset_walk(match);
    struct element element;
    if (matches->count > 1)
        putchar('\n');
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;)
        if (event == WALK_ELEMENT || event == WALK_SEQUENCE)
            print_element(matches, match, &element, walk.depth - (event == WALK_SEQUENCE));
}

static void print_json(struct matches *matches, const struct dataset *match)
{
    const struct json_options options = { .inline_binary_limit = MATCH_LIMIT };
    struct buffer json = buffer_up_to(2 * (size_t)MATCH_LIMIT);
    json_write_dataset(match, &options, &json);
    if (!json.overflowed)
        printf("%s%s", matches->count > 1 ? ",\n" : "", buffer_text(&json));
    buffer_release(&json);
}

static bool print_match(struct matches *matches, struct slice bytes, struct error *err)
{
    const struct transfer_syntax *syntax = matches->query.context->syntax;
    struct scan_limits limits = scan_default_limits;
    struct dataset *match = NULL;
    limits.value_size = MATCH_LIMIT;
    struct scan *scan = scan_new(syntax, &limits);
    bool ok = scan_write(scan, bytes, err) && scan_finish(scan, err) &&
              dataset_open(scan_header(scan), syntax, NULL, 0, &match, err);
    if (ok) {
        matches->count++;
        if (matches->scu->json)
            print_json(matches, match);
        else
            print_lines(matches, match);
    }
    dataset_close(match);
    scan_free(scan);
    return ok || error_add_context(err, "a match");
}

/* One answer. *ended: it was the last. */
static bool take_answer(struct matches *matches, bool *ended, struct command *last,
                        struct error *err)
{
    struct scu_query *query = &matches->query;
    struct buffer bytes = buffer_up_to(MATCH_LIMIT);
    struct message answer;
    bool ok = client_answer(query->association, C_FIND_RQ, query->message_id, &answer, err) &&
              message_read_all(&answer, &bytes, err) && buffer_check(&bytes, "a match", err);
    *last = answer.command;
    *ended = ok && answer.command.status != STATUS_PENDING &&
             answer.command.status != STATUS_PENDING_WITHOUT_KEYS;
    if (ok && !*ended && !matches->cancelled)
        ok = print_match(matches, buffer_slice(&bytes), err);
    buffer_release(&bytes);
    if (!ok || *ended || matches->cancelled || !matches->scu->limit ||
        matches->count < matches->scu->limit)
        return ok;
    matches->cancelled = true;
    return client_cancel(query->association, query->context, query->message_id, err);
}

static bool run(struct matches *matches, struct command *last, struct error *err)
{
    bool ended = false;
    if (!scu_query_begin(matches->scu, &matches->query, SCU_FIND, NULL, 0, err))
        return false;
    if (matches->scu->json)
        putchar('[');
    while (!ended)
        if (!take_answer(matches, &ended, last, err))
            return false;
    if (matches->scu->json)
        puts("]");
    return true;
}

int scu_find_matches(struct scu *scu)
{
    static struct matches matches; /* large, and there is one */
    struct command last = { .status = 0 };
    struct error err;
    matches.scu = scu;
    matches.text = buffer_up_to(TEXT_LIMIT);
    if (!scu_query_keys(scu, &matches.query, &err))
        return scu_misuse(scu, &err);
    bool ok = run(&matches, &last, &err);
    scu_query_end(&matches.query);
    buffer_release(&matches.text);
    if (!ok)
        return scu_fail(scu, &err);
    if (!matches.count && !scu->json && !scu->quiet && last.status == STATUS_SUCCESS)
        fputs("no match\n", stderr);
    if (last.status == STATUS_SUCCESS || (matches.cancelled && last.status == STATUS_CANCELLED))
        return SCU_OK;
    error_set(&err, ERROR_MISMATCH, "the peer ended with status %04X%s%s", last.status,
              *last.comment ? ": " : "", last.comment);
    return scu_fail(scu, &err);
}
