/* SPDX-License-Identifier: MIT */
#include "dicom/uid.h"

enum { EXPLICIT = 1, BIG_ENDIAN_ORDER = 2, DEFLATED = 4, ENCAPSULATED = 8, LOSSY = 16 };

#define SYNTAX(uid, name, flags, media_type)                                                       \
    {                                                                                              \
        uid, name, ((flags)&EXPLICIT) != 0, ((flags)&BIG_ENDIAN_ORDER) != 0,                       \
            ((flags)&DEFLATED) != 0, ((flags)&ENCAPSULATED) != 0, ((flags)&LOSSY) != 0, media_type \
    }

/* PS3.6 table A-1; media types of frames from PS3.18 8.7.3.3. The JPIP and SMPTE syntaxes have no
 * pixel data in the data set (PS3.5 A.6, A.7, A.9). */
static const struct transfer_syntax syntaxes[] = {
    SYNTAX("1.2.840.10008.1.2", "Implicit VR Little Endian", 0, NULL),
    SYNTAX("1.2.840.10008.1.2.1", "Explicit VR Little Endian", EXPLICIT, NULL),
    SYNTAX("1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian",
           EXPLICIT | ENCAPSULATED, "application/octet-stream"),
    SYNTAX("1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian", EXPLICIT | DEFLATED,
           NULL),
    SYNTAX("1.2.840.10008.1.2.2", "Explicit VR Big Endian", EXPLICIT | BIG_ENDIAN_ORDER, NULL),
    SYNTAX("1.2.840.10008.1.2.4.50", "JPEG Baseline (Process 1)", EXPLICIT | ENCAPSULATED | LOSSY,
           "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.51", "JPEG Extended (Process 2 and 4)",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.52", "JPEG Extended (Process 3 and 5)",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.53", "JPEG Spectral Selection, Non-Hierarchical (Process 6 and 8)",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.54", "JPEG Spectral Selection, Non-Hierarchical (Process 7 and 9)",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.55", "JPEG Full Progression, Non-Hierarchical (Process 10 and 12)",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.56", "JPEG Full Progression, Non-Hierarchical (Process 11 and 13)",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.57", "JPEG Lossless, Non-Hierarchical (Process 14)",
           EXPLICIT | ENCAPSULATED, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.58", "JPEG Lossless, Non-Hierarchical (Process 15)",
           EXPLICIT | ENCAPSULATED, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.59", "JPEG Extended, Hierarchical (Process 16 and 18)",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.60", "JPEG Extended, Hierarchical (Process 17 and 19)",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.61", "JPEG Spectral Selection, Hierarchical (Process 20 and 22)",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.62", "JPEG Spectral Selection, Hierarchical (Process 21 and 23)",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.63", "JPEG Full Progression, Hierarchical (Process 24 and 26)",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.64", "JPEG Full Progression, Hierarchical (Process 25 and 27)",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.65", "JPEG Lossless, Hierarchical (Process 28)",
           EXPLICIT | ENCAPSULATED, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.66", "JPEG Lossless, Hierarchical (Process 29)",
           EXPLICIT | ENCAPSULATED, "image/jpeg"),
    SYNTAX(
        "1.2.840.10008.1.2.4.70",
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
        EXPLICIT | ENCAPSULATED, "image/jpeg"),
    SYNTAX("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless Image Compression", EXPLICIT | ENCAPSULATED,
           "image/jls"),
    SYNTAX("1.2.840.10008.1.2.4.81", "JPEG-LS Lossy (Near-Lossless) Image Compression",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jls"),
    SYNTAX("1.2.840.10008.1.2.4.90", "JPEG 2000 Image Compression (Lossless Only)",
           EXPLICIT | ENCAPSULATED, "image/jp2"),
    SYNTAX("1.2.840.10008.1.2.4.91", "JPEG 2000 Image Compression", EXPLICIT | ENCAPSULATED | LOSSY,
           "image/jp2"),
    SYNTAX("1.2.840.10008.1.2.4.92",
           "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)",
           EXPLICIT | ENCAPSULATED, "image/jpx"),
    SYNTAX("1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2 Multi-component Image Compression",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jpx"),
    SYNTAX("1.2.840.10008.1.2.4.94", "JPIP Referenced", EXPLICIT | LOSSY, NULL),
    SYNTAX("1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate", EXPLICIT | DEFLATED | LOSSY, NULL),
    SYNTAX("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mpeg"),
    SYNTAX("1.2.840.10008.1.2.4.100.1", "Fragmentable MPEG2 Main Profile / Main Level",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mpeg"),
    SYNTAX("1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mpeg"),
    SYNTAX("1.2.840.10008.1.2.4.101.1", "Fragmentable MPEG2 Main Profile / High Level",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mpeg"),
    SYNTAX("1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mp4"),
    SYNTAX("1.2.840.10008.1.2.4.102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mp4"),
    SYNTAX("1.2.840.10008.1.2.4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mp4"),
    SYNTAX("1.2.840.10008.1.2.4.103.1",
           "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mp4"),
    SYNTAX("1.2.840.10008.1.2.4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mp4"),
    SYNTAX("1.2.840.10008.1.2.4.104.1",
           "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mp4"),
    SYNTAX("1.2.840.10008.1.2.4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mp4"),
    SYNTAX("1.2.840.10008.1.2.4.105.1",
           "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mp4"),
    SYNTAX("1.2.840.10008.1.2.4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mp4"),
    SYNTAX("1.2.840.10008.1.2.4.106.1",
           "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mp4"),
    SYNTAX("1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile / Level 5.1",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mp4"),
    SYNTAX("1.2.840.10008.1.2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1",
           EXPLICIT | ENCAPSULATED | LOSSY, "video/mp4"),
    SYNTAX("1.2.840.10008.1.2.4.110", "JPEG XL Lossless", EXPLICIT | ENCAPSULATED, "image/jxl"),
    SYNTAX("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression", EXPLICIT | ENCAPSULATED | LOSSY,
           "image/jxl"),
    SYNTAX("1.2.840.10008.1.2.4.112", "JPEG XL", EXPLICIT | ENCAPSULATED | LOSSY, "image/jxl"),
    SYNTAX("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 Image Compression (Lossless Only)",
           EXPLICIT | ENCAPSULATED, "image/jphc"),
    SYNTAX("1.2.840.10008.1.2.4.202",
           "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)",
           EXPLICIT | ENCAPSULATED, "image/jphc"),
    SYNTAX("1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000 Image Compression",
           EXPLICIT | ENCAPSULATED | LOSSY, "image/jphc"),
    SYNTAX("1.2.840.10008.1.2.4.204", "JPIP HTJ2K Referenced", EXPLICIT | LOSSY, NULL),
    SYNTAX("1.2.840.10008.1.2.4.205", "JPIP HTJ2K Referenced Deflate", EXPLICIT | DEFLATED | LOSSY,
           NULL),
    SYNTAX("1.2.840.10008.1.2.5", "RLE Lossless", EXPLICIT | ENCAPSULATED, "image/dicom-rle"),
    SYNTAX("1.2.840.10008.1.2.6.1", "RFC 2557 MIME encapsulation", EXPLICIT, NULL),
    SYNTAX("1.2.840.10008.1.2.6.2", "XML Encoding", EXPLICIT, NULL),
    SYNTAX("1.2.840.10008.1.2.7.1", "SMPTE ST 2110-20 Uncompressed Progressive Active Video",
           EXPLICIT, NULL),
    SYNTAX("1.2.840.10008.1.2.7.2", "SMPTE ST 2110-20 Uncompressed Interlaced Active Video",
           EXPLICIT, NULL),
    SYNTAX("1.2.840.10008.1.2.7.3", "SMPTE ST 2110-30 PCM Digital Audio", EXPLICIT, NULL),
    SYNTAX("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", EXPLICIT | ENCAPSULATED,
           "application/octet-stream"),
    SYNTAX("1.2.840.10008.1.20", "Papyrus 3 Implicit VR Little Endian", 0, NULL),
};
enum { SYNTAX_COUNT = sizeof(syntaxes) / sizeof(syntaxes[0]) };

/* Implicit VR little endian but for the pixel data, which is big endian; not of DICOM, but there
 * are archives full of it. */
static const struct transfer_syntax ge_private = {
    "1.2.840.113619.5.2", "Implicit VR, big endian pixel data (GE private)", .explicit_vr = false
};
static const struct transfer_syntax private_syntax = { "", "Private transfer syntax",
                                                       .explicit_vr = true, .encapsulated = true };

/* Some sixty, and asked once an object: a walk from the front, where the frequent ones are. */
const struct transfer_syntax *transfer_syntax_find(struct slice uid)
{
    for (size_t i = 0; i < SYNTAX_COUNT; i++)
        if (slice_equals_text(uid, syntaxes[i].uid))
            return &syntaxes[i];
    return NULL;
}

const struct transfer_syntax *transfer_syntax_or_private(struct slice uid)
{
    const struct transfer_syntax *syntax = transfer_syntax_find(uid);
    if (syntax)
        return syntax;
    return slice_equals_text(uid, ge_private.uid) ? &ge_private : &private_syntax;
}

const struct transfer_syntax *transfer_syntax_all(size_t *count)
{
    *count = SYNTAX_COUNT;
    return syntaxes;
}
