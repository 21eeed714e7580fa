/* SPDX-License-Identifier: MIT */
#include "dicomweb/wado_accept.h"

#include <string.h>

#include "dicom/codec.h"
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

bool wado_must_be_named(const struct transfer_syntax *syntax)
{
    static const char *const defaults[] = {
        UID_JPEG_LOSSLESS_SV1,     UID_JPEG_LS_LOSSLESS,     UID_JPEG_2000_LOSSLESS,
        UID_RLE_LOSSLESS,          "1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.201",
        "1.2.840.10008.1.2.4.110",
    };
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        if (!strcmp(syntax->uid, defaults[i]))
            return false;
    return codec_can_decode(syntax);
}

bool wado_count_possible(const struct retrieve *retrieve, const char *asked, uint64_t *possible,
                         struct error *err)
{
    const struct transfer_syntax *to;
    const char *last = NULL;
    bool is_possible = false;
    *possible = 0;
    if (!retrieve_count(retrieve))
        return error_set(err, ERROR_GONE, "the instances were deleted");
    /* Most have the same transfer syntax as the one before. */
    for (uint64_t i = 0; i < retrieve_count(retrieve); i++) {
        const char *uid = retrieve_syntax(retrieve, i);
        if (!last || strcmp(uid, last) != 0)
            is_possible = wado_choose_syntax(transfer_syntax_or_private(slice_text(uid)), uid,
                                             asked, &to) != SYNTAX_IMPOSSIBLE;
        *possible += is_possible;
        last = uid;
    }
    return *possible || error_set(err, ERROR_UNSUPPORTED,
                                  "no instance can be given in this transfer syntax; \"*\" gives "
                                  "each as it is stored");
}
