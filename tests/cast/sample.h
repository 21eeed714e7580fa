/* SPDX-License-Identifier: MIT */
#pragma once
/* Studies written down in a few lines, and JSON compared as trees. For the tests of cast/ only. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/study.h"
#include "base/memory.h"
#include "cast/json.h"
#include "cast/mapping.h"
#include "dicom/encode.h"
#include "tests/test.h"

/* A data set in lines "00100010 PN DOE^JANE". What stands in a sequence has one `>` more in front;
 * a line of `>`s and `-` begins the next item. Tags ascending, as ever. */
struct sample_dataset {
    struct buffer bytes;
    struct dataset *dataset;
};

static inline void sample_line(struct encoder *encoder, const char *line, size_t *depth)
{
    size_t level = strspn(line, ">");
    const char *at = line + level;
    while (*depth > level) {
        encode_item_end(encoder);
        encode_sequence_end(encoder);
        --*depth;
    }
    if (*at == '-') {
        encode_item_end(encoder);
        encode_item_begin(encoder);
        return;
    }
    uint32_t tag = (uint32_t)strtoul(at, NULL, 16);
    uint16_t vr = VR(at[9], at[10]);
    if (vr == VR_SQ) {
        encode_sequence_begin(encoder, tag);
        encode_item_begin(encoder);
        ++*depth;
    } else {
        encode_text(encoder, tag, vr, at[11] ? at + 12 : "");
    }
}

static inline void sample_lines(struct encoder *encoder, const char *text, size_t *depth)
{
    for (const char *at = text; *at;) {
        char line[2048];
        size_t size = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s", (int)size, at);
        if (size)
            sample_line(encoder, line, depth);
        at += size + (at[size] == '\n');
    }
    for (; *depth; --*depth) {
        encode_item_end(encoder);
        encode_sequence_end(encoder);
    }
}

static inline struct sample_dataset *sample_dataset(const char *text)
{
    struct sample_dataset *sample = mem_alloc(sizeof *sample);
    struct encoder encoder = { &sample->bytes, true };
    struct error err;
    size_t depth = 0;
    sample->bytes = buffer_up_to(1 << 20);
    encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    sample_lines(&encoder, text, &depth);
    CHECK_OK(dataset_open(buffer_slice(&sample->bytes),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &sample->dataset, &err),
             err);
    return sample;
}

static inline void sample_dataset_free(struct sample_dataset *sample)
{
    if (!sample)
        return;
    dataset_close(sample->dataset);
    buffer_release(&sample->bytes);
    free(sample);
}

/* A study of series with one header each, whose instances have consecutive UIDs and no attributes
 * but their number. */
enum { SAMPLE_SERIES = 4 };
struct sample {
    struct study study;
    struct study_series series[SAMPLE_SERIES];
    struct sample_dataset *headers[SAMPLE_SERIES];
    char uids[SAMPLE_SERIES][UID_SIZE];
};

#define SAMPLE_STUDY_UID "1.2.826.0.1.3680043.2.1"

/* The next series is that of the header that was put into its place. */
static inline void sample_finish_series(struct sample *sample, size_t instances)
{
    size_t index = sample->study.series_count++;
    struct study_series *series = &sample->series[index];
    snprintf(sample->uids[index], UID_SIZE, SAMPLE_STUDY_UID ".%zu", index + 1);
    series->uid = sample->uids[index];
    series->header = sample->headers[index]->dataset;
    series->instance_count = instances;
    series->instances = mem_alloc_array(instances + 1, sizeof *series->instances);
    for (size_t i = 0; i < instances; i++) {
        series->instances[i].sop_instance = mem_format("%s.%zu", series->uid, i + 1);
        series->instances[i].sop_class = "1.2.840.10008.5.1.4.1.1.2";
    }
    sample->study.uid = SAMPLE_STUDY_UID;
    sample->study.series = sample->series;
    sample->study.header = sample->headers[0]->dataset;
}

/* `header` is that of series `index` (and of the study for the first). */
static inline void sample_add_series(struct sample *sample, const char *header, size_t instances)
{
    sample->headers[sample->study.series_count] = sample_dataset(header);
    sample_finish_series(sample, instances);
}

static inline struct sample *sample_new(const char *header)
{
    struct sample *sample = mem_alloc(sizeof *sample);
    sample_add_series(sample, header, 1);
    return sample;
}

static inline void sample_free(struct sample *sample)
{
    for (size_t i = 0; i < sample->study.series_count; i++) {
        for (size_t j = 0; j < sample->series[i].instance_count; j++)
            free((char *)(uintptr_t)sample->series[i].instances[j].sop_instance);
        free(sample->series[i].instances);
        sample_dataset_free(sample->headers[i]);
    }
    free(sample);
}

static const struct mapping_options sample_options = {
    .prefix = "urn:hounsfield:TEST",
    .source = "urn:hounsfield:TEST",
    .dicomweb_url = "http://pacs.example/dicomweb",
};

/* JSON with ' for ". */
static inline cJSON *sample_json(const char *text)
{
    struct error err;
    char *copy = mem_copy_text(text);
    cJSON *tree = NULL;
    for (char *at = copy; *at; at++)
        if (*at == '\'')
            *at = '"';
    bool ok = json_parse(slice_text(copy), &tree, &err);
    free(copy);
    CHECK_OK(ok, err);
    return tree;
}

static inline void sample_check_json(const char *file, int line, const cJSON *actual,
                                     const char *expected_text)
{
    cJSON *expected = sample_json(expected_text);
    bool equal = actual && json_equal(actual, expected);
    struct buffer text = buffer_up_to(1 << 20);
    if (!equal && actual)
        json_print(actual, &text);
    cJSON_Delete(expected);
    if (!equal)
        test_fail(file, line, "JSON is %s, not %s", actual ? buffer_text(&text) : "absent",
                  expected_text);
    buffer_release(&text);
}
#define CHECK_JSON(actual, expected) sample_check_json(__FILE__, __LINE__, actual, expected)

/* A member along names with `/` between; a number is an index. NULL when it is not there. */
static inline const cJSON *sample_at(const cJSON *tree, const char *path)
{
    while (tree && *path) {
        char name[128];
        size_t size = strcspn(path, "/");
        snprintf(name, sizeof name, "%.*s", (int)size, path);
        tree = cJSON_IsArray(tree) ? cJSON_GetArrayItem(tree, (int)strtol(name, NULL, 10))
                                   : json_get(tree, name);
        path += size + (path[size] == '/');
    }
    return tree;
}
