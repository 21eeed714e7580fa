/* SPDX-License-Identifier: MIT */
#include "dicomweb/wado_accept.h"

#include <string.h>

#include "dicom/transcode.h"

/* Implicit VR and big endian objects have a place in DIMSE only. */
static bool may_be_sent(const struct transfer_syntax *syntax)
{
    return syntax->explicit_vr && !syntax->big_endian;
}

int wado_choose_syntax(const struct transfer_syntax *stored, const char *stored_uid,
                       const char *asked, const struct transfer_syntax **to)
{
    const struct transfer_syntax *plain = transfer_syntax_find(
        slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    bool any = !strcmp(asked, "*");
    bool open = !*asked;
    if (may_be_sent(stored) && (any || !strcmp(asked, stored_uid) || (open && stored == plain)))
        return SYNTAX_AS_STORED;
    if (open && stored->encapsulated && (stored->lossy || !transcode_is_possible(stored, plain)))
        return SYNTAX_AS_STORED;
    const struct transfer_syntax *wanted = any || open ? plain
                                                       : transfer_syntax_find(slice_text(asked));
    if (wanted && may_be_sent(wanted) && transcode_is_possible(stored, wanted)) {
        *to = wanted;
        return SYNTAX_TRANSCODED;
    }
    return SYNTAX_IMPOSSIBLE;
}
