/* SPDX-License-Identifier: MIT */
#include "archive/row.h"

#include <stdio.h>

#include "archive/lookup.h"
#include "archive/tally.h"

void row_init(struct row *row, struct archive *archive)
{
    memset(row, 0, sizeof(*row));
    row->archive = archive;
    study_record_init(&row->study);
    series_record_init(&row->series);
    instance_record_init(&row->instance);
    row->document = document_init();
}

static void forget_below(struct row *row, enum level level)
{
    for (int i = level; i <= LEVEL_INSTANCE; i++) {
        dataset_close(row->summaries[i]);
        row->summaries[i] = NULL;
        zone_copy_release(&row->copies[i]);
    }
}

void row_release(struct row *row)
{
    forget_below(row, LEVEL_PATIENT);
    study_record_release(&row->study);
    series_record_release(&row->series);
    instance_record_release(&row->instance);
    document_release(&row->document);
    zone_copy_release(&row->document_copy);
}

void row_set_zone(struct row *row, struct slice offset)
{
    zone_init(&row->zone, offset);
}

bool row_is_of_unknown_zone(const struct row *row, uint32_t tag)
{
    return tag == TAG_TIMEZONE_OFFSET_FROM_UTC && row->zone.text[0];
}

/* The zone of a study is that of all below it which says nothing else. */
static bool say_in_zone(struct row *row, const struct dataset *dataset, struct zone_copy *copy,
                        struct error *err)
{
    return !row->zone.text[0] ||
           zone_copy_make(copy, dataset, row->stored.text[0] ? &row->stored : NULL, &row->zone,
                          err);
}

static bool open_summary(struct row *row, enum level level, const struct summary *summary,
                         struct error *err)
{
    return dataset_open(buffer_slice(&summary->bytes),
                        transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                        &row->summaries[level], err) &&
           say_in_zone(row, row->summaries[level], &row->copies[level], err);
}

/* As it is said. */
static const struct dataset *summary_at(const struct row *row, enum level level)
{
    return row->copies[level].dataset ? row->copies[level].dataset : row->summaries[level];
}

static void read_zone(struct row *row)
{
    char text[ZONE_SIZE + 1] = "";
    dataset_string(row->summaries[LEVEL_STUDY], TAG_TIMEZONE_OFFSET_FROM_UTC, text, sizeof(text));
    zone_init(&row->stored, slice_text(text));
}

bool row_load_study(struct row *row, const char *study, bool *found, struct error *err)
{
    forget_below(row, LEVEL_PATIENT);
    row->has_patient = false;
    snprintf(row->place.study, UID_SIZE, "%s", study);
    row->place.series[0] = '\0';
    row->place.instance[0] = '\0';
    memset(&row->stored, 0, sizeof(row->stored));
    if (!lookup_study(row->archive, study, &row->study, found, err) ||
        (*found && !open_summary(row, LEVEL_STUDY, &row->study.summary, err)))
        return false;
    if (*found && row->zone.text[0])
        read_zone(row);
    return true;
}

bool row_set_series(struct row *row, const char *series, struct slice record, struct error *err)
{
    forget_below(row, LEVEL_SERIES);
    snprintf(row->place.series, UID_SIZE, "%s", series);
    row->place.instance[0] = '\0';
    return series_record_decode(record, &row->series, err) &&
           open_summary(row, LEVEL_SERIES, &row->series.summary, err);
}

bool row_set_instance(struct row *row, const char *instance, struct slice record, struct error *err)
{
    forget_below(row, LEVEL_INSTANCE);
    snprintf(row->place.instance, UID_SIZE, "%s", instance);
    return instance_record_decode(record, &row->instance, err) &&
           open_summary(row, LEVEL_INSTANCE, &row->instance.summary, err);
}

/* What is not stored but known (PS3.4 C.3.4, PS3.18 10.6.3.3). */
struct computed {
    uint32_t tag;
    enum level level; /* at this one and below */
    uint16_t vr;
    bool (*write)(struct row *row, enum level level, struct buffer *text, struct error *err);
};

