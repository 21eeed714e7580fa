/* SPDX-License-Identifier: MIT */
#include "cast/search_keys.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cast/coding.h"

enum { DAY_MS = 24 * 60 * 60 * 1000 };
/* In the years 5 and 9968: dates that can be written down. */
#define EARLIEST_MS INT64_C(-62000000000000)
#define LATEST_MS   INT64_C(252400000000000)

static void add(struct search_keys *keys, enum level level, uint32_t tag, const char *text)
{
    if (keys->count == VIEW_KEYS || strlen(text) >= SEARCH_KEY_TEXT)
        return;
    char *copy = keys->texts[keys->count];
    snprintf(copy, SEARCH_KEY_TEXT, "%s", text);
    keys->keys[keys->count++] = (struct view_key){ level, tag, copy, false };
}

static void day_of(int64_t ms, char day[CLOCK_TEXT_SIZE])
{
    char text[CLOCK_TEXT_SIZE];
    clock_format_utc(ms, text);
    snprintf(day, CLOCK_TEXT_SIZE, "%.4s%.2s%.2s", text, text + 5, text + 8);
}

/* The days that all criteria of `started` leave. */
struct days {
    int64_t from_ms;
    int64_t to_ms;
};

static void narrow(struct days *days, const struct search_criterion *criterion)
{
    const struct search_value *value = &criterion->values[0];
    enum search_prefix prefix = value->prefix;
    if (criterion->count != 1)
        return;
    bool is_eq = prefix == PREFIX_EQ;
    if ((is_eq || prefix == PREFIX_GT || prefix == PREFIX_GE || prefix == PREFIX_SA) &&
        value->span.from_ms > days->from_ms)
        days->from_ms = value->span.from_ms;
    if ((is_eq || prefix == PREFIX_LT || prefix == PREFIX_LE || prefix == PREFIX_EB) &&
        value->span.to_ms < days->to_ms)
        days->to_ms = value->span.to_ms;
}

/* A date of DICOM's has no zone, so a day more on both sides. */
static void add_days(struct search_keys *keys, const struct days *days)
{
    char from[CLOCK_TEXT_SIZE] = "", to[CLOCK_TEXT_SIZE] = "", range[2 * CLOCK_TEXT_SIZE];
    if (days->from_ms > EARLIEST_MS)
        day_of(days->from_ms - DAY_MS, from);
    if (days->to_ms < LATEST_MS)
        day_of((days->to_ms > EARLIEST_MS ? days->to_ms : EARLIEST_MS) + DAY_MS, to);
    if (*from && *to && strcmp(from, to) > 0)
        snprintf(to, sizeof to, "%s", from); /* nothing fits, and a range has no reversed ends */
    snprintf(range, sizeof range, "%s-%s", from, to);
    if (*from || *to)
        add(keys, LEVEL_STUDY, TAG_STUDY_DATE, range);
}

static void add_modality(struct search_keys *keys, const struct search_criterion *criterion)
{
    const struct search_value *value = &criterion->values[0];
    if (criterion->count != 1 || !*value->text || strpbrk(value->text, "*?\\ ") ||
        (value->system && *value->system && strcmp(value->system, SYSTEM_DCM) != 0))
        return;
    add(keys, LEVEL_STUDY, TAG_MODALITIES_IN_STUDY, value->text);
}

static void add_sop_class(struct search_keys *keys, const struct search_criterion *criterion)
{
    static const char oid[] = "urn:oid:";
    const char *uid = criterion->values[0].text;
    if (strncmp(uid, oid, sizeof oid - 1) == 0)
        uid += sizeof oid - 1;
    if (criterion->count == 1 && uid_is_safe(slice_text(uid)))
        add(keys, LEVEL_STUDY, TAG_SOP_CLASSES_IN_STUDY, uid);
}

/* A word of Patient's Name is a word of the HumanName. */
static void add_name(struct search_keys *keys, const struct search_criterion *criterion)
{
    char pattern[SEARCH_KEY_TEXT];
    const char *text = criterion->values[0].text;
    if (criterion->count != 1 || !*text || strpbrk(text, "*?\\^= ") || strlen(text) > 100)
        return;
    snprintf(pattern, sizeof pattern, "*%s*", text);
    add(keys, LEVEL_PATIENT, TAG_PATIENT_NAME, pattern);
}

static bool is_name(const char *parameter)
{
    return !strcmp(parameter, "name") || !strcmp(parameter, "family") ||
           !strcmp(parameter, "given");
}

void search_keys_init(struct search_keys *keys, const struct search_request *request)
{
    bool is_patient = strcmp(request->type->name, "Patient") == 0;
    struct days days = { EARLIEST_MS, LATEST_MS };
    keys->count = 0;
    for (size_t i = 0; i < request->criterion_count; i++) {
        const struct search_criterion *criterion = &request->criteria[i];
        const char *name = criterion->parameter->name;
        if (criterion->of_patient || criterion->modifier == MODIFIER_MISSING ||
            criterion->modifier == MODIFIER_NOT)
            continue;
        if (strcmp(name, "started") == 0)
            narrow(&days, criterion);
        else if (strcmp(name, "modality") == 0)
            add_modality(keys, criterion);
        else if (strcmp(name, "dicom-class") == 0)
            add_sop_class(keys, criterion);
        else if (is_patient && is_name(name))
            add_name(keys, criterion);
    }
    add_days(keys, &days);
}
