/* SPDX-License-Identifier: MIT */
#pragma once
/* Data sets read from their models, DICOM JSON (PS3.18 annex F) or Native DICOM Model XML (PS3.19
 * annex A), while the document arrives: bytes are fed, data sets pulled. No tree is built, and
 * there is no recursion; depth, sizes and counts are bounded. One thread at a time.
 *
 * What is no JSON or XML at all, or beyond a limit, ends the document. What is well formed and no
 * attribute (a bad tag, an unknown VR, a number as a person's name) is the fault of its data set;
 * the next one is read. */

#include "base/buffer.h"
#include "base/error.h"
#include "dicom/uid.h"

enum model_document { MODEL_JSON, MODEL_XML };

/* A value that is not in the document (BulkDataURI, BulkData). Its element is in the data set up to
 * its tag: VR, length and value belong at `offset`. */
struct model_reference {
    size_t offset;
    uint32_t tag;
    uint16_t vr;
    bool nested; /* in an item */
    struct slice uri;
};

/* What an image must be known by to be put together with its pixels (PS3.3 C.7.6.3), of the top
 * level. */
enum model_pixel_attribute {
    PIXEL_SAMPLES_PER_PIXEL,
    PIXEL_PHOTOMETRIC_INTERPRETATION,
    PIXEL_PLANAR_CONFIGURATION,
    PIXEL_NUMBER_OF_FRAMES,
    PIXEL_ROWS,
    PIXEL_COLUMNS,
    PIXEL_BITS_ALLOCATED,
    PIXEL_BITS_STORED,
    PIXEL_HIGH_BIT,
    PIXEL_REPRESENTATION,
    PIXEL_ATTRIBUTE_COUNT,
};
uint32_t model_pixel_tag(enum model_pixel_attribute attribute);

struct model_pixels {
    struct {
        bool present;    /* with a value */
        uint32_t number; /* not of the photometric interpretation */
        size_t place;    /* where its element stands in the data set, or would */
        size_t size;     /* of the element there, 0: none */
    } attributes[PIXEL_ATTRIBUTE_COUNT];
    char photometric_interpretation[17];
};

/* Borrowed until the next call on the reader. */
struct model_dataset {
    struct error error; /* ERROR_NONE: it is readable, and all that follows holds */
    /* Explicit VR Little Endian, sequences and items of undefined length, tags ascending, text in
     * UTF-8 and (0008,0005) accordingly, no group 0000 or 0002, no group lengths. */
    struct slice bytes;
    const struct model_reference *references; /* by offset */
    size_t reference_count;
    struct model_pixels pixels;
    /* "" where the document has none, or more than a UID can be; these hold of unreadable ones,
     * too. */
    char sop_class[UID_SIZE];
    char instance[UID_SIZE];
    char study[UID_SIZE];
    char series[UID_SIZE];
    char transfer_syntax[UID_SIZE]; /* (0002,0010), which is not in the data set */
};

struct model_limits {
    size_t dataset_size; /* bytes of one data set and of one value, 0: 64 MiB */
    size_t references;   /* of one data set, 0: 100,000 */
};

struct model_reader;

/* `limits` may be NULL. */
struct model_reader *model_reader_new(enum model_document document,
                                      const struct model_limits *limits);
void model_reader_free(struct model_reader *reader);

/* Borrows `bytes` until MODEL_MORE says that they are used up; only then feed more. */
void model_reader_feed(struct model_reader *reader, struct slice bytes);
/* The document has ended. Events go on; instead of MODEL_MORE there is then MODEL_END or an error.
 */
void model_reader_finish(struct model_reader *reader);

enum model_event {
    MODEL_MORE,    /* nothing more in what was fed */
    MODEL_DATASET, /* one is complete */
    MODEL_END,     /* of the document */
};
/* ERROR_INVALID for what is no such document or beyond a limit; final. */
bool model_reader_next(struct model_reader *reader, enum model_event *event,
                       struct model_dataset *dataset, struct error *err);

/* The same when the whole document was fed: never MODEL_MORE. */
bool model_reader_next_of_all(struct model_reader *reader, enum model_event *event,
                              struct model_dataset *dataset, struct error *err);

/* Bytes that the reader holds by now, which grow with what it reads. */
size_t model_reader_memory(const struct model_reader *reader);
