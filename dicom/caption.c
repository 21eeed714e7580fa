/* SPDX-License-Identifier: MIT */
#include "dicom/caption.h"

#include "dicom/canvas.h"

enum { MARGIN = 4, VIEW_OF_DOT = 700, LINE_MAX_TEXT = 256 };

struct line {
    uint32_t tag;
    const char *before;
    const char *behind;
};

static const struct line patient_lines[] = {
    { TAG_PATIENT_NAME, "", "" },
    { TAG_PATIENT_ID, "ID ", "" },
    { TAG_PATIENT_BIRTH_DATE, "Born ", "" },
    { TAG_PATIENT_SEX, "Sex ", "" },
};
static const struct line technique_lines[] = {
    { TAG_MODALITY, "", "" },           { TAG_STUDY_DATE, "", "" },
    { TAG_SERIES_DESCRIPTION, "", "" }, { TAG_INSTANCE_NUMBER, "Image ", "" },
    { 0x00180060, "", " kV" },          /* KVP */
    { 0x00181151, "", " mA" },          /* X-Ray Tube Current */
    { 0x00180080, "TR ", " ms" },       /* Repetition Time */
    { 0x00180081, "TE ", " ms" },       /* Echo Time */
    { 0x00180050, "Slice ", " mm" },    /* Slice Thickness */
    { 0x00201041, "Location ", " mm" }, /* Slice Location */
};

static void gather(const struct dataset *header, const struct line *lines, size_t count,
                   struct buffer *text)
{
    char value[LINE_MAX_TEXT];
    for (size_t i = 0; i < count; i++)
        if (dataset_string(header, lines[i].tag, value, sizeof(value)))
            buffer_append_format(text, "%s%s%s%s", text->size ? "\n" : "", lines[i].before, value,
                                 lines[i].behind);
}

static void write(const struct dataset *header, const struct line *lines, size_t count,
                  bool at_bottom, struct raster *view)
{
    struct buffer text = buffer_up_to(8192);
    struct canvas canvas = canvas_over(view);
    unsigned size = view->rows / VIEW_OF_DOT + 1;
    int width, height;
    gather(header, lines, count, &text);
    canvas_text_extent(buffer_text(&text), size, &width, &height);
    canvas_text(&canvas, MARGIN, at_bottom ? (int)view->rows - height : MARGIN, size,
                buffer_text(&text));
    buffer_release(&text);
}

void caption_patient(const struct dataset *header, struct raster *view)
{
    write(header, patient_lines, sizeof(patient_lines) / sizeof(patient_lines[0]), false, view);
}

void caption_technique(const struct dataset *header, struct raster *view)
{
    write(header, technique_lines, sizeof(technique_lines) / sizeof(technique_lines[0]), true,
          view);
}
