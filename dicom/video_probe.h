/* SPDX-License-Identifier: MIT */
#pragma once
/* What an MP4 file says of its video (ISO 14496-12): size, number of frames, and which transfer
 * syntax its coding is for (PS3.5 8.2.7 to 8.2.11). Its tables may stand behind the video, so it is
 * read by places. Thread-safe. */

#include "dicom/image_probe.h"
#include "dicom/value_source.h"

/* Completes what image_probe found of an MP4 file of `size` bytes: rows, columns and frames stay 0
 * when the file does not tell. The transfer syntax is that of the coding unless one was `asked`
 * for. ERROR_UNSUPPORTED for a coding that has none. */
bool video_probe(const char *asked, const struct value_source *source, uint64_t size,
                 struct image_probe *probe, struct error *err);