static bool write_level(struct row *row, enum level level, struct buffer *text, struct error *err)
{
    static const char *const names[] = { "PATIENT", "STUDY", "SERIES", "IMAGE" };
    (void)row;
    (void)err;
    return buffer_append_text(text, names[level]);
}

static bool write_ae_title(struct row *row, enum level level, struct buffer *text,
                           struct error *err)
{
    (void)level;
    (void)err;
    return buffer_append_text(text, row->archive->ae_title);
}

static bool write_availability(struct row *row, enum level level, struct buffer *text,
                               struct error *err)
{
    (void)row;
    (void)level;
    (void)err;
    return buffer_append_text(text, "ONLINE");
}

static bool write_tally(const struct buffer *tally, struct buffer *text)
{
    size_t position = 0;
    struct slice name;
    uint32_t count;
    while (tally_next(buffer_slice(tally), &position, &name, &count)) {
        if (text->size)
            buffer_append_byte(text, '\\');
        buffer_append(text, name);
    }
    return true;
}

static bool write_modalities(struct row *row, enum level level, struct buffer *text,
                             struct error *err)
{
    (void)level;
    (void)err;
    return write_tally(&row->study.modalities, text);
}

static bool write_sop_classes(struct row *row, enum level level, struct buffer *text,
                              struct error *err)
{
    (void)level;
    (void)err;
    return write_tally(&row->study.sop_classes, text);
}

static bool write_number(struct buffer *text, uint64_t number)
{
    return buffer_append_format(text, "%llu", (unsigned long long)number);
}

static bool load_patient(struct row *row, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    bool found;
    if (row->has_patient)
        return true;
    memset(&row->patient, 0, sizeof(row->patient));
    key_start(&key, RECORD_PATIENT);
    key_add(&key, buffer_slice(&row->study.patient_key));
    bool ok = storage_get(row->archive->storage, TABLE_RECORD, key_slice(&key), &bytes, &found,
                          err) &&
              (!found || patient_record_decode(buffer_slice(&bytes), &row->patient, err));
    buffer_release(&bytes);
    row->has_patient = ok;
    return ok;
}

bool row_load_patient(struct row *row, bool *found, struct error *err)
{
    bool ok = load_patient(row, err);
    *found = ok && row->patient.studies > 0;
    return ok;
}

static bool write_patient_studies(struct row *row, enum level level, struct buffer *text,
                                  struct error *err)
{
    (void)level;
    return load_patient(row, err) && write_number(text, row->patient.studies);
}

static bool write_patient_series(struct row *row, enum level level, struct buffer *text,
                                 struct error *err)
{
    (void)level;
    return load_patient(row, err) && write_number(text, row->patient.series);
}

static bool write_patient_instances(struct row *row, enum level level, struct buffer *text,
                                    struct error *err)
{
    (void)level;
    return load_patient(row, err) && write_number(text, row->patient.instances);
}

static bool write_study_series(struct row *row, enum level level, struct buffer *text,
                               struct error *err)
{
    (void)level;
    (void)err;
    return write_number(text, row->study.series);
}

static bool write_study_instances(struct row *row, enum level level, struct buffer *text,
                                  struct error *err)
{
    (void)level;
    (void)err;
    return write_number(text, row->study.instances);
}

static bool write_series_instances(struct row *row, enum level level, struct buffer *text,
                                   struct error *err)
{
    (void)level;
    (void)err;
    return write_number(text, row->series.instances);
}

static bool write_study_uid(struct row *row, enum level level, struct buffer *text,
                            struct error *err)
{
    (void)level;
    (void)err;
    return buffer_append_text(text, row->place.study);
}

static bool write_series_uid(struct row *row, enum level level, struct buffer *text,
                             struct error *err)
{
    (void)level;
    (void)err;
    return buffer_append_text(text, row->place.series);
}

