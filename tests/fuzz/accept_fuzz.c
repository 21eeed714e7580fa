/* SPDX-License-Identifier: MIT */
/* The Accept field and media types: any bytes, and what is chosen must be among what is offered. */
#include <stdlib.h>
#include <string.h>

#include "http/media_type.h"
#include "http/multipart_reader.h"
#include "http/negotiate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct offer offers[] = {
        { "multipart/related", "application/dicom", "1.2.840.10008.1.2.1", false },
        { "multipart/related", "application/dicom", "1.2.840.10008.1.2.4.90", true },
        { "application/dicom+json", NULL, NULL, false },
        { "image/jpeg", NULL, NULL, false },
    };
    struct media_type type;
    if (media_type_parse(slice_of(data, size), &type)) {
        const char *boundary = media_type_parameter(&type, "boundary");
        if (!strchr(type.type, '/') || type.parameter_count > MEDIA_TYPE_PARAMETERS)
            abort();
        if (boundary && multipart_boundary_is_valid(boundary) &&
            strlen(boundary) >= MULTIPART_BOUNDARY_SIZE)
            abort();
    }
    char *field = malloc(size + 1);
    if (!field)
        abort();
    memcpy(field, data, size);
    field[size] = '\0';
    struct accept accept;
    size_t range = 0;
    accept_parse(field, &accept);
    int choice = accept_choose(&accept, offers, 4, &range);
    if (choice < -1 || choice > 3 || accept.count > ACCEPT_MAX_RANGES ||
        (choice >= 0 && (range >= accept.count || !accept.ranges[range].quality)))
        abort();
    free(field);
    return 0;
}
