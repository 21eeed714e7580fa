/* SPDX-License-Identifier: MIT */
#pragma once
/* The studies: each writes its own into FOLDER/<label>. */

extern const struct patient patient_first;  /* two studies: the head and the knee */
extern const struct patient patient_second; /* the chest; shares nothing with the first */

void study_ct_head(const char *folder, unsigned slices);
void study_mr_knee(const char *folder);
void study_chest(const char *folder);      /* CR MONOCHROME1, and a report as PDF */
void study_ultrasound(const char *folder); /* a JPEG multi-frame, and a secondary capture */
void study_japanese(const char *folder);
void study_korean(const char *folder);

/* TID 10011 of the head, as the scanner makes it beside its images. */
struct series;
void dose_report_write(const struct series *images, const char *folder, unsigned slices);

/* A page with some lines of text, PDF 1.4. */
struct buffer;
void pdf_write(const char *const *lines, unsigned count, struct buffer *out);
