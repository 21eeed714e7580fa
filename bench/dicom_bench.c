/* SPDX-License-Identifier: MIT */
/* What it costs to guard and to read a CT of 512 KiB with a header of about 5 KiB: the scan, in one
 * piece and as it comes in fragments from the network; opening what the scan kept; finding twenty
 * attributes; a walk through everything. Microseconds a data set, the best of several rounds.
 *     dicom_bench [ROUNDS] */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "dicom/dataset.h"
#include "dicom/encode.h"
#include "dicom/frames.h"
#include "dicom/scan.h"

enum { PIXEL_BYTES = 512 * 512 * 2, PRIVATE_ELEMENTS = 60, TEXT_ELEMENTS = 90 };

static const uint32_t wanted[] = {
    TAG_SOP_CLASS_UID,
    TAG_SOP_INSTANCE_UID,
    TAG_STUDY_DATE,
    TAG_STUDY_TIME,
    TAG_ACCESSION_NUMBER,
    TAG_MODALITY,
    TAG_MANUFACTURER,
    TAG_INSTITUTION_NAME,
    TAG_STUDY_DESCRIPTION,
    TAG_SERIES_DESCRIPTION,
    TAG_PATIENT_NAME,
    TAG_PATIENT_ID,
    TAG_PATIENT_BIRTH_DATE,
    TAG_PATIENT_SEX,
    TAG_STUDY_INSTANCE_UID,
    TAG_SERIES_NUMBER,
    TAG_SERIES_INSTANCE_UID,
    TAG_INSTANCE_NUMBER,
    TAG_REFERRING_PHYSICIAN_NAME,
    TAG_ROWS,
};
enum { WANTED_COUNT = sizeof(wanted) / sizeof(wanted[0]) };

static int compare_tags(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;
    return first < second ? -1 : first > second;
}

