/* SPDX-License-Identifier: MIT */
#pragma once
/* SR documents written down in a few lines. For the tests of cast/ only. */

#include "tests/cast/sample.h"

/* A document: `header` in the lines of sample_dataset, which ends before (0040,A010); then its
 * content, an item a line: ">" for each level, relationship, type, concept name
 * "code,scheme,meaning" and behind " = " the value:
 *
 *     > C CONTAINER 113702,DCM,Accumulated X-Ray Dose Data
 *     >> C NUM 113722,DCM,Dose Area Product Total = 12.50 mGy.cm2
 *
 * C contains, M has concept modifier, O has observation context, P has properties. */
static inline void content_code(struct encoder *encoder, uint32_t tag, const char *text)
{
    char code[64], scheme[64], meaning[256];
    if (!tag || !*text)
        return;
    CHECK_INT(sscanf(text, "%63[^,],%63[^,],%255[^=]", code, scheme, meaning), 3);
    encode_sequence_begin(encoder, tag);
    encode_item_begin(encoder);
    encode_text(encoder, 0x00080100, VR_SH, code);
    encode_text(encoder, 0x00080102, VR_SH, scheme);
    encode_text(encoder, 0x00080104, VR_LO, meaning);
    encode_item_end(encoder);
    encode_sequence_end(encoder);
}

static inline void content_number(struct encoder *encoder, const char *value)
{
    char number[64], unit[64];
    if (strchr(value, ',') || sscanf(value, "%63s %63s", number, unit) != 2) {
        content_code(encoder, 0x0040A301, value);
        return;
    }
    char *code = mem_format("%s,UCUM,%s", unit, unit);
    encode_sequence_begin(encoder, 0x0040A300);
    encode_item_begin(encoder);
    content_code(encoder, 0x004008EA, code);
    encode_text(encoder, 0x0040A30A, VR_DS, number);
    encode_item_end(encoder);
    encode_sequence_end(encoder);
    free(code);
}

static inline void content_image(struct encoder *encoder, const char *value)
{
    char class_uid[UID_SIZE], uid[UID_SIZE], frames[8192] = "";
    CHECK(sscanf(value, "%64s %64s %8191s", class_uid, uid, frames) >= 2);
    encode_sequence_begin(encoder, 0x00081199);
    encode_item_begin(encoder);
    encode_text(encoder, 0x00081150, VR_UI, class_uid);
    encode_text(encoder, 0x00081155, VR_UI, uid);
    if (*frames)
        encode_text(encoder, 0x00081160, VR_IS, frames);
    encode_item_end(encoder);
    encode_sequence_end(encoder);
}

static inline void content_value(struct encoder *encoder, const char *type, const char *value)
{
    static const struct {
        const char *type;
        uint32_t tag;
        uint16_t vr;
    } texts[] = {
        { "TEXT", 0x0040A160, VR_UT },   { "DATETIME", 0x0040A120, VR_DT },
        { "DATE", 0x0040A121, VR_DA },   { "PNAME", 0x0040A123, VR_PN },
        { "UIDREF", 0x0040A124, VR_UI },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(type, texts[i].type) == 0)
            encode_text(encoder, texts[i].tag, texts[i].vr, value);
    if (strcmp(type, "CODE") == 0)
        content_code(encoder, 0x0040A168, value);
    else if (strcmp(type, "NUM") == 0)
        content_number(encoder, value);
    else if (strcmp(type, "IMAGE") == 0)
        content_image(encoder, value);
}

static inline const char *content_relation(char letter)
{
    return letter == 'C'   ? "CONTAINS"
           : letter == 'M' ? "HAS CONCEPT MOD"
           : letter == 'O' ? "HAS OBS CONTEXT"
                           : "HAS PROPERTIES";
}

/* An item's own attributes; its content stays open when the next line is deeper. */
static inline void content_item_line(struct encoder *encoder, const char *line)
{
    char relation, type[16], name[320] = "";
    const char *value = strstr(line, " = ");
    CHECK(sscanf(line, "%c %15s %319[^=]", &relation, type, name) >= 2);
    for (size_t size = strlen(name); size && name[size - 1] == ' '; size--)
        name[size - 1] = 0;
    encode_item_begin(encoder);
    encode_text(encoder, 0x0040A010, VR_CS, content_relation(relation));
    encode_text(encoder, 0x0040A040, VR_CS, type);
    content_code(encoder, 0x0040A043, name);
    content_value(encoder, type, value ? value + 3 : "");
}

static inline void content_lines(struct encoder *encoder, const char *text)
{
    size_t depth = 0;
    for (const char *at = text; *at;) {
        char line[16 * 1024];
        size_t size = strcspn(at, "\n"), level = strspn(at, ">");
        snprintf(line, sizeof line, "%.*s", (int)(size - level), at + level);
        for (; depth >= level && depth; depth--) { /* what was before on this level or deeper */
            encode_item_end(encoder);
            if (depth > level)
                encode_sequence_end(encoder);
        }
        if (level > depth && (depth == level - 1))
            depth = level;
        content_item_line(encoder, line + strspn(line, " "));
        at += size + (at[size] == '\n');
        size_t next = strspn(at, ">");
        if (next > level)
            encode_sequence_begin(encoder, 0x0040A730);
    }
    for (; depth; depth--) {
        encode_item_end(encoder);
        encode_sequence_end(encoder);
    }
}

static inline struct sample_dataset *content_sample(const char *header, const char *title,
                                                    const char *flags, const char *content)
{
    struct sample_dataset *sample = mem_alloc(sizeof *sample);
    struct encoder encoder = { &sample->bytes, true };
    struct error err;
    size_t depth = 0;
    sample->bytes = buffer_up_to(16 << 20);
    encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    sample_lines(&encoder, header, &depth);
    encode_text(&encoder, 0x0040A040, VR_CS, "CONTAINER");
    content_code(&encoder, 0x0040A043, title);
    sample_lines(&encoder, flags, &depth);
    if (*content) {
        encode_sequence_begin(&encoder, 0x0040A730);
        content_lines(&encoder, content);
    }
    CHECK_OK(dataset_open(buffer_slice(&sample->bytes),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &sample->dataset, &err),
             err);
    return sample;
}

/* A study of one series with this document and no other instance. */
static inline struct sample *content_study(const char *sop_class, struct sample_dataset *document)
{
    struct sample *sample = mem_alloc(sizeof *sample);
    sample->headers[0] = document;
    sample_finish_series(sample, 1);
    sample->series[0].instances[0].sop_class = sop_class;
    sample->series[0].instances[0].document = document->dataset;
    return sample;
}
