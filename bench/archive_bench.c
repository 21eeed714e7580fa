/* SPDX-License-Identifier: MIT */
/* How fast instances are stored and found.
 *     archive_bench FOLDER [--seconds 3] [--threads 1,4,8] [--studies 20000]
 * Makes FOLDER, and leaves it for who wants to look. Stores synthetic CT images of 512 x 512 x 16
 * bit, 100 in a series, with 1, 4 and 8 threads, each into studies of its own; then fills up with
 * small studies of one instance each, and asks for them by unique key, name, a day and a page. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "archive/headers.h"
#include "archive/ingest.h"
#include "archive/query.h"
#include "base/clock.h"
#include "base/memory.h"
#include "dicom/encode.h"
#include "dicom/json.h"
#include "storage/storage.h"

enum {
    THREADS_MAX = 64,
    IMAGE_SIZE = 512 * 512 * 2,
    PER_SERIES = 100,
    FILLERS = 16,
};

struct options {
    const char *folder;
    int64_t seconds;
    unsigned threads[8];
    size_t thread_counts;
    unsigned studies;
};

struct worker {
    struct archive *archive;
    pthread_t thread;
    unsigned number; /* of the round and the thread: the root of its UIDs */
    int64_t until_us;
    unsigned from; /* when filling: studies of these numbers */
    unsigned to;
    struct slice image;
    uint64_t done;
    bool failed;
};

static void put(struct encoder *encoder, uint32_t tag, uint16_t vr, const char *format,
                unsigned number)
{
    char text[64];
    snprintf(text, sizeof(text), format, number);
    encode_text(encoder, tag, vr, text);
}

