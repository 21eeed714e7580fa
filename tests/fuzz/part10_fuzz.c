/* SPDX-License-Identifier: MIT */
/* The beginning of a file: what is read must lie in it, fit its fields, and not depend on how much
 * more has come. */
#include <stdlib.h>

#include "dicom/part10.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* The preamble says nothing: it is not in the input. */
    struct buffer file = buffer_up_to(4 << 20);
    static const uint8_t preamble[128];
    buffer_append(&file, slice_of(preamble, sizeof(preamble)));
    buffer_append(&file, slice_of(data, size));

    struct file_meta meta, again;
    struct error err;
    bool complete;
    if (file_meta_read(buffer_slice(&file), &meta, &complete, &err) && complete) {
        require(meta.size <= file.size);
        require(uid_is_safe(slice_text(meta.transfer_syntax)));
        require(strlen(meta.source_ae) <= 16);
        struct buffer copy = buffer_up_to(4096);
        file_meta_write(&meta, &copy);
        require(file_meta_read(buffer_slice(&copy), &again, &complete, &err) && complete);
        require(strcmp(again.transfer_syntax, meta.transfer_syntax) == 0);
        require(strcmp(again.sop_instance, meta.sop_instance) == 0);
        buffer_release(&copy);
        for (size_t cut = 0; cut < meta.size; cut += 1 + cut / 8) {
            require(file_meta_read(slice_take(buffer_slice(&file), cut), &again, &complete, &err));
            require(!complete);
        }
    }
    buffer_release(&file);
    return 0;
}
