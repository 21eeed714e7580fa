/* SPDX-License-Identifier: MIT */
#pragma once
/* A new instance of some frames of a multi-frame image (PS3.4 Y.3.3): everything as it was but for
 * what tells of frames. Streams: memory is bounded by the header and a fragment; compressed frames
 * are copied, not decoded. */

#include "dicom/frame_selection.h"
#include "dicom/frames.h"
#include "dicom/transcode.h"

/* What the result is encoded in: the stored transfer syntax, or Explicit VR Little Endian for one
 * that is deflated. NULL for what frames are not taken out of: big endian, and pixels that are
 * elsewhere. */
const struct transfer_syntax *extract_syntax(const struct transfer_syntax *stored);

struct extraction {
    const struct frame_selection *frames;
    const char *sop_instance; /* of the result */
    const char *moment;       /* now, as a DT */
};

/* `header`, `table` (see frames.h) and `source` are of the stored object. Vectors with a value for
 * each frame, functional groups, times and numbers of frames are made right; what else refers to
 * frames by their numbers (masks, frames of interest, overlays of several frames, trims), a
 * concatenation, signatures and private attributes, whose meaning is not known, are left out.
 * ERROR_UNSUPPORTED for an object without frames; ERROR_CORRUPT for frames that cannot be told. */
bool extract_frames(const struct dataset *header, struct slice table,
                    const struct extraction *extraction, const struct transcode_source *source,
                    const struct transcode_sink *sink, struct error *err);
