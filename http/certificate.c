/* SPDX-License-Identifier: MIT */
#include "http/certificate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"

enum { PEM_LIMIT = 1 << 20 };

static bool read_file(const char *path, char **out, struct error *err)
{
    struct buffer text = buffer_up_to(PEM_LIMIT);
    char piece[4096];
    size_t size;
    bool ok = false;
    FILE *file = fopen(path, "rbe");
    if (!file)
        return error_set_errno(err, errno, "cannot open %s", path);
    while ((size = fread(piece, 1, sizeof(piece), file)) > 0)
        if (!buffer_append(&text, slice_of(piece, size)))
            break;
    if (ferror(file))
        error_set_errno(err, errno, "cannot read %s", path);
    else
        ok = buffer_check(&text, path, err);
    if (ok)
        *out = mem_copy_text(buffer_text(&text));
    fclose(file);
    explicit_bzero(piece, sizeof(piece));
    if (text.data)
        explicit_bzero(text.data, text.size);
    buffer_release(&text);
    return ok;
}

bool certificate_load(const struct tls_files *files, struct certificate *certificate,
                      struct error *err)
{
    struct tls_credentials *credentials = NULL;
    memset(certificate, 0, sizeof(*certificate));
    if (!files->certificate || !files->key)
        return error_set(err, ERROR_INVALID, "HTTPS needs a certificate and a key");
    /* Whose error says what is wrong with them; the HTTP library's does not. */
    if (!tls_credentials_load(files, &credentials, err))
        return error_add_context(err, "HTTPS");
    tls_credentials_free(credentials);
    if (read_file(files->certificate, &certificate->chain, err) &&
        read_file(files->key, &certificate->key, err))
        return true;
    certificate_release(certificate);
    return false;
}

void certificate_release(struct certificate *certificate)
{
    if (certificate->key)
        explicit_bzero(certificate->key, strlen(certificate->key));
    free(certificate->chain);
    free(certificate->key);
    memset(certificate, 0, sizeof(*certificate));
}
