/* SPDX-License-Identifier: MIT */
#include "dicom/codec_decoders.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <vector>

#include <pthread.h>

#include <dcmtk/config/osconfig.h>

#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/oflog/oflog.h>

namespace
{

pthread_once_t registered = PTHREAD_ONCE_INIT;

void register_decoders()
{
    OFLog::configure(OFLogger::OFF_LOG_LEVEL);
    DJDecoderRegistration::registerCodecs(EDC_photometricInterpretation, EUC_never,
                                          EPC_colorByPixel);
}

/* DCMTK decodes frames of data sets, so one is made that has just what its decoders ask for. */
bool fill_dataset(DcmDataset &dataset, const pixel_format &format, E_TransferSyntax syntax,
                  slice encoded)
{
    OFCondition status = dataset.putAndInsertUint16(DCM_SamplesPerPixel, format.samples_per_pixel);
    if (status.good())
        status = dataset.putAndInsertString(DCM_PhotometricInterpretation,
                                            format.photometric_interpretation);
    if (status.good() && format.samples_per_pixel > 1)
        status = dataset.putAndInsertUint16(DCM_PlanarConfiguration, 0);
    if (status.good())
        status = dataset.putAndInsertUint16(DCM_Rows, (Uint16)format.rows);
    if (status.good())
        status = dataset.putAndInsertUint16(DCM_Columns, (Uint16)format.columns);
    if (status.good())
        status = dataset.putAndInsertUint16(DCM_BitsAllocated, format.bits_allocated);
    if (status.good())
        status = dataset.putAndInsertUint16(DCM_BitsStored, format.bits_stored);
    if (status.good())
        status = dataset.putAndInsertUint16(DCM_HighBit, (Uint16)(format.bits_stored - 1));
    if (status.good())
        status = dataset.putAndInsertUint16(DCM_PixelRepresentation, format.pixel_representation);
    if (status.bad())
        return false;
    DcmPixelSequence *sequence = new DcmPixelSequence(DcmTag(DCM_PixelData, EVR_OB));
    DcmOffsetList offsets;
    sequence->insert(new DcmPixelItem(DcmTag(DCM_Item, EVR_OB)));
    /* Only read from, though the parameter is not const. */
    status = sequence->storeCompressedFrame(offsets, const_cast<Uint8 *>(encoded.data),
                                            (Uint32)encoded.size, 0);
    DcmPixelData *pixels = new DcmPixelData(DCM_PixelData);
    pixels->putOriginalRepresentation(syntax, nullptr, sequence);
    if (dataset.insert(pixels, true).bad()) {
        delete pixels;
        return false;
    }
    return status.good();
}

bool decode(const char *uid, pixel_format &format, slice encoded, struct space out, error *err)
{
    DcmDataset dataset;
    OFString photometric;
    Uint32 fragment = 0;
    DcmElement *pixels = nullptr;
    E_TransferSyntax syntax = DcmXfer(uid).getXfer();
    if (encoded.size > 0x7FFFFFFF)
        return error_set(err, ERROR_LIMIT, "a compressed frame of %zu bytes", encoded.size);
    if (!fill_dataset(dataset, format, syntax, encoded) ||
        dataset.findAndGetElement(DCM_PixelData, pixels).bad())
        return error_set(err, ERROR_INVALID, "the frame cannot be handed to its decoder");
    /* Its decoders round a frame up to even size. */
    std::vector<uint8_t> even(out.size % 2 ? out.size + 1 : 0);
    void *target = even.empty() ? out.data : even.data();
    OFCondition status = pixels->getUncompressedFrame(
        &dataset, 0, fragment, target, (Uint32)(out.size + out.size % 2), photometric);
    if (status.bad())
        return error_set(err, ERROR_INVALID, "the frame cannot be decoded: %s", status.text());
    if (!even.empty())
        memcpy(out.data, even.data(), out.size);
    if (!photometric.empty())
        snprintf(format.photometric_interpretation, sizeof(format.photometric_interpretation), "%s",
                 photometric.c_str());
    return true;
}

bool decode_safely(const char *uid, pixel_format &format, slice encoded, struct space out,
                   error *err)
{
    pthread_once(&registered, register_decoders);
    try {
        return decode(uid, format, encoded, out, err);
    } catch (...) {
        return error_set(err, ERROR_INVALID, "the frame cannot be decoded");
    }
}

/* Samples of 8 bits, in the front half of the space, to 16. */
void widen(struct space out)
{
    for (size_t i = out.size / 2; i-- > 0;) {
        out.data[2 * i] = out.data[i];
        out.data[2 * i + 1] = 0;
    }
}

/* The stream has the stored bits only; a signed sample has its sign in all above them as well. */
void extend_sign(const pixel_format &format, struct space out)
{
    unsigned bytes = format.bits_allocated / 8u;
    for (size_t at = 0; at + bytes <= out.size; at += bytes) {
        uint32_t value = out.data[at] | (bytes > 1 ? (uint32_t)out.data[at + 1] << 8 : 0);
        sample_put(out.data + at, format.bits_allocated,
                   sample_of((int32_t)value, format.bits_stored, &format));
    }
}

} // namespace

bool codec_jpeg_decode(const char *uid, struct pixel_format *format, struct slice encoded,
                       struct space out, struct error *err)
{
    struct stream_header header;
    if (!jpeg_header_read(encoded, &header, err) || !stream_header_check(&header, format, err))
        return false;
    if (format->bits_allocated > 16)
        return error_set(err, ERROR_UNSUPPORTED, "JPEG with %u bits allocated",
                         format->bits_allocated);
    bool narrow = header.precision <= 8 && format->bits_allocated == 16;
    pixel_format decoded = *format;
    if (narrow) {
        decoded.bits_allocated = 8;
        decoded.bits_stored = header.precision;
    }
    struct space space = { out.data, narrow ? out.size / 2 : out.size };
    if (!decode_safely(uid, decoded, encoded, space, err))
        return false;
    if (narrow)
        widen(out);
    if (format->pixel_representation && format->bits_stored < format->bits_allocated)
        extend_sign(*format, out);
    memcpy(format->photometric_interpretation, decoded.photometric_interpretation,
           sizeof(decoded.photometric_interpretation));
    return true;
}
