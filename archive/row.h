/* SPDX-License-Identifier: MIT */
#pragma once
/* One match on its way through a query: the records of a place in the tree, and any attribute of
 * it, from where it stands: computed, from a summary, or from the stored header. Used again and
 * again in a walk. One thread at a time. */

#include "archive/core.h"
#include "archive/document.h"
#include "archive/records.h"
#include "dicom/encode.h"
#include "dicom/zone.h"

/* A private creator that keys name: (gggg,00bb), whose attributes are (gggg,bbxx) (PS3.5 7.8.1). */
struct row_creator {
    uint32_t tag;
    struct slice name;
};

struct row {
    struct archive *archive;
    struct identity place;
    struct study_record study;
    struct series_record series;
    struct instance_record instance;
    struct dataset *summaries[LEVEL_INSTANCE + 1]; /* of study, series, instance; else NULL */
    struct patient_record patient;
    bool has_patient;
    struct document document; /* the header that was needed last */
    struct identity document_place;
    struct zone zone;   /* that all of it is said in; "": as it is stored */
    struct zone stored; /* of the study; "": it does not say */
    struct zone_copy copies[LEVEL_INSTANCE + 1]; /* the summaries, said in the zone */
    struct zone_copy document_copy;
    const struct row_creator *creators;
    size_t creator_count;
};

void row_init(struct row *row, struct archive *archive);
void row_release(struct row *row);

/* Everything that is read from now on is said in this zone (archive/zone.h). */
void row_set_zone(struct row *row, struct slice offset);
/* Is this (0008,0201) of what does not say its zone? It is not answered then. */
bool row_is_of_unknown_zone(const struct row *row, uint32_t tag);

/* Attributes in the blocks of these are told from the block that the creator has in each header.
 * Borrowed. */
void row_set_creators(struct row *row, const struct row_creator *creators, size_t count);

/* *found false when the study is not (any more) there. What was below is forgotten. */
bool row_load_study(struct row *row, const char *study, bool *found, struct error *err);
/* *found false when the patient is not there any more: deleted with the last study, after the study
 * was loaded. */
bool row_load_patient(struct row *row, bool *found, struct error *err);
/* A series of the study, an instance of the series, by their encoded records. */
bool row_set_series(struct row *row, const char *series, struct slice record, struct error *err);
bool row_set_instance(struct row *row, const char *instance, struct slice record,
                      struct error *err);

/* At which level an attribute can first be told: that of the table, or of what it is computed from;
 * `level` for all others. Never below `level`. */
enum level row_attribute_level(uint32_t tag, enum level level);

/* Is it told at this level or above? What the table does not know is taken from the header that
 * stands for the level. */
bool row_can_tell(uint32_t tag, enum level level);

/* An attribute as seen from a level that is loaded. *found false when it is not known; else it is
 * a text (`text` is filled, UTF-8) or stands in *source. */
struct row_value {
    const struct dataset *source; /* NULL: computed, see text */
    uint32_t tag; /* under which it stands there: of a private one maybe in another block */
    struct slice text;
    uint16_t vr; /* of a computed one */
};
bool row_find(struct row *row, enum level level, uint32_t tag, struct buffer *scratch,
              struct row_value *value, bool *found, struct error *err);
/* Where a private attribute stands in a header in which its creator has maybe another block. False
 * when the creator has none. */
bool row_private_tag(const struct dataset *header, const struct row_creator *creator, uint32_t tag,
                     uint32_t *here);
/* As text: values with backslashes between, empty when not known. `text` is filled anew. */
bool row_text(struct row *row, enum level level, uint32_t tag, struct buffer *text,
              struct error *err);
/* The header of the instance that stands for the level; NULL when it is gone. */
bool row_header(struct row *row, enum level level, const struct dataset **header,
                struct error *err);

enum { ROW_TEXT_SIZE = 4 << 20 };
