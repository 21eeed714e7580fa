/* SPDX-License-Identifier: MIT */
#pragma once
/* The one way out behind C-MOVE, C-GET and WADO-RS: instances of a patient, study, series or list,
 * by series number and instance number and then UID; each with its header, its file and its frames.
 * A cursor or instance belongs to one thread at a time. Bytes whose reading has begun can be read
 * to their end even when the instance is deleted meanwhile; what is first asked for after that
 * fails with ERROR_GONE. */

#include "archive/archive.h"
#include "base/file_range.h"
#include "dicom/dataset.h"
#include "dicom/frames.h"

/* What to retrieve. NULL or empty: all. Lists hold backslash-separated UIDs as in a C-MOVE
 * identifier. */
struct selection {
    const char *patient_id; /* Patient Root only */
    const char *studies;
    const char *series;
    const char *instances;
};

struct retrieve;
struct instance;

/* An empty selection of any level finds nothing, it is no error. */
bool retrieve_open(struct archive *archive, const struct selection *selection,
                   struct retrieve **out, struct error *err);
uint64_t retrieve_count(const struct retrieve *retrieve); /* instances in all */
/* The transfer syntax of the instance at `index` (from 0, below the count) as of the opening, when
 * all that is retrieved belongs to one study; else NULL. Borrowed until the first step. */
const char *retrieve_syntax(const struct retrieve *retrieve, uint64_t index);
/* The next one, or *instance NULL at the end. Borrowed until the next call. */
bool retrieve_next(struct retrieve *retrieve, struct instance **instance, struct error *err);
/* Leaves out the next `count` of the list, whose records are not read. */
bool retrieve_skip(struct retrieve *retrieve, uint64_t count, struct error *err);
/* Back to before the first one: the same instances once more, without those that were deleted. */
void retrieve_rewind(struct retrieve *retrieve);
void retrieve_close(struct retrieve *retrieve);

/* One instance by its place. ERROR_NOT_FOUND, or ERROR_GONE when it was deleted. Close it. */
bool instance_open(struct archive *archive, const char *study, const char *series,
                   const char *sop_instance, struct instance **out, struct error *err);
void instance_close(struct instance *instance);

/* Does this study, series (NULL: not asked) exist? ERROR_NOT_FOUND, ERROR_GONE. */
bool archive_find(struct archive *archive, const char *study, const char *series,
                  struct error *err);

const struct identity *instance_identity(const struct instance *instance);
const struct transfer_syntax *instance_syntax(const struct instance *instance);
const char *
instance_syntax_uid(const struct instance *instance); /* as received, private ones too */
/* Who sent it to us: an AE title, "" when that is not known. */
const char *instance_source_ae(const struct instance *instance);
uint64_t instance_stored_at_ms(const struct instance *instance); /* Unix time */
/* Of the stored bytes: fit for an ETag. */
uint32_t instance_checksum(const struct instance *instance);

/* The header: the data set with big values elided (dicom/dataset.h). Read on first use, then
 * borrowed. */
bool instance_header(struct instance *instance, const struct dataset **header, struct error *err);
/* The compact table of dicom/frames.h, empty for an object without frames. Borrowed. */
bool instance_frames(struct instance *instance, struct slice *table, struct error *err);

/* The stored bytes. Ranges stay valid until instance_close (or the cursor's next step). `data set`
 * is what stands behind the File Meta, in the stored transfer syntax. */
bool instance_file(struct instance *instance, struct file_range *file, struct error *err);
bool instance_dataset(struct instance *instance, struct file_range *dataset, struct error *err);
/* Reads a part of the data set; `space` is filled whole. */
bool instance_read(struct instance *instance, uint64_t offset, struct space space,
                   struct error *err);
/* A part of the data set as a range of a file. The offset must lie within it (an elision, a
 * fragment). Not for deflated objects: ERROR_UNSUPPORTED; read those by instance_read_inflated. */
bool instance_range(struct instance *instance, uint64_t offset, uint64_t size,
                    struct file_range *range, struct error *err);
/* Reads a part of the data set as inflated, which is what the offsets of header and frames mean;
 * of any other object the same as instance_read. Cheap from front to back; a step back inflates
 * from the start again. */
bool instance_read_inflated(struct instance *instance, uint64_t offset, struct space space,
                            struct error *err);
