/* SPDX-License-Identifier: MIT */
#include "dicom/image_probe.h"

#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "dicom/codec_decoders.h"

static bool is_broken(struct error *err)
{
    return error_set(err, ERROR_INVALID, "an image has no whole header of its media type");
}

static void take_header(struct image_probe *probe, const struct stream_header *header)
{
    probe->has_size = true;
    probe->rows = header->rows;
    probe->columns = header->columns;
    probe->samples = header->components;
    probe->precision = header->precision;
    probe->is_signed = header->is_signed;
}

/* JPEG and JPEG-LS. */

struct jpeg_markers {
    uint8_t frame; /* SOFn */
    struct stream_header header;
    uint8_t sampling;    /* of the first component */
    uint8_t first_id;    /* of a component */
    int adobe_transform; /* -1: not told */
    uint8_t predictor;   /* of the first scan, or NEAR of JPEG-LS */
};

static void note_segment(uint8_t marker, struct slice segment, struct jpeg_markers *markers)
{
    const uint8_t *p = segment.data;
    bool frame = marker == 0xF7 || (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 &&
                                    marker != 0xC8 && marker != 0xCC);
    if (frame && segment.size >= 9) {
        markers->frame = marker;
        markers->header.precision = p[0];
        markers->header.rows = get_u16be(p + 1);
        markers->header.columns = get_u16be(p + 3);
        markers->header.components = p[5];
        markers->first_id = p[6];
        markers->sampling = p[7];
    }
    if (marker == 0xEE && segment.size >= 12 && memcmp(p, "Adobe", 5) == 0)
        markers->adobe_transform = p[11];
    if (marker == 0xDA && segment.size >= 4 && segment.size >= 4u + 2u * p[0])
        markers->predictor = p[1 + 2 * p[0]];
}

/* The marker segments up to the first scan (ISO 10918-1 B.1.1, ISO 14495-1 C.1). */
static bool read_markers(struct slice head, struct jpeg_markers *markers)
{
    size_t at = 2;
    *markers = (struct jpeg_markers){ .adobe_transform = -1 };
    if (head.size < 4 || head.data[0] != 0xFF || head.data[1] != 0xD8)
        return false;
    while (at + 4 <= head.size && head.data[at] == 0xFF) {
        uint8_t marker = head.data[at + 1];
        if (marker == 0xFF) {
            at++;
            continue;
        }
        size_t length = get_u16be(head.data + at + 2);
        if (length < 2 || length > head.size - at - 2)
            return false;
        note_segment(marker, slice_of(head.data + at + 4, length - 2), markers);
        if (marker == 0xDA)
            return markers->frame != 0;
        at += 2 + length;
    }
    return false;
}

static const char *jpeg_syntax(const struct jpeg_markers *markers, uint8_t precision)
{
    switch (markers->frame) {
    case 0xC0:
        return UID_JPEG_BASELINE;
    case 0xC1:
        return precision == 8 ? UID_JPEG_BASELINE : "1.2.840.10008.1.2.4.51";
    case 0xC2:
        return "1.2.840.10008.1.2.4.55";
    case 0xC3:
        return markers->predictor == 1 ? UID_JPEG_LOSSLESS_SV1 : "1.2.840.10008.1.2.4.57";
    default:
        return "";
    }
}

static const char *jpeg_photometric(const struct jpeg_markers *markers, uint16_t components)
{
    if (components != 3)
        return components == 1 ? "MONOCHROME2" : NULL;
    bool lossless = markers->frame == 0xC3;
    if (markers->adobe_transform == 0 || (markers->adobe_transform < 0 && lossless) ||
        (markers->adobe_transform < 0 && markers->first_id == 'R'))
        return "RGB";
    return markers->sampling == 0x11 ? "YBR_FULL" : "YBR_FULL_422";
}

static bool probe_jpeg(struct slice head, const char **uid, struct image_probe *probe,
                       struct error *err)
{
    struct jpeg_markers markers;
    struct stream_header header;
    if (!read_markers(head, &markers) || !jpeg_header_read(head, &header, err))
        return is_broken(err);
    take_header(probe, &header);
    probe->photometric_interpretation = jpeg_photometric(&markers, header.components);
    *uid = jpeg_syntax(&markers, header.precision);
    return true;
}

