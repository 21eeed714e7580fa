/* SPDX-License-Identifier: MIT */
#include "archive/coerce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/core.h"
#include "base/clock.h"
#include "base/memory.h"
#include "dicom/fold.h"

struct rule {
    char **titles; /* NULL-terminated; NULL: everybody */
    uint32_t tag;
    uint16_t vr;
    bool is_prefix;
    bool if_empty;
    char *text;
};

struct coercion_rules {
    struct rule rules[COERCION_RULES_MAX]; /* by tag, those of one tag in the order given */
    size_t count;
};

bool coercion_is_possible(uint32_t tag)
{
    const struct dictionary_entry *entry = dictionary_find(tag);
    if (!entry || tag >> 16 < 8 || tag >> 16 > 0x0040)
        return false;
    switch (entry->vr) {
    case VR_AE:
    case VR_CS:
    case VR_LO:
    case VR_PN:
    case VR_SH:
        return true;
    default:
        return false;
    }
}

static bool is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7F)
            return false;
    return strlen(text) <= 64;
}

static char **copy_titles(const char *const *titles)
{
    size_t count = 0;
    while (titles && titles[count])
        count++;
    if (!count)
        return NULL;
    char **copy = mem_alloc_array(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = mem_copy_text(titles[i]);
    return copy;
}

static bool check_rule(const struct coercion_rule *rule, struct error *err)
{
    const char *text = rule->set ? rule->set : rule->prefix;
    if (!coercion_is_possible(rule->tag))
        return error_set(err, ERROR_INVALID, "(%04X,%04X) cannot be coerced", rule->tag >> 16,
                         rule->tag & 0xFFFF);
    if (!text || (rule->set && rule->prefix))
        return error_set(err, ERROR_INVALID, "a coercion either sets a value or puts one before");
    if (!is_plain(text) || (rule->prefix && !*text))
        return error_set(err, ERROR_INVALID, "a coerced value has up to 64 characters of ASCII");
    if (rule->prefix && rule->tag == TAG_SPECIFIC_CHARACTER_SET)
        return error_set(err, ERROR_INVALID, "a character set takes no prefix");
    return true;
}

static void insert(struct coercion_rules *rules, const struct coercion_rule *rule)
{
    size_t at = rules->count++;
    for (; at && rules->rules[at - 1].tag > rule->tag; at--)
        rules->rules[at] = rules->rules[at - 1];
    rules->rules[at] = (struct rule){
        .titles = copy_titles(rule->calling_ae_titles),
        .tag = rule->tag,
        .vr = dictionary_find(rule->tag)->vr,
        .is_prefix = !rule->set,
        .if_empty = rule->if_empty,
        .text = mem_copy_text(rule->set ? rule->set : rule->prefix),
    };
}

bool coercion_rules_new(const struct coercion_rule *rules, size_t count,
                        struct coercion_rules **out, struct error *err)
{
    if (count > COERCION_RULES_MAX)
        return error_set(err, ERROR_LIMIT, "more than %d coercions", COERCION_RULES_MAX);
    for (size_t i = 0; i < count; i++)
        if (!check_rule(&rules[i], err))
            return false;
    *out = mem_alloc(sizeof(**out));
    for (size_t i = 0; i < count; i++)
        insert(*out, &rules[i]);
    return true;
}

void coercion_rules_free(struct coercion_rules *rules)
{
    for (size_t i = 0; rules && i < rules->count; i++) {
        for (char **title = rules->rules[i].titles; title && *title; title++)
            free(*title);
        free(rules->rules[i].titles);
        free(rules->rules[i].text);
    }
    free(rules);
}

static bool applies(const struct rule *rule, const char *calling_ae)
{
    for (char **title = rule->titles; title && *title; title++)
        if (strcmp(*title, calling_ae) == 0)
            return true;
    return !rule->titles;
}

bool coercion_rules_apply_to(const struct coercion_rules *rules, const char *calling_ae)
{
    for (size_t i = 0; rules && i < rules->count; i++)
        if (applies(&rules->rules[i], calling_ae))
            return true;
    return false;
}

bool archive_coerces(const struct archive *archive, const char *calling_ae)
{
    return coercion_rules_apply_to(archive->coercion, calling_ae);
}

/* The value that a rule makes of the present one; false when it leaves it. */
static bool change(const struct rule *rule, struct buffer *value)
{
    struct slice old = fold_trim(buffer_slice(value));
    struct buffer changed = buffer_up_to(COERCED_VALUE_MAX + 128);
    bool is_changed;
    if (rule->is_prefix) {
        is_changed = old.size && !slice_starts_with(old, slice_text(rule->text));
        buffer_append_text(&changed, rule->text);
        buffer_append(&changed, old);
    } else {
        is_changed = !slice_equal(old, slice_text(rule->text)) && !(rule->if_empty && old.size);
        buffer_append_text(&changed, rule->text);
    }
    if (is_changed) {
        buffer_release(value);
        *value = changed;
    } else {
        buffer_release(&changed);
    }
    return is_changed;
}

bool coercion_set_make(const struct coercion_rules *rules, const char *calling_ae,
                       const struct dataset *header, struct coercion_set *set, struct error *err)
{
    set->count = 0;
    for (size_t i = 0; rules && i < rules->count;) {
        uint32_t tag = rules->rules[i].tag;
        struct buffer value = buffer_up_to(COERCED_VALUE_MAX + 128);
        struct element element;
        bool is_changed = false;
        if (dataset_find(header, tag, &element)) {
            if (element.elided || element.size > COERCED_VALUE_MAX)
                return error_set_tag(err, ERROR_INVALID, tag, "a value is too long to be coerced");
            buffer_append(&value, element.value);
        }
        uint16_t vr = rules->rules[i].vr;
        for (; i < rules->count && rules->rules[i].tag == tag; i++)
            if (applies(&rules->rules[i], calling_ae))
                is_changed |= change(&rules->rules[i], &value);
        if (!is_changed) {
            buffer_release(&value);
            continue;
        }
        set->values[set->count] = value;
        set->coercions[set->count] = (struct coercion){
            .tag = tag,
            .vr = vr,
            .corrects = tag == TAG_SPECIFIC_CHARACTER_SET,
            .value = buffer_slice(&set->values[set->count]),
        };
        set->count++;
    }
    return true;
}

void coercion_set_release(struct coercion_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        buffer_release(&set->values[i]);
    set->count = 0;
}

void coercion_date_time(char date_time[27])
{
    char text[CLOCK_TEXT_SIZE]; /* 2026-01-02T03:04:05.678Z */
    clock_format_utc(clock_unix_ms(), text);
    snprintf(date_time, 27, "%.4s%.2s%.2s%.2s%.2s%.2s.%.3s000+0000", text, text + 5, text + 8,
             text + 11, text + 14, text + 17, text + 20);
}
