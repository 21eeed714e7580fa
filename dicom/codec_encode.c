/* SPDX-License-Identifier: MIT */
#include "dicom/codec_encode.h"

#include <string.h>

#include "dicom/codec_encoders.h"

/* To encode takes longer than to decode: a larger frame would hold its receiver up. */
enum { MAX_NATIVE = 64 << 20 };

static const struct encoder_row {
    const char *uid;
    frame_encoder *encode;
    bool transforms_colours; /* RGB becomes YBR_RCT */
    bool takes_any_bits;     /* bytes are bytes, whatever bits of them count */
} encoders[] = {
    { UID_RLE_LOSSLESS, codec_rle_encode, false, true },
    { UID_JPEG_LS_LOSSLESS, codec_jpeg_ls_encode, false, false },
    { UID_JPEG_2000_LOSSLESS, codec_jpeg2000_encode, true, false },
#ifdef HOUNSFIELD_OPENJPH
    { UID_HTJ2K_LOSSLESS, codec_htj2k_encode, true, false },
    { UID_HTJ2K_LOSSLESS_RPCL, codec_htj2k_encode, true, false },
#endif
};

static const struct encoder_row *find_encoder(const struct transfer_syntax *syntax)
{
    for (size_t i = 0; i < sizeof(encoders) / sizeof(encoders[0]); i++)
        if (strcmp(encoders[i].uid, syntax->uid) == 0)
            return &encoders[i];
    return NULL;
}

bool codec_can_encode(const struct transfer_syntax *syntax)
{
    return find_encoder(syntax) != NULL;
}

/* Does every sample keep its value when only the bits that are stored remain? */
static bool fits(const struct pixel_format *format, struct slice native, unsigned bits)
{
    size_t bytes = format->bits_allocated / 8u;
    int32_t low = format->pixel_representation ? -(1 << (bits - 1)) : 0;
    int32_t high = format->pixel_representation ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
    for (size_t at = 0; at + bytes <= native.size; at += bytes) {
        int32_t value = sample_get(format, native.data + at);
        if (value < low || value > high)
            return false;
    }
    return true;
}

/* Overlays in unused bits make more of them count. A decoder extends the sign of those that are
 * stored, so signed pixels cannot have such. */
static bool choose_precision(const struct pixel_format *format, struct slice native,
                             unsigned *precision, struct error *err)
{
    *precision = format->bits_stored;
    if (fits(format, native, *precision))
        return true;
    *precision = format->bits_allocated;
    return !format->pixel_representation ||
           error_set(err, ERROR_UNSUPPORTED, "signed pixels with more in their unused bits");
}

static bool check(const struct pixel_format *format, struct slice native, size_t *size,
                  struct error *err)
{
    bool is_whole = format->bits_allocated == 8 || format->bits_allocated == 16;
    bool is_colour = format->samples_per_pixel == 3;
    if (!is_whole || (format->samples_per_pixel != 1 && !is_colour) || !format->bits_stored ||
        format->bits_stored > format->bits_allocated || format->planar_configuration)
        return error_set(err, ERROR_UNSUPPORTED, "no encoder for %u samples of %u bits",
                         format->samples_per_pixel, format->bits_allocated);
    *size = (size_t)format->rows * format->columns * format->samples_per_pixel *
            (format->bits_allocated / 8u);
    if (*size > MAX_NATIVE)
        return error_set(err, ERROR_LIMIT, "a frame of more than %d bytes to be encoded",
                         MAX_NATIVE);
    if (!*size || native.size < *size || format->rows > UINT16_MAX || format->columns > UINT16_MAX)
        return error_set(err, ERROR_INVALID, "a frame of %zu bytes instead of %zu", native.size,
                         *size);
    return true;
}

bool codec_encode_frame(const struct transfer_syntax *syntax, struct pixel_format *format,
                        struct slice native, struct buffer *out, struct error *err)
{
    const struct encoder_row *row = find_encoder(syntax);
    unsigned precision = format->bits_allocated;
    size_t size = 0;
    if (!row)
        return error_set(err, ERROR_UNSUPPORTED, "no encoder for transfer syntax %s", syntax->uid);
    if (!check(format, native, &size, err))
        return false;
    native = slice_take(native, size);
    if (!row->takes_any_bits && !choose_precision(format, native, &precision, err))
        return false;
    if (!row->encode(format, precision, native, out, err))
        return false;
    if (row->transforms_colours && strcmp(format->photometric_interpretation, "RGB") == 0)
        strcpy(format->photometric_interpretation, "YBR_RCT");
    return true;
}