/* Some 70 attributes with their values, as a scanner writes them. */
static void encode_header(struct encoder *encoder, const char *root, unsigned study, unsigned image,
                          const char *instance)
{
    char uid[64];
    encode_text(encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 100");
    encode_text(encoder, TAG_IMAGE_TYPE, VR_CS, "ORIGINAL\\PRIMARY\\AXIAL");
    encode_text(encoder, TAG_SOP_CLASS_UID, VR_UI, "1.2.840.10008.5.1.4.1.1.2");
    encode_text(encoder, TAG_SOP_INSTANCE_UID, VR_UI, instance);
    put(encoder, TAG_STUDY_DATE, VR_DA, "2026%04u", 101 + study % 28);
    put(encoder, TAG_STUDY_TIME, VR_TM, "10%04u", study % 60 * 100);
    put(encoder, TAG_ACCESSION_NUMBER, VR_SH, "A%08u", study);
    encode_text(encoder, TAG_MODALITY, VR_CS, "CT");
    encode_text(encoder, TAG_MANUFACTURER, VR_LO, "HOUNSFIELD");
    encode_text(encoder, TAG_REFERRING_PHYSICIAN_NAME, VR_PN, "HOUSE^GREGORY");
    encode_text(encoder, TAG_STUDY_DESCRIPTION, VR_LO, "HEAD WITHOUT CONTRAST");
    encode_text(encoder, TAG_SERIES_DESCRIPTION, VR_LO, "AXIAL 1.0 H31S");
    put(encoder, TAG_PATIENT_NAME, VR_PN, "PATIENT%u^SYNTHETIC", study);
    put(encoder, TAG_PATIENT_ID, VR_LO, "P%07u", study);
    encode_text(encoder, TAG_PATIENT_BIRTH_DATE, VR_DA, "19700101");
    encode_text(encoder, TAG_PATIENT_SEX, VR_CS, "O");
    for (uint32_t i = 0; i < 40; i++)
        put(encoder, 0x00189300 + i, VR_LO, "VALUE %u", i);
    snprintf(uid, sizeof(uid), "%s.%u", root, study);
    encode_text(encoder, TAG_STUDY_INSTANCE_UID, VR_UI, uid);
    snprintf(uid, sizeof(uid), "%s.%u.1", root, study);
    encode_text(encoder, TAG_SERIES_INSTANCE_UID, VR_UI, uid);
    put(encoder, TAG_STUDY_ID, VR_SH, "S%u", study);
    encode_text(encoder, TAG_SERIES_NUMBER, VR_IS, "2");
    put(encoder, TAG_INSTANCE_NUMBER, VR_IS, "%u", image + 1);
    encode_u16(encoder, TAG_SAMPLES_PER_PIXEL, 1);
    encode_text(encoder, TAG_PHOTOMETRIC_INTERPRETATION, VR_CS, "MONOCHROME2");
    encode_u16(encoder, TAG_ROWS, 512);
    encode_u16(encoder, TAG_COLUMNS, 512);
    encode_u16(encoder, TAG_BITS_ALLOCATED, 16);
}

/* The image is written into the archive's own room, as it comes from a socket. */
static bool store(struct worker *worker, unsigned study, unsigned image, struct slice pixels,
                  struct error *err)
{
    struct ingest *ingest = NULL;
    struct buffer header = buffer_up_to(64 << 10);
    struct encoder encoder = { &header, true };
    enum ingest_outcome outcome;
    char root[32], instance[64];
    snprintf(root, sizeof(root), "1.2.826.0.1.%u", worker->number);
    snprintf(instance, sizeof(instance), "%s.%u.1.%u", root, study, image);
    encode_header(&encoder, root, study, image, instance);
    if (pixels.size) {
        static const uint8_t element[] = { 0xE0, 0x7F, 0x10, 0, 'O', 'W', 0, 0 };
        buffer_append(&header, slice_of(element, sizeof(element)));
        buffer_append_u32le(&header, (uint32_t)pixels.size);
    }
    struct ingest_options options = { .transfer_syntax = UID_EXPLICIT_LITTLE_ENDIAN,
                                      .sop_class = "1.2.840.10008.5.1.4.1.1.2",
                                      .sop_instance = instance,
                                      .source_ae = "BENCH" };
    bool ok = ingest_open(worker->archive, &options, &ingest, err) &&
              ingest_write(ingest, buffer_slice(&header), err) &&
              ingest_write(ingest, pixels, err) && ingest_commit(ingest, &outcome, err);
    ingest_close(ingest);
    buffer_release(&header);
    return ok;
}

static void *store_images(void *argument)
{
    struct worker *worker = argument;
    struct error err = { 0 };
    while (!worker->failed && clock_monotonic_us() < worker->until_us) {
        unsigned study = (unsigned)(worker->done / PER_SERIES) + 1;
        worker->failed = !store(worker, study, (unsigned)(worker->done % PER_SERIES) + 1,
                                worker->image, &err);
        worker->done++;
    }
    if (worker->failed)
        fprintf(stderr, "%s\n", err.message);
    return NULL;
}

static void *store_studies(void *argument)
{
    struct worker *worker = argument;
    struct error err = { 0 };
    for (unsigned i = worker->from; i < worker->to && !worker->failed; i++) {
        worker->failed = !store(worker, i + 1, 1, slice_of(NULL, 0), &err);
        worker->done++;
    }
    if (worker->failed)
        fprintf(stderr, "%s\n", err.message);
    return NULL;
}

static double processor_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static bool run(struct worker *workers, unsigned count, void *(*work)(void *), const char *what)
{
    uint64_t done = 0;
    bool failed = false;
    double processor = processor_seconds();
    int64_t begin = clock_monotonic_us();
    for (unsigned i = 0; i < count; i++)
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        done += workers[i].done;
        failed |= workers[i].failed;
    }
    double seconds = 1e-6 * (double)(clock_monotonic_us() - begin);
    processor = processor_seconds() - processor;
    printf("%s threads=%u instances=%llu per_second=%.0f cpu_us_per_instance=%.0f\n", what, count,
           (unsigned long long)done, (double)done / seconds, 1e6 * processor / (double)done);
    fflush(stdout);
    return !failed;
}