static bool probe_jpeg_ls(struct slice head, const char **uid, struct image_probe *probe,
                          struct error *err)
{
    struct jpeg_markers markers;
    if (!read_markers(head, &markers) || markers.frame != 0xF7)
        return is_broken(err);
    take_header(probe, &markers.header);
    probe->photometric_interpretation = probe->samples == 1 ? "MONOCHROME2" : "RGB";
    *uid = markers.predictor ? "1.2.840.10008.1.2.4.81" : UID_JPEG_LS_LOSSLESS;
    return true;
}

/* JPEG 2000. */

/* Where the codestream stands in a JP2 file (ISO 15444-1 I.4); all of it is one otherwise. */
static bool find_codestream(struct slice head, uint64_t size, struct image_probe *probe)
{
    uint64_t at = 0;
    if (head.size < 12 || memcmp(head.data + 4, "jP  ", 4) != 0)
        return true;
    while (at + 16 <= head.size) {
        uint64_t length = get_u32be(head.data + at);
        uint64_t behind = 8;
        if (length == 1) {
            length = get_u64be(head.data + at + 8);
            behind = 16;
        } else if (length == 0) {
            length = size - at;
        }
        if (length < behind || length > size - at)
            return false;
        if (memcmp(head.data + at + 4, "jp2c", 4) == 0) {
            probe->offset = at + behind;
            probe->size = length - behind;
            return true;
        }
        at += length;
    }
    return false;
}

/* The coding style default of the main header (A.6.1): multiple component transform, and which
 * wavelet. */
static void read_coding_style(struct slice stream, bool *reversible, bool *transform)
{
    size_t at = 2;
    *reversible = *transform = false;
    while (at + 14 <= stream.size && stream.data[at] == 0xFF && stream.data[at + 1] != 0x90) {
        if (stream.data[at + 1] == 0x52) {
            *transform = stream.data[at + 8] != 0;
            *reversible = stream.data[at + 13] == 1;
            return;
        }
        at += 2 + (size_t)get_u16be(stream.data + at + 2);
    }
}

static bool probe_jpeg_2000(const char *media_type, struct slice head, uint64_t size,
                            const char **uid, struct image_probe *probe, struct error *err)
{
    struct stream_header header;
    struct slice stream;
    bool reversible, transform;
    if (!find_codestream(head, size, probe))
        return is_broken(err);
    head = slice_take(slice_skip(head, (size_t)probe->offset),
                      probe->size < SIZE_MAX ? (size_t)probe->size : SIZE_MAX);
    if (!jpeg2000_header_read(head, &stream, &header, err))
        return false;
    take_header(probe, &header);
    read_coding_style(head, &reversible, &transform);
    probe->photometric_interpretation = header.components == 1 ? "MONOCHROME2"
                                        : !transform           ? "RGB"
                                        : reversible           ? "YBR_RCT"
                                                               : "YBR_ICT";
    if (!strcmp(media_type, "image/jphc"))
        *uid = reversible ? "1.2.840.10008.1.2.4.201" : "1.2.840.10008.1.2.4.203";
    else if (!strcmp(media_type, "image/jpx"))
        *uid = reversible ? "1.2.840.10008.1.2.4.92" : "1.2.840.10008.1.2.4.93";
    else
        *uid = reversible ? UID_JPEG_2000_LOSSLESS : "1.2.840.10008.1.2.4.91";
    return true;
}

/* Others. */

static bool probe_rle(struct slice head, const char **uid, struct error *err)
{
    /* PS3.5 G.5: the number of segments, and the first begins behind the header. */
    if (head.size < 64 || get_u32le(head.data) > 15 || get_u32le(head.data + 4) != 64)
        return is_broken(err);
    *uid = UID_RLE_LOSSLESS;
    return true;
}

/* ISO 13818-2 6.2.2.1: the sequence header, behind what a transport or program stream puts first.
 */
