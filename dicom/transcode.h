/* SPDX-License-Identifier: MIT */
#pragma once
/* A whole data set from one transfer syntax to another (PS3.5 annex A): native ones among each
 * other, deflated to native, compressed to native where codec.h can decode, and what has lost
 * nothing to compressed where codec_encode.h can encode. Streams: memory is bounded by the header
 * and one frame. */

#include "base/buffer.h"
#include "base/error.h"
#include "dicom/codec.h"
#include "dicom/dataset.h"
#include "dicom/frames.h"

/* Where the bytes of the data set come from, and where the result goes. Both return false with err
 * set to stop. */
struct transcode_source {
    bool (*read)(void *context, uint64_t offset, struct space space, struct error *err);
    void *context;
    uint64_t size; /* of the stored data set (deflated: compressed bytes) */
};
struct transcode_sink {
    bool (*write)(void *context, struct slice bytes, struct error *err);
    void *context;
};

/* Explicit or Implicit VR little endian are the targets, and those of codec_can_encode. */
bool transcode_is_possible(const struct transfer_syntax *from, const struct transfer_syntax *to);

/* `header` with its elisions, `frames` (see frames.h) of the stored object. The result's attributes
 * are made right: photometric interpretation, planar configuration, no or empty offset tables;
 * lossy flags stay. When it fails for what the pixels are, nothing has been written. */
bool transcode_dataset(const struct dataset *header, struct slice frames,
                       const struct transfer_syntax *to, const struct transcode_source *source,
                       const struct transcode_sink *sink, struct error *err);

/* All but pixels, overlays, curves, waveforms, spectra, audio and documents (PS3.4 Z.1.3), whatever
 * the stored transfer syntax is, as `to` encodes attributes: little endian and not deflated. */
bool transcode_without_bulk(const struct dataset *header, const struct transfer_syntax *to,
                            const struct transcode_source *source,
                            const struct transcode_sink *sink, struct error *err);