static bool write_instance_uid(struct row *row, enum level level, struct buffer *text,
                               struct error *err)
{
    (void)level;
    (void)err;
    return buffer_append_text(text, row->place.instance);
}

static const struct computed computed_attributes[] = {
    { TAG_SOP_INSTANCE_UID, LEVEL_INSTANCE, VR_UI, write_instance_uid },
    { TAG_QUERY_RETRIEVE_LEVEL, LEVEL_PATIENT, VR_CS, write_level },
    { TAG_RETRIEVE_AE_TITLE, LEVEL_PATIENT, VR_AE, write_ae_title },
    { TAG_INSTANCE_AVAILABILITY, LEVEL_PATIENT, VR_CS, write_availability },
    { TAG_MODALITIES_IN_STUDY, LEVEL_STUDY, VR_CS, write_modalities },
    { TAG_SOP_CLASSES_IN_STUDY, LEVEL_STUDY, VR_UI, write_sop_classes },
    { TAG_STUDY_INSTANCE_UID, LEVEL_STUDY, VR_UI, write_study_uid },
    { TAG_SERIES_INSTANCE_UID, LEVEL_SERIES, VR_UI, write_series_uid },
    { TAG_NUMBER_OF_PATIENT_RELATED_STUDIES, LEVEL_PATIENT, VR_IS, write_patient_studies },
    { TAG_NUMBER_OF_PATIENT_RELATED_SERIES, LEVEL_PATIENT, VR_IS, write_patient_series },
    { TAG_NUMBER_OF_PATIENT_RELATED_INSTANCES, LEVEL_PATIENT, VR_IS, write_patient_instances },
    { TAG_NUMBER_OF_STUDY_RELATED_SERIES, LEVEL_STUDY, VR_IS, write_study_series },
    { TAG_NUMBER_OF_STUDY_RELATED_INSTANCES, LEVEL_STUDY, VR_IS, write_study_instances },
    { TAG_NUMBER_OF_SERIES_RELATED_INSTANCES, LEVEL_SERIES, VR_IS, write_series_instances },
};

static const struct computed *find_computed(uint32_t tag, enum level level)
{
    for (size_t i = 0; i < sizeof(computed_attributes) / sizeof(computed_attributes[0]); i++) {
        const struct computed *computed = &computed_attributes[i];
        if (computed->tag == tag && computed->level <= level)
            return computed;
    }
    return NULL;
}

enum level row_attribute_level(uint32_t tag, enum level level)
{
    enum level own;
    const struct computed *computed = find_computed(tag, level);
    if (tag == TAG_QUERY_RETRIEVE_LEVEL)
        return level;
    if (computed)
        return computed->level;
    return attribute_level(tag, &own) && own < level ? own : level;
}

bool row_can_tell(uint32_t tag, enum level level)
{
    enum level own;
    if (find_computed(tag, LEVEL_INSTANCE) && tag != TAG_QUERY_RETRIEVE_LEVEL)
        return find_computed(tag, level) != NULL;
    return !attribute_level(tag, &own) || own <= level;
}

bool row_header(struct row *row, enum level level, const struct dataset **header, struct error *err)
{
    struct identity place = row->place;
    bool found = true;
    if (level <= LEVEL_STUDY)
        memcpy(place.series, row->study.source_series, UID_SIZE);
    if (level <= LEVEL_STUDY)
        memcpy(place.instance, row->study.source_instance, UID_SIZE);
    else if (level == LEVEL_SERIES)
        memcpy(place.instance, row->series.source_instance, UID_SIZE);
    struct identity *loaded = &row->document_place;
    bool is_loaded = row->document.dataset && strcmp(loaded->instance, place.instance) == 0 &&
                     strcmp(loaded->series, place.series) == 0 &&
                     strcmp(loaded->study, place.study) == 0;
    if (!is_loaded) {
        zone_copy_release(&row->document_copy);
        if (!document_load(row->archive, &place, &row->document, &found, err) ||
            (found && !say_in_zone(row, row->document.dataset, &row->document_copy, err)))
            return false;
    }
    *loaded = place;
    *header = row->document_copy.dataset ? row->document_copy.dataset
              : found                    ? row->document.dataset
                                         : NULL;
    return true;
}

