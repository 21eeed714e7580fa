/* SPDX-License-Identifier: MIT */
#include "dimse/status.h"

#include <string.h>

static const struct {
    enum error_code error;
    uint16_t store;
    uint16_t query;
} codes[] = {
    { ERROR_INVALID, STATUS_CANNOT_UNDERSTAND, STATUS_MISMATCH },
    { ERROR_MISMATCH, STATUS_MISMATCH, STATUS_MISMATCH },
    { ERROR_UNSUPPORTED, STATUS_SOP_CLASS_NOT_SUPPORTED, STATUS_MISMATCH },
    { ERROR_CONFLICT, STATUS_DUPLICATE_INSTANCE, STATUS_CANNOT_UNDERSTAND },
    { ERROR_LIMIT, STATUS_CANNOT_UNDERSTAND, STATUS_OUT_OF_RESOURCES },
    { ERROR_NO_SPACE, STATUS_OUT_OF_RESOURCES, STATUS_OUT_OF_RESOURCES },
    { ERROR_BUSY, STATUS_OUT_OF_RESOURCES, STATUS_OUT_OF_RESOURCES },
    { ERROR_IO, STATUS_OUT_OF_RESOURCES, STATUS_OUT_OF_RESOURCES },
    { ERROR_STOPPED, STATUS_OUT_OF_RESOURCES, STATUS_OUT_OF_RESOURCES },
    { ERROR_TIMEOUT, STATUS_OUT_OF_RESOURCES, STATUS_OUT_OF_RESOURCES },
};

/* LO is 64 characters of ASCII here: no character set goes with a command (PS3.7 6.3.1), and a
 * backslash would divide the value. */
struct status status_make(uint16_t code, const char *comment)
{
    struct status status = { .code = code };
    size_t size = strnlen(comment, COMMENT_SIZE - 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)comment[i];
        status.comment[i] = (char)(c < 0x20 || c >= 0x7F || c == '\\' ? '.' : c);
    }
    return status;
}

void status_add_attribute(struct status *status, uint32_t tag)
{
    if (status->attribute_count < STATUS_ELEMENTS)
        status->attributes[status->attribute_count++] = tag;
}

struct status status_from_error(enum service service, const struct error *err)
{
    uint16_t code = service == SERVICE_STORAGE ? STATUS_PROCESSING_FAILURE
                                               : STATUS_CANNOT_UNDERSTAND;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].error == err->code)
            code = service == SERVICE_STORAGE ? codes[i].store : codes[i].query;
    struct status status = status_make(code, err->message);
    status.offending_element = err->tag;
    return status;
}