static void encode_procedure(struct encoder *encoder)
{
    encode_sequence_begin(encoder, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    encode_item_begin(encoder);
    encode_text(encoder, TAG_SCHEDULED_PROCEDURE_STEP_ID, VR_SH, "STEP1");
    encode_text(encoder, TAG_REQUESTED_PROCEDURE_ID, VR_SH, "REQUEST1");
    encode_item_end(encoder);
    encode_sequence_end(encoder);
}

/* About 170 elements, as a CT of a big vendor has. */
static void make_ct(struct buffer *bytes, bool explicit_vr)
{
    struct encoder encoder = { bytes, explicit_vr };
    uint32_t tags[WANTED_COUNT];
    memcpy(tags, wanted, sizeof(tags));
    qsort(tags, WANTED_COUNT, sizeof(tags[0]), compare_tags);
    for (size_t i = 0; i < WANTED_COUNT && tags[i] < TAG_ROWS; i++)
        encode_text(&encoder, tags[i], dictionary_vr(tags[i]),
                    dictionary_vr(tags[i]) == VR_UI ? "1.2.840.113619.2.55.3.604688119.971.42.1"
                                                    : "SOME VALUE 42");
    for (uint32_t i = 0; i < TEXT_ELEMENTS; i++)
        encode_text(&encoder, 0x00211001 + i, VR_DS, "123.456789");
    encode_u16(&encoder, TAG_SAMPLES_PER_PIXEL, 1);
    encode_u16(&encoder, TAG_ROWS, 512);
    encode_u16(&encoder, TAG_COLUMNS, 512);
    encode_u16(&encoder, TAG_BITS_ALLOCATED, 16);
    for (uint32_t i = 0; i < PRIVATE_ELEMENTS; i++)
        encode_text(&encoder, 0x00291001 + i, VR_LO, "PRIVATE VALUE OF A VENDOR");
    encode_procedure(&encoder);
    uint8_t *pixels = mem_alloc(PIXEL_BYTES);
    encode_bytes(&encoder, TAG_PIXEL_DATA, VR_OW, slice_of(pixels, PIXEL_BYTES));
    free(pixels);
}

static void fail(const char *what)
{
    fprintf(stderr, "dicom_bench: %s failed\n", what);
    exit(1);
}

struct subject {
    const struct transfer_syntax *syntax;
    struct slice bytes;
    struct slice header;
    const struct elision *elisions;
    size_t elision_count;
    struct dataset *dataset;
};

static void scan_in(const struct subject *subject, size_t piece)
{
    struct scan *scan = scan_new(subject->syntax, NULL);
    for (struct slice rest = subject->bytes; rest.size; rest = slice_skip(rest, piece))
        if (!scan_write(scan, slice_take(rest, piece), NULL))
            fail("scan");
    if (!scan_finish(scan, NULL))
        fail("scan");
    scan_free(scan);
}

static void scan_whole(const struct subject *subject)
{
    scan_in(subject, SIZE_MAX);
}

static void scan_in_fragments(const struct subject *subject)
{
    scan_in(subject, 16 << 10);
}

static void open_dataset(const struct subject *subject)
{
    struct dataset *dataset;
    if (!dataset_open(subject->header, subject->syntax, subject->elisions, subject->elision_count,
                      &dataset, NULL))
        fail("open");
    dataset_close(dataset);
}

static void find_attributes(const struct subject *subject)
{
    struct element element;
    for (size_t i = 0; i < WANTED_COUNT; i++)
        if (!dataset_find(subject->dataset, wanted[i], &element))
            fail("find");
}

static void walk_all(const struct subject *subject)
{
    struct element element;
    struct walk walk = dataset_walk(subject->dataset);
    while (walk_next(&walk, &element) != WALK_END)
        ;
    if (walk.broken)
        fail("walk");
}

static void measure(const char *name, void (*run)(const struct subject *),
                    const struct subject *subject, int rounds)
{
    enum { BATCH = 2000 };
    int64_t best = INT64_MAX;
    for (int round = 0; round < rounds; round++) {
        int64_t begin = clock_monotonic_us();
        for (int i = 0; i < BATCH; i++)
            run(subject);
        int64_t taken = clock_monotonic_us() - begin;
        best = taken < best ? taken : best;
    }
    printf("  %-24s %8.2f us\n", name, (double)best / BATCH);
}

static void measure_syntax(const char *uid, int rounds)
{
    struct subject subject = { .syntax = transfer_syntax_find(slice_text(uid)) };
    struct buffer bytes = buffer_up_to(4 << 20);
    make_ct(&bytes, subject.syntax->explicit_vr);
    subject.bytes = buffer_slice(&bytes);
    struct scan *scan = scan_new(subject.syntax, NULL);
    if (!scan_write(scan, subject.bytes, NULL) || !scan_finish(scan, NULL))
        fail("scan");
    subject.header = scan_header(scan);
    subject.elisions = scan_elisions(scan, &subject.elision_count);
    if (!dataset_open(subject.header, subject.syntax, subject.elisions, subject.elision_count,
                      &subject.dataset, NULL))
        fail("open");
    printf("%s: %zu bytes, header %zu bytes\n", subject.syntax->name, bytes.size,
           subject.header.size);
    measure("scan, whole", scan_whole, &subject, rounds);
    measure("scan, 16 KiB fragments", scan_in_fragments, &subject, rounds);
    measure("open", open_dataset, &subject, rounds);
    measure("find 20 attributes", find_attributes, &subject, rounds);
    measure("walk", walk_all, &subject, rounds);
    dataset_close(subject.dataset);
    scan_free(scan);
    buffer_release(&bytes);
}

int main(int count, char **arguments)
{
    int rounds = count > 1 ? (int)strtol(arguments[1], NULL, 10) : 20;
    measure_syntax(UID_EXPLICIT_LITTLE_ENDIAN, rounds);
    measure_syntax(UID_IMPLICIT_LITTLE_ENDIAN, rounds);
    return 0;
}
