/* SPDX-License-Identifier: MIT */
/* The data set of a step: what is told of it, over what is known, completed to an entry of the
 * Modality Worklist (PS3.4 table K.6-1). */
#include <stdio.h>
#include <time.h>

#include "dicom/date_time.h"
#include "worklist/edit.h"
#include "worklist/step_parts.h"

enum { NUMBER_SIZE = 65 /* LO */, TEXT_SIZE = 1024 };

static bool check_one(const struct dataset *dataset, uint32_t tag,
                      bool (*parse)(struct slice, struct time_span *), const char *what,
                      struct error *err)
{
    char text[64];
    struct time_span span;
    return !dataset_string(dataset, tag, text, sizeof(text)) || parse(slice_text(text), &span) ||
           error_set_tag(err, ERROR_INVALID, tag, "(%04X,%04X) is no %s", tag >> 16, tag & 0xFFFF,
                         what);
}

static bool check_item(const struct dataset *item, struct error *err)
{
    char text[64];
    if (dataset_string(item, TAG_SCHEDULED_STATION_AE_TITLE, text, sizeof(text)) &&
        strlen(text) > 16)
        return error_set_tag(err, ERROR_INVALID, TAG_SCHEDULED_STATION_AE_TITLE,
                             "(0040,0001) is no AE title");
    return check_one(item, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE, date_parse, "date", err) &&
           check_one(item, TAG_SCHEDULED_PROCEDURE_STEP_START_TIME, time_parse, "time", err);
}

bool step_entry_read(const struct dataset *dataset, struct step_entry *entry, struct error *err)
{
    char uid[UID_SIZE + 1];
    memset(entry, 0, sizeof(*entry));
    entry->dataset = dataset;
    if (dataset_item_count(dataset, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE) != 1)
        return error_set_tag(err, ERROR_INVALID, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE,
                             "(0040,0100) must have one item");
    dataset_string(dataset, TAG_REQUESTED_PROCEDURE_ID, entry->procedure_id,
                   sizeof(entry->procedure_id));
    dataset_string(dataset, TAG_ACCESSION_NUMBER, entry->accession, sizeof(entry->accession));
    if (dataset_string(dataset, TAG_STUDY_INSTANCE_UID, uid, sizeof(uid)) && !uid_is_valid(uid))
        return error_set_tag(err, ERROR_INVALID, TAG_STUDY_INSTANCE_UID, "(0020,000D) is no UID");
    dataset_uid(dataset, TAG_STUDY_INSTANCE_UID, entry->study_uid);
    struct dataset *item = dataset_item(dataset, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, 0);
    if (!item)
        return error_set_tag(err, ERROR_INVALID, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE,
                             "(0040,0100) cannot be read");
    dataset_string(item, TAG_SCHEDULED_PROCEDURE_STEP_ID, entry->id, sizeof(entry->id));
    bool ok = check_item(item, err);
    dataset_close(item);
    return ok;
}

/* What was put together so far, read back: what is still missing is told by it. */
static bool reread(struct edit *edit, struct buffer *bytes, struct dataset **out, struct error *err)
{
    dataset_close(*out);
    *out = NULL;
    return edit_write(edit, bytes, err) &&
           dataset_open(buffer_slice(bytes),
                        transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0, out,
                        err);
}

static bool has(const struct dataset *dataset, uint32_t tag)
{
    char text[8];
    return dataset_string(dataset, tag, text, sizeof(text));
}

static void fill(struct edit *edit, const struct dataset *dataset, uint32_t tag, const char *text)
{
    if (!has(dataset, tag) && text && text[0])
        edit_text(edit, tag, text);
}