static bool probe_mpeg2(struct slice head, const char **uid, struct image_probe *probe,
                        struct error *err)
{
    for (size_t at = 0; at + 8 <= head.size; at++) {
        const uint8_t *p = head.data + at;
        if (p[0] || p[1] || p[2] != 1 || p[3] != 0xB3)
            continue;
        probe->columns = (uint32_t)p[4] << 4 | p[5] >> 4;
        probe->rows = (uint32_t)(p[5] & 15) << 8 | p[6];
        probe->has_size = true;
        break;
    }
    if (!probe->has_size)
        return is_broken(err);
    *uid = probe->columns <= 720 && probe->rows <= 576 ? "1.2.840.10008.1.2.4.100"
                                                       : "1.2.840.10008.1.2.4.101";
    return true;
}

static bool probe_mp4(struct slice head, const char **uid, struct error *err)
{
    /* ISO 14496-12 4.3: it begins with its type; the sizes stand anywhere in it. */
    if (head.size < 12 || memcmp(head.data + 4, "ftyp", 4) != 0)
        return is_broken(err);
    *uid = "1.2.840.10008.1.2.4.102";
    return true;
}

static void take_video(struct image_probe *probe)
{
    probe->is_video = true;
    probe->samples = 3;
    probe->precision = 8;
    probe->photometric_interpretation = "YBR_PARTIAL_420"; /* PS3.5 8.2.5 to 8.2.11 */
}

static bool probe_stream(const char *media_type, struct slice head, uint64_t size, const char **uid,
                         struct image_probe *probe, struct error *err)
{
    if (!strcmp(media_type, "image/jpeg"))
        return probe_jpeg(head, uid, probe, err);
    if (!strcmp(media_type, "image/jls"))
        return probe_jpeg_ls(head, uid, probe, err);
    if (!strcmp(media_type, "image/jp2") || !strcmp(media_type, "image/jpx") ||
        !strcmp(media_type, "image/jphc"))
        return probe_jpeg_2000(media_type, head, size, uid, probe, err);
    if (!strcmp(media_type, "image/dicom-rle"))
        return probe_rle(head, uid, err);
    if (!strcmp(media_type, "video/mpeg2") || !strcmp(media_type, "video/mpeg")) {
        take_video(probe);
        return probe_mpeg2(head, uid, probe, err);
    }
    if (!strcmp(media_type, "video/mp4")) {
        take_video(probe);
        return probe_mp4(head, uid, err);
    }
    return error_set(err, ERROR_UNSUPPORTED, "pixel data is not taken as this media type");
}

/* What was asked for must be of the media type; and what the stream is, where it tells: of video
 * profiles, and of what may hold what is asked for less (a lossless stream in a syntax that may be
 * lossy), the client knows best. */
static bool choose_syntax(const char *asked, const char *found, const struct image_probe *probe,
                          const struct transfer_syntax **syntax, struct error *err)
{
    const struct transfer_syntax *own = transfer_syntax_find(slice_text(found));
    if (!own)
        return error_set(err, ERROR_UNSUPPORTED, "no transfer syntax is for such an image");
    *syntax = asked[0] ? transfer_syntax_find(slice_text(asked)) : own;
    if (!*syntax || !(*syntax)->media_type || strcmp((*syntax)->media_type, own->media_type) != 0)
        return error_set(err, ERROR_UNSUPPORTED, "the transfer syntax is none of the media type");
    bool jpeg = !strcmp(own->media_type, "image/jpeg");
    bool fits = *syntax == own || probe->is_video ||
                (jpeg ? !strcmp(asked, "1.2.840.10008.1.2.4.57") && !own->lossy
                      : (*syntax)->lossy || !own->lossy);
    if (jpeg && !strcmp(asked, "1.2.840.10008.1.2.4.51") && !strcmp(own->uid, UID_JPEG_BASELINE))
        fits = true;
    return fits || error_set(err, ERROR_INVALID, "the image is of another transfer syntax");
}

bool image_probe(const char *media_type, const char *asked, struct slice head, uint64_t size,
                 struct image_probe *probe, struct error *err)
{
    const char *found = "";
    *probe = (struct image_probe){ .size = size };
    return probe_stream(media_type, head, size, &found, probe, err) &&
           choose_syntax(asked, found, probe, &probe->syntax, err);
}