static bool measure_ingest(struct archive *archive, const struct options *options)
{
    uint8_t *image = mem_alloc(IMAGE_SIZE);
    struct worker workers[THREADS_MAX];
    bool ok = true;
    for (size_t i = 0; i < IMAGE_SIZE; i++)
        image[i] = (uint8_t)(i * 31 >> 3);
    for (size_t k = 0; ok && k < options->thread_counts; k++) {
        unsigned count = options->threads[k];
        for (unsigned i = 0; i < count; i++)
            workers[i] = (struct worker){ .archive = archive,
                                          .number = (unsigned)(k + 1) * 100 + i,
                                          .until_us = clock_monotonic_us() +
                                                      options->seconds * 1000000,
                                          .image = slice_of(image, IMAGE_SIZE) };
        ok = run(workers, count, store_images, "ingest");
    }
    free(image);
    return ok;
}

static bool fill(struct archive *archive, const struct options *options)
{
    struct worker workers[FILLERS];
    unsigned share = options->studies / FILLERS;
    for (unsigned i = 0; i < FILLERS; i++)
        workers[i] = (struct worker){ .archive = archive,
                                      .number = 1,
                                      .from = i * share,
                                      .to = i + 1 < FILLERS ? (i + 1) * share : options->studies };
    return run(workers, FILLERS, store_studies, "small-studies");
}

/* Queries. */

struct question {
    const char *name;
    enum level level;
    uint32_t tag;
    const char *format; /* takes a number of a study */
    uint64_t offset;
    uint64_t limit;
};

static const struct question questions[] = {
    { "study-by-accession", LEVEL_STUDY, TAG_ACCESSION_NUMBER, "A%08u", 0, 0 },
    { "study-by-patient-id", LEVEL_STUDY, TAG_PATIENT_ID, "P%07u", 0, 0 },
    { "study-by-uid", LEVEL_STUDY, TAG_STUDY_INSTANCE_UID, "1.2.826.0.1.1.%u", 0, 0 },
    { "study-by-name-prefix", LEVEL_STUDY, TAG_PATIENT_NAME, "patient%u*", 0, 100 },
    { "instance-by-uid", LEVEL_INSTANCE, TAG_SOP_INSTANCE_UID, "1.2.826.0.1.1.%u.1.1", 0, 0 },
    { "study-of-a-day-first-100", LEVEL_STUDY, TAG_STUDY_DATE, "20260101-20260105", 0, 100 },
    { "all-studies-page-100-of-100", LEVEL_STUDY, TAG_STUDY_INSTANCE_UID, "", 9900, 100 },
    { "study-by-description-first-100", LEVEL_STUDY, TAG_STUDY_DESCRIPTION, "HEAD*", 0, 100 },
    { "study-by-unindexed-no-match", LEVEL_STUDY, TAG_STUDY_DESCRIPTION, "FOOT*", 0, 0 },
};

static bool ask(struct archive *archive, const struct question *question, unsigned study,
                uint64_t *matches, struct error *err)
{
    static const uint32_t returned[] = { TAG_STUDY_DATE,
                                         TAG_STUDY_TIME,
                                         TAG_ACCESSION_NUMBER,
                                         TAG_MODALITIES_IN_STUDY,
                                         TAG_PATIENT_NAME,
                                         TAG_PATIENT_ID,
                                         TAG_NUMBER_OF_STUDY_RELATED_INSTANCES };
    struct query *query = query_new(archive, question->level);
    const struct dataset *match;
    char value[64];
    snprintf(value, sizeof(value), question->format, study);
    bool ok = query_add_key(query, &question->tag, 1, slice_text(value), err);
    for (size_t i = 0; ok && i < sizeof(returned) / sizeof(returned[0]); i++)
        ok = query_add_return(query, returned[i], err);
    query_set_page(query, question->offset, question->limit);
    while (ok && (ok = query_next(query, &match, err)) && match)
        ++*matches;
    query_close(query);
    return ok;
}

static bool measure_query(struct archive *archive, const struct options *options,
                          const struct question *question)
{
    struct error err = { 0 };
    uint64_t matches = 0, asked = 0;
    int64_t begin = clock_monotonic_us();
    while (clock_monotonic_us() - begin < 1000000) {
        unsigned study = (unsigned)(asked * 7919 % options->studies) + 1;
        if (!ask(archive, question, study, &matches, &err)) {
            fprintf(stderr, "%s\n", err.message);
            return false;
        }
        asked++;
    }
    double us = (double)(clock_monotonic_us() - begin);
    printf("query %s us=%.0f matches=%.1f\n", question->name, us / (double)asked,
           (double)matches / (double)asked);
    fflush(stdout);
    return true;
}