/* In the zone of this machine, as schedules are. */
static void local_time(int64_t at_us, char date[DATE_TEXT_SIZE], char clock[TIME_TEXT_SIZE])
{
    time_t seconds = (time_t)(at_us / 1000000);
    struct tm tm = { 0 };
    localtime_r(&seconds, &tm);
    int64_t day_us = ((int64_t)seconds + tm.tm_gmtoff) * 1000000;
    date_format(day_us, date);
    snprintf(clock, TIME_TEXT_SIZE, "%02d%02d%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Description and code of one level are of type 1C: one of them must be there. */
static void fill_description(struct edit *edit, const struct dataset *dataset, uint32_t description,
                             uint32_t code, const struct dataset *other, uint32_t other_description)
{
    char text[65] = "";
    if (has(dataset, description) || dataset_item_count(dataset, code))
        return;
    if (!other || !dataset_string(other, other_description, text, sizeof(text)))
        snprintf(text, sizeof(text), "unspecified");
    edit_text(edit, description, text);
}

static void fill_item(struct edit *edit, const struct dataset *item, const struct dataset *top,
                      const struct step_defaults *defaults)
{
    char date[DATE_TEXT_SIZE], clock[TIME_TEXT_SIZE];
    local_time(defaults->message_us, date, clock);
    bool has_date = has(item, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE);
    fill(edit, item, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE, date);
    fill(edit, item, TAG_SCHEDULED_PROCEDURE_STEP_START_TIME, has_date ? "000000" : clock);
    fill(edit, item, TAG_SCHEDULED_STATION_AE_TITLE, "UNKNOWN");
    fill(edit, item, TAG_MODALITY, "OT");
    fill(edit, item, TAG_SCHEDULED_PROCEDURE_STEP_ID, defaults->id);
    fill_description(edit, item, TAG_SCHEDULED_PROCEDURE_STEP_DESCRIPTION,
                     TAG_SCHEDULED_PROTOCOL_CODE_SEQUENCE, top,
                     TAG_REQUESTED_PROCEDURE_DESCRIPTION);
}

/* An order number without its assigner, as LO has it. */
static const char *plain_number(const char *number, char plain[NUMBER_SIZE])
{
    snprintf(plain, NUMBER_SIZE, "%.*s", (int)strcspn(number ? number : "", "^\\"),
             number ? number : "");
    return plain;
}

static void fill_top(struct edit *edit, const struct dataset *top, const struct dataset *item,
                     const struct step_defaults *defaults)
{
    char number[NUMBER_SIZE];
    fill(edit, top, TAG_REQUESTED_PROCEDURE_ID, defaults->procedure_id);
    fill(edit, top, TAG_STUDY_INSTANCE_UID, defaults->study_uid);
    fill(edit, top, TAG_PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
         plain_number(defaults->placer, number));
    fill(edit, top, TAG_FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
         plain_number(defaults->filler, number));
    fill_description(edit, top, TAG_REQUESTED_PROCEDURE_DESCRIPTION,
                     TAG_REQUESTED_PROCEDURE_CODE_SEQUENCE, item,
                     TAG_SCHEDULED_PROCEDURE_STEP_DESCRIPTION);
}

static bool link_attribute(struct object *step, char link, const struct dataset *dataset,
                           uint32_t tag, struct error *err)
{
    char text[OBJECT_LINK_LIMIT + 1] = "";
    dataset_string(dataset, tag, text, sizeof(text));
    if (text[0] && object_is_linked(step, link, slice_text(text)))
        return true; /* and it is the only one: the order of links stays as it was */
    object_unlink(step, link);
    return object_link(step, link, slice_text(text), err);
}

/* A number that was told before stays beside one that is told now: the order is known by both. */
static bool add_links(struct object *step, const struct dataset *top, const struct dataset *item,
                      const struct step_defaults *defaults, struct error *err)
{
    return link_attribute(step, STEP_BY_ACCESSION, top, TAG_ACCESSION_NUMBER, err) &&
           link_attribute(step, STEP_BY_STUDY, top, TAG_STUDY_INSTANCE_UID, err) &&
           link_attribute(step, STEP_BY_ID, item, TAG_SCHEDULED_PROCEDURE_STEP_ID, err) &&
           object_link(step, STEP_BY_PLACER, slice_text(defaults->placer), err) &&
           object_link(step, STEP_BY_FILLER, slice_text(defaults->filler), err);
}

static bool check_patient(const struct dataset *top, struct error *err)
{
    if (!has(top, TAG_PATIENT_NAME))
        return error_set_tag(err, ERROR_INVALID, TAG_PATIENT_NAME, "there is no Patient's Name");
    return has(top, TAG_PATIENT_ID) ||
           error_set_tag(err, ERROR_INVALID, TAG_PATIENT_ID, "there is no Patient ID");
}

/* The one item, as it was and as it is told now, without what only this server says. */
static void gather_item(struct edit *edit, const struct dataset *known, const struct dataset *told)
{
    struct dataset *item;
    if (known && (item = dataset_item(known, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, 0))) {
        edit_copy_all(edit, item);
        dataset_close(item);
    }
    if (told && (item = dataset_item(told, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, 0))) {
        edit_copy_all(edit, item);
        dataset_close(item);
    }
}

bool step_compose(struct object *step, const struct dataset *told,
                  const struct step_defaults *defaults, struct error *err)
{
    struct edit top = edit_init(), item = edit_init();
    struct buffer top_bytes = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct buffer item_bytes = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct dataset *known = NULL, *top_dataset = NULL, *item_dataset = NULL;
    bool ok = !step->dataset.size || object_dataset(step, &known, err);
    if (!ok)
        goto out;
    edit_copy_all(&top, known);
    edit_copy_all(&top, told);
    edit_remove(&top, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE);
    gather_item(&item, known, told);
    ok = reread(&top, &top_bytes, &top_dataset, err) &&
         reread(&item, &item_bytes, &item_dataset, err) && check_patient(top_dataset, err);
    if (!ok)
        goto out;
    fill_item(&item, item_dataset, top_dataset, defaults);
    ok = reread(&item, &item_bytes, &item_dataset, err);
    if (!ok)
        goto out;
    fill_top(&top, top_dataset, item_dataset, defaults);
    edit_item(&top, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE, &item);
    ok = reread(&top, &top_bytes, &top_dataset, err) &&
         add_links(step, top_dataset, item_dataset, defaults, err);
    if (ok) {
        buffer_clear(&step->dataset);
        buffer_append(&step->dataset, buffer_slice(&top_bytes));
    }
out:
    dataset_close(known);
    dataset_close(top_dataset);
    dataset_close(item_dataset);
    buffer_release(&top_bytes);
    buffer_release(&item_bytes);
    edit_release(&top);
    edit_release(&item);
    return ok;
}
