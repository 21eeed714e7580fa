/* SPDX-License-Identifier: MIT */
#include "base/signature.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { RSA_BITS_MIN = 2048, EC_BITS = 384, EC_NUMBER_SIZE = EC_BITS / 8 };

struct signing_key {
    gnutls_privkey_t key;
    bool is_ec;
};

static bool check_kind(struct signing_key *key, const char *path, struct error *err)
{
    unsigned bits = 0;
    int kind = gnutls_privkey_get_pk_algorithm(key->key, &bits);
    key->is_ec = kind == GNUTLS_PK_ECDSA;
    if ((key->is_ec && bits == EC_BITS) || (kind == GNUTLS_PK_RSA && bits >= RSA_BITS_MIN))
        return true;
    return error_set(err, ERROR_INVALID,
                     "%.150s: the key is neither RSA of %d bits or more nor on the curve P-384",
                     path, RSA_BITS_MIN);
}

bool signing_key_load(const char *path, struct signing_key **out, struct error *err)
{
    gnutls_datum_t pem = { NULL, 0 };
    *out = NULL;
    int code = gnutls_load_file(path, &pem);
    if (code < 0)
        return error_set(err, ERROR_NOT_FOUND, "%.150s: %s", path, gnutls_strerror(code));
    struct signing_key *key = mem_alloc(sizeof *key);
    if (gnutls_privkey_init(&key->key) < 0)
        abort();
    code = gnutls_privkey_import_x509_raw(key->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_memset(pem.data, 0, pem.size);
    gnutls_free(pem.data);
    bool ok = code >= 0 || error_set(err, ERROR_INVALID, "%.150s: %s", path, gnutls_strerror(code));
    if (!ok || !check_kind(key, path, err)) {
        signing_key_free(key);
        return false;
    }
    *out = key;
    return true;
}

void signing_key_free(struct signing_key *key)
{
    if (!key)
        return;
    gnutls_privkey_deinit(key->key);
    free(key);
}

const char *signing_key_algorithm(const struct signing_key *key)
{
    return key->is_ec ? "ES384" : "RS384";
}

/* To just 48 bytes: DER leaves zeros in front off, and puts one there for the sign. */
static void append_number(gnutls_datum_t number, struct buffer *out)
{
    while (number.size > EC_NUMBER_SIZE && *number.data == 0) {
        number.data++;
        number.size--;
    }
    for (unsigned i = number.size; i < EC_NUMBER_SIZE; i++)
        buffer_append_byte(out, 0);
    buffer_append(out, slice_of(number.data, number.size));
}

static bool append_pair(const gnutls_datum_t *der, struct buffer *out)
{
    gnutls_datum_t r = { NULL, 0 }, s = { NULL, 0 };
    if (gnutls_decode_rs_value(der, &r, &s) < 0)
        return false;
    append_number(r, out);
    append_number(s, out);
    gnutls_free(r.data);
    gnutls_free(s.data);
    return true;
}

bool signing_key_sign(const struct signing_key *key, struct slice bytes, struct buffer *signature,
                      struct error *err)
{
    const gnutls_datum_t data = { (unsigned char *)(uintptr_t)bytes.data, (unsigned)bytes.size };
    gnutls_datum_t raw = { NULL, 0 };
    gnutls_sign_algorithm_t algorithm = key->is_ec ? GNUTLS_SIGN_ECDSA_SHA384
                                                   : GNUTLS_SIGN_RSA_SHA384;
    int code = gnutls_privkey_sign_data2(key->key, algorithm, 0, &data, &raw);
    if (code < 0)
        return error_set(err, ERROR_IO, "cannot sign: %s", gnutls_strerror(code));
    bool ok = true;
    if (key->is_ec)
        ok = append_pair(&raw, signature) || error_set(err, ERROR_IO, "cannot sign");
    else
        buffer_append(signature, slice_of(raw.data, raw.size));
    gnutls_free(raw.data);
    return ok;
}
