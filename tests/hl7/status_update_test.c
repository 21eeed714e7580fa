/* SPDX-License-Identifier: MIT */
#include "hl7/status_update.h"

#include "dicom/encode.h"
#include "tests/test.h"

static void write_update(size_t name_size, struct buffer *message)
{
    struct buffer bytes = buffer_up_to(4 << 20), name = buffer_up_to(4 << 20);
    struct encoder encoder = { &bytes, true };
    struct dataset *step;
    struct error err = { 0 };
    while (name.size < name_size)
        buffer_append_byte(&name, '&'); /* three bytes each, escaped */
    encode_bytes(&encoder, TAG_PATIENT_NAME, VR_PN, buffer_slice(&name));
    encode_bytes(&encoder, TAG_PATIENT_ID, VR_LO, buffer_slice(&name));
    CHECK_OK(dataset_open(buffer_slice(&bytes),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &step, &err),
             err);
    const struct hl7_update update = { step, "IP", "U1", 0, "HOUNSFIELD", "RIS", "" };
    hl7_update_write(&update, message);
    dataset_close(step);
    buffer_release(&bytes);
    buffer_release(&name);
}

TEST(a_status_update_that_does_not_fit_is_none_and_never_cut)
{
    struct buffer fits = buffer_up_to(1 << 20), too_long = buffer_up_to(4 << 20);
    write_update(64, &fits);
    CHECK(!fits.overflowed);
    CHECK(memmem(fits.data, fits.size, "\\T\\\\T\\", 6));
    write_update(60 << 10, &too_long);
    CHECK(too_long.overflowed);
    buffer_release(&fits);
    buffer_release(&too_long);
}