/* A series as WADO-RS tells of it: its headers to DICOM JSON. */
static bool measure_metadata(struct archive *archive, const struct options *options, size_t memory)
{
    static const struct json_options json_options = { .bulk_data_prefix = "http://bench/" };
    struct buffer json = buffer_up_to(64 << 20);
    struct headers *headers = NULL;
    const struct identity *identity;
    const struct dataset *header;
    struct error err = { 0 };
    uint64_t instances = 0;
    bool ok = true;
    int64_t begin = clock_monotonic_us();
    while (ok && clock_monotonic_us() - begin < 1000000) {
        ok = headers_open(archive, "1.2.826.0.1.100.1", NULL, memory, &headers, &err);
        while (ok && (ok = headers_next(headers, &identity, &header, &err)) && header) {
            buffer_clear(&json);
            json_write_dataset(header, &json_options, &json);
            instances++;
        }
        headers_close(headers);
        headers = NULL;
        if (!instances)
            break;
    }
    if (!ok)
        fprintf(stderr, "%s\n", err.message);
    else if (instances && options->thread_counts)
        printf("metadata %s us_per_instance=%.2f bytes=%zu\n",
               memory ? "with one cursor" : "one by one",
               (double)(clock_monotonic_us() - begin) / (double)instances, json.size);
    buffer_release(&json);
    return ok;
}

static bool read_options(int count, char **arguments, struct options *options)
{
    *options = (struct options){
        .seconds = 3, .threads = { 1, 4, 8 }, .thread_counts = 3, .studies = 20000
    };
    for (int i = 1; i < count; i++) {
        bool has_value = i + 1 < count;
        if (strcmp(arguments[i], "--seconds") == 0 && has_value) {
            options->seconds = strtol(arguments[++i], NULL, 10);
        } else if (strcmp(arguments[i], "--studies") == 0 && has_value) {
            options->studies = (unsigned)strtoul(arguments[++i], NULL, 10);
        } else if (strcmp(arguments[i], "--threads") == 0 && has_value) {
            char *rest = arguments[++i];
            options->thread_counts = 0;
            while (*rest && options->thread_counts < 8) {
                options->threads[options->thread_counts++] = (unsigned)strtoul(rest, &rest, 10);
                rest += *rest == ',';
            }
        } else {
            options->folder = arguments[i];
        }
    }
    for (size_t i = 0; i < options->thread_counts; i++) {
        if (!options->threads[i] || options->threads[i] > THREADS_MAX)
            return false;
    }
    return options->folder != NULL;
}

int main(int count, char **arguments)
{
    struct options options;
    struct storage *storage = NULL;
    struct archive *archive = NULL;
    struct error err = { 0 };
    if (!read_options(count, arguments, &options)) {
        fprintf(stderr, "archive_bench FOLDER [--seconds N] [--threads 1,4,8] [--studies N]\n");
        return 2;
    }
    struct storage_options storage_options = { .path = options.folder };
    struct archive_options archive_options = { .ae_title = "BENCH" };
    bool ok = storage_open(&storage_options, &storage, &err) &&
              archive_open(storage, &archive_options, &archive, &err);
    if (!ok)
        fprintf(stderr, "%s\n", err.message);
    ok = ok && measure_ingest(archive, &options);
    ok = ok && measure_metadata(archive, &options, 16 << 20) &&
         measure_metadata(archive, &options, 0);
    ok = ok && (!options.studies || fill(archive, &options));
    for (size_t i = 0; ok && options.studies && i < sizeof(questions) / sizeof(questions[0]); i++)
        ok = measure_query(archive, &options, &questions[i]);
    archive_close(archive);
    if (storage)
        storage_close(storage);
    return ok ? 0 : 1;
}
