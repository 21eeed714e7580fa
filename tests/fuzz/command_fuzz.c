/* SPDX-License-Identifier: MIT */
/* The command set decoder. What is accepted must have texts that end, and its answer must be
 * readable. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dimse/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct command command;
    struct command answer;
    struct error err;
    struct buffer out = buffer_up_to(COMMAND_LIMIT);
    struct status status = status_make(STATUS_SUCCESS, "");
    if (command_decode(slice_of(data, size), &command, &err)) {
        if (strnlen(command.sop_class, UID_SIZE) == UID_SIZE ||
            strnlen(command.sop_instance, UID_SIZE) == UID_SIZE ||
            strnlen(command.destination, AE_TITLE_SIZE) == AE_TITLE_SIZE ||
            strnlen(command.originator, AE_TITLE_SIZE) == AE_TITLE_SIZE ||
            strnlen(command.comment, COMMENT_SIZE) == COMMENT_SIZE)
            abort();
        command_encode_response(&command, &status, NULL, false, false, &out);
        if (!command_decode(buffer_slice(&out), &answer, &err) || answer.is_faulty)
            abort();
    }
    buffer_release(&out);
    return 0;
}
