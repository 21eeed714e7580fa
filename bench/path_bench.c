/* SPDX-License-Identifier: MIT */
/* Two steps that every request of their kind takes: keys against values (PS3.4 C.2.2.2), and the
 * parts of a multipart body. path_bench [ROUNDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dicom/match.h"
#include "http/multipart_reader.h"

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static bool measure_match(const char *name, uint32_t tag, uint16_t vr, const char *key_text,
                          const char *value, unsigned rounds)
{
    struct match_key *key;
    struct error err = { 0 };
    unsigned matches = 0;
    if (!match_key_open(tag, vr, slice_text(key_text), &key, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return false;
    }
    double begin = now();
    for (unsigned i = 0; i < rounds; i++)
        matches += match_value(key, slice_text(value));
    double end = now();
    printf("match %s ns=%.0f matches=%s\n", name, (end - begin) * 1e9 / rounds,
           matches ? "yes" : "no");
    match_key_close(key);
    return true;
}

/* `count` parts of `size` bytes each, fed as a socket gives them. */
static bool measure_parts(size_t count, size_t size, size_t fed, unsigned rounds)
{
    static const char head[] = "\r\n--boundary\r\nContent-Type: application/dicom\r\n\r\n";
    static const char end_text[] = "\r\n--boundary--\r\n";
    struct buffer body = buffer_up_to(SIZE_MAX / 2);
    struct error err = { 0 };
    uint64_t parts = 0;
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        buffer_append_text(&body, head);
        struct space space = buffer_reserve(&body, size);
        for (size_t k = 0; k < size; k++)
            space.data[k] = (uint8_t)(k * 31 >> 3);
        buffer_advance(&body, size);
    }
    buffer_append_text(&body, end_text);
    double begin = now();
    for (unsigned i = 0; ok && i < rounds; i++) {
        struct multipart_reader *reader = multipart_reader_new("boundary", NULL);
        struct slice rest = buffer_slice(&body);
        struct multipart_event event = { .kind = MULTIPART_MORE };
        while (ok && event.kind != MULTIPART_END) {
            if (event.kind == MULTIPART_MORE) {
                multipart_feed(reader, slice_take(rest, fed));
                rest = slice_skip(rest, slice_take(rest, fed).size);
            }
            ok = multipart_next(reader, &event, &err);
            parts += ok && event.kind == MULTIPART_PART_END;
        }
        multipart_reader_free(reader);
    }
    double seconds = now() - begin;
    if (ok)
        printf("multipart part=%zu fed=%zu us_per_part=%.2f mb_per_second=%.0f\n", size, fed,
               seconds * 1e6 / (double)parts, (double)body.size * rounds / 1e6 / seconds);
    else
        fprintf(stderr, "%s\n", err.message);
    buffer_release(&body);
    return ok;
}

int main(int count, char **arguments)
{
    unsigned rounds = count > 1 ? (unsigned)strtoul(arguments[1], NULL, 10) : 1000000;
    bool ok = rounds > 0;
    ok = ok && measure_match("uid", TAG_STUDY_INSTANCE_UID, VR_UI, "1.2.826.0.1.3680043.10.1",
                             "1.2.826.0.1.3680043.10.1", rounds);
    ok = ok && measure_match("single text", TAG_ACCESSION_NUMBER, VR_SH, "ACC0001234", "ACC0001234",
                             rounds);
    ok = ok && measure_match("wildcard text", TAG_STUDY_DESCRIPTION, VR_LO, "*thorax*",
                             "CT of the thorax with contrast", rounds);
    ok = ok && measure_match("name", TAG_PATIENT_NAME, VR_PN, "doe^j*", "Doe^Jane^Ann", rounds);
    ok = ok && measure_match("name beyond ASCII", TAG_PATIENT_NAME, VR_PN, "m\xC3\xBCller*",
                             "MULLER^Jorg", rounds);
    ok = ok && measure_match("date range", TAG_STUDY_DATE, VR_DA, "20240101-20240131", "20240115",
                             rounds);
    for (size_t fed = 16 << 10; ok && fed <= 256 << 10; fed *= 16) {
        ok = measure_parts(50, 128 << 10, fed, rounds / 20000 + 1) &&
             measure_parts(50, 512 << 10, fed, rounds / 80000 + 1);
    }
    return ok ? 0 : 1;
}