/* The summary that has an attribute of the table, seen from `level`; *complete tells that an
 * attribute which is not in it is not there at all. */
static const struct dataset *find_summary(const struct row *row, enum level level, uint32_t tag,
                                          bool *complete)
{
    enum level own;
    *complete = false;
    if (!attribute_level(tag, &own) || own > (level == LEVEL_PATIENT ? LEVEL_STUDY : level))
        return NULL;
    if (own <= LEVEL_STUDY) {
        *complete = !row->study.summary.partial;
        return summary_at(row, LEVEL_STUDY);
    }
    *complete = own == LEVEL_SERIES ? !row->series.summary.partial : !row->instance.summary.partial;
    return summary_at(row, own);
}

void row_set_creators(struct row *row, const struct row_creator *creators, size_t count)
{
    row->creators = creators;
    row->creator_count = count;
}

static bool is_creator_here(const struct dataset *header, uint32_t tag, struct slice name)
{
    struct buffer text = buffer_up_to(ROW_TEXT_SIZE);
    bool is_it = dataset_text(header, tag, &text) && slice_equal(buffer_slice(&text), name);
    buffer_release(&text);
    return is_it;
}

bool row_private_tag(const struct dataset *header, const struct row_creator *creator, uint32_t tag,
                     uint32_t *here)
{
    uint32_t group = tag & 0xFFFF0000;
    struct walk walk = dataset_walk(header);
    struct element element = { 0 };
    uint32_t block = creator->tag;
    bool found = is_creator_here(header, block, creator->name);
    while (!found && walk_next(&walk, &element) != WALK_END) {
        if (walk.depth == 0 && element.tag > (group | 0xFF))
            break;
        block = element.tag;
        found = walk.depth == 0 && block >= (group | 0x10) && block <= (group | 0xFF) &&
                is_creator_here(header, block, creator->name);
    }
    *here = tag == creator->tag ? block : group | (block & 0xFF) << 8 | (tag & 0xFF);
    return found;
}

static const struct row_creator *find_creator(const struct row *row, uint32_t tag)
{
    uint32_t creator = tag & 0xFFFF ? (tag & 0xFFFF0000) | (tag >> 8 & 0xFF) : 0;
    for (size_t i = 0; tag_is_private(tag) && i < row->creator_count; i++)
        if (row->creators[i].tag == tag || row->creators[i].tag == creator)
            return &row->creators[i];
    return NULL;
}

bool row_find(struct row *row, enum level level, uint32_t tag, struct buffer *scratch,
              struct row_value *value, bool *found, struct error *err)
{
    struct element element;
    bool complete;
    const struct computed *computed = find_computed(tag, level);
    value->source = NULL;
    value->tag = tag;
    if (computed) {
        buffer_clear(scratch);
        value->vr = computed->vr;
        *found = true;
        bool ok = computed->write(row, level, scratch, err);
        value->text = buffer_slice(scratch);
        return ok;
    }
    const struct dataset *summary = find_summary(row, level, tag, &complete);
    if (!summary || (!complete && !dataset_find(summary, tag, &element))) {
        if (!row_header(row, level, &summary, err))
            return false;
    }
    const struct row_creator *creator = find_creator(row, tag);
    *found = summary && (!creator || row_private_tag(summary, creator, tag, &value->tag)) &&
             dataset_find(summary, value->tag, &element);
    value->source = *found ? summary : NULL;
    return true;
}

bool row_text(struct row *row, enum level level, uint32_t tag, struct buffer *text,
              struct error *err)
{
    struct row_value value;
    bool found;
    if (!row_find(row, level, tag, text, &value, &found, err))
        return false;
    if (found && !value.source)
        return true;
    buffer_clear(text);
    if (found)
        dataset_text(value.source, value.tag, text);
    return true;
}
