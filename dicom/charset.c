/* SPDX-License-Identifier: MIT */
#include "dicom/charset.h"

#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "dicom/charset_sets.h"
#include "dicom/tag.h"
#include "dicom/utf8.h"

enum encoding {
    ENCODING_ISO_2022, /* G0 and G1, which escapes may change */
    ENCODING_UTF8,
    ENCODING_GB18030, /* GBK too: it is a part of it */
};

struct charset {
    enum encoding encoding;
    enum graphic_set g0; /* at the start and after each reset */
    enum graphic_set g1;
};

/* Escapes are honoured whether announced or not, so a set is told by what is active at the start:
 * these are all. */
static const struct charset utf8_charset = { ENCODING_UTF8, SET_ASCII, SET_NONE };
static const struct charset gb18030_charset = { ENCODING_GB18030, SET_ASCII, SET_NONE };
static const struct charset japanese_charset = { ENCODING_ISO_2022, SET_JIS_ROMAN, SET_KATAKANA };
static const struct charset g1_charsets[] = {
#define G1(set) [set] = { ENCODING_ISO_2022, SET_ASCII, set }
    G1(SET_LATIN1), G1(SET_LATIN2), G1(SET_LATIN3),    G1(SET_LATIN4), G1(SET_CYRILLIC),
    G1(SET_ARABIC), G1(SET_GREEK),  G1(SET_HEBREW),    G1(SET_LATIN5), G1(SET_LATIN9),
    G1(SET_THAI),   G1(SET_NONE),   G1(SET_KS_X_1001), G1(SET_GB_2312)
#undef G1
};

/* Names without their "ISO", "2022", "IR" and all that is no letter or digit, so that the many
 * spellings met in the field are one. */
static const struct {
    const char *name;
    const struct charset *charset;
} names[] = {
    { "6", &g1_charsets[SET_NONE] },
    { "100", &g1_charsets[SET_LATIN1] },
    { "101", &g1_charsets[SET_LATIN2] },
    { "109", &g1_charsets[SET_LATIN3] },
    { "110", &g1_charsets[SET_LATIN4] },
    { "144", &g1_charsets[SET_CYRILLIC] },
    { "127", &g1_charsets[SET_ARABIC] },
    { "126", &g1_charsets[SET_GREEK] },
    { "138", &g1_charsets[SET_HEBREW] },
    { "148", &g1_charsets[SET_LATIN5] },
    { "203", &g1_charsets[SET_LATIN9] },
    { "166", &g1_charsets[SET_THAI] },
    { "13", &japanese_charset },
    { "14", &japanese_charset },
    { "87", &g1_charsets[SET_NONE] },
    { "159", &g1_charsets[SET_NONE] },
    { "149", &g1_charsets[SET_KS_X_1001] },
    { "58", &g1_charsets[SET_GB_2312] },
    { "192", &utf8_charset },
    { "GB18030", &gb18030_charset },
    { "GBK", &gb18030_charset },
    { "GB2312", &gb18030_charset },
    { "UTF8", &utf8_charset },
    { "88591", &g1_charsets[SET_LATIN1] },
    { "LATIN1", &g1_charsets[SET_LATIN1] },
    { "88592", &g1_charsets[SET_LATIN2] },
    { "88595", &g1_charsets[SET_CYRILLIC] },
    { "88596", &g1_charsets[SET_ARABIC] },
    { "88597", &g1_charsets[SET_GREEK] },
    { "88598", &g1_charsets[SET_HEBREW] },
    { "88599", &g1_charsets[SET_LATIN5] },
    { "885915", &g1_charsets[SET_LATIN9] },
    { "SHIFTJIS", &japanese_charset },
};

static const char *skip_word(const char *name, const char *word)
{
    size_t size = strlen(word);
    return strncmp(name, word, size) == 0 ? name + size : name;
}

/* NULL when no set has this name. */
static const struct charset *find_name(struct slice value)
{
    char name[24];
    size_t size = 0;
    for (size_t i = 0; i < value.size; i++) {
        if (!isalnum(value.data[i]))
            continue;
        if (size == sizeof(name) - 1)
            return NULL;
        name[size++] = (char)toupper(value.data[i]);
    }
    name[size] = 0;
    const char *key = skip_word(skip_word(skip_word(name, "ISO"), "2022"), "IR");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(key, names[i].name) == 0)
            return names[i].charset;
    }
    return NULL;
}

const struct charset *charset_find(struct slice value)
{
    const struct charset *none = &g1_charsets[SET_NONE];
    while (value.size) {
        const uint8_t *end = memchr(value.data, '\\', value.size);
        size_t size = end ? (size_t)(end - value.data) : value.size;
        const struct charset *charset = find_name(slice_take(value, size));
        /* The first value is what is active at the start. When that is the default repertoire,
         * which gives bytes above 7F no meaning, the first of the others that does is better than
         * a guess: writers forget escapes. */
        if (charset && charset != none)
            return charset;
        value = slice_skip(value, end ? size + 1 : size);
    }
    return none;
}

const struct charset *charset_utf8(void)
{
    return &utf8_charset;
}

/* Two-byte sets go through glibc's iconv. A descriptor has state, so each thread has its own. */
enum codec { CODEC_JAPANESE, CODEC_SHIFT_JIS, CODEC_KOREAN, CODEC_GB18030, CODECS };
static const char *const codec_names[] = { "EUC-JP", "CP932", "UHC", "GB18030" };

struct codecs {
    bool opened[CODECS];
    iconv_t descriptors[CODECS];
};
static pthread_key_t codecs_key;
static pthread_once_t codecs_once = PTHREAD_ONCE_INIT;

static void codecs_free(void *memory)
{
    struct codecs *codecs = memory;
    for (int i = 0; i < CODECS; i++) {
        if (codecs->opened[i] && codecs->descriptors[i] != (iconv_t)-1)
            iconv_close(codecs->descriptors[i]);
    }
    free(codecs);
}

static void codecs_start(void)
{
    if (pthread_key_create(&codecs_key, codecs_free) != 0)
        abort();
}

/* (iconv_t)-1 on a system without glibc's conversion modules. */
static iconv_t codec_descriptor(enum codec codec)
{
    pthread_once(&codecs_once, codecs_start);
    struct codecs *codecs = pthread_getspecific(codecs_key);
    if (!codecs) {
        codecs = mem_alloc(sizeof(*codecs));
        if (pthread_setspecific(codecs_key, codecs) != 0)
            abort();
    }
    if (!codecs->opened[codec]) {
        codecs->descriptors[codec] = iconv_open("UTF-8", codec_names[codec]);
        codecs->opened[codec] = true;
    }
    return codecs->descriptors[codec];
}

/* Appends what stands at the start of `bytes` up to the first that cannot be converted; returns how
 * many bytes that was. */
static size_t convert(enum codec codec, struct slice bytes, struct buffer *utf8)
{
    iconv_t descriptor = codec_descriptor(codec);
    if (descriptor == (iconv_t)-1)
        return 0;
    iconv(descriptor, NULL, NULL, NULL, NULL);
    char *in = (char *)(uintptr_t)bytes.data; /* iconv does not write there */
    size_t in_left = bytes.size;
    for (;;) {
        char text[512];
        char *out = text;
        size_t out_left = sizeof(text);
        size_t result = iconv(descriptor, &in, &in_left, &out, &out_left);
        buffer_append(utf8, slice_of(text, sizeof(text) - out_left));
        if (result != (size_t)-1 || errno != E2BIG)
            return bytes.size - in_left;
    }
}

static void append_replacement(struct buffer *utf8)
{
    utf8_append(utf8, UTF8_REPLACEMENT);
}

/* GB 18030 and GBK, where a second byte may be 5C, 5E or 3D: no look at single bytes. */
static void decode_gb18030(struct slice text, struct buffer *utf8)
{
    while (text.size) {
        text = slice_skip(text, convert(CODEC_GB18030, text, utf8));
        if (text.size) {
            append_replacement(utf8);
            text = slice_skip(text, 1);
        }
    }
}

struct decoder {
    const struct charset *charset;
    enum graphic_set g0;
    enum graphic_set g1;
    bool is_name;        /* PN: ^ and = are delimiters */
    bool is_multivalued; /* backslash is one */
    bool is_plain;       /* a VR without (0008,0005): romaji are ASCII */
    struct buffer *utf8;
};

static void decoder_reset(struct decoder *decoder)
{
    decoder->g0 = decoder->charset->g0;
    decoder->g1 = decoder->charset->g1;
}

static bool is_delimiter(const struct decoder *decoder, uint8_t byte)
{
    return (byte == '\\' && decoder->is_multivalued) ||
           ((byte == '^' || byte == '=') && decoder->is_name);
}

/* The escape sequences of PS3.3 tables C.12-3 and C.12-4, and of ISO 2022-JP for JIS C 6226 and
 * katakana in G0. */
static const struct {
    const char *sequence;
    uint8_t half; /* 0: G0, 1: G1 */
    enum graphic_set set;
} escapes[] = {
    { "(B", 0, SET_ASCII },       { "(J", 0, SET_JIS_ROMAN },  { "(I", 0, SET_KATAKANA },
    { "$B", 0, SET_JIS_X_0208 },  { "$@", 0, SET_JIS_X_0208 }, { "$(B", 0, SET_JIS_X_0208 },
    { "$(D", 0, SET_JIS_X_0212 }, { "$(C", 0, SET_KS_X_1001 }, { "$A", 0, SET_GB_2312 },
    { "$(A", 0, SET_GB_2312 },    { ")I", 1, SET_KATAKANA },   { "$)C", 1, SET_KS_X_1001 },
    { "$)A", 1, SET_GB_2312 },    { "-A", 1, SET_LATIN1 },     { "-B", 1, SET_LATIN2 },
    { "-C", 1, SET_LATIN3 },      { "-D", 1, SET_LATIN4 },     { "-F", 1, SET_GREEK },
    { "-G", 1, SET_ARABIC },      { "-H", 1, SET_HEBREW },     { "-L", 1, SET_CYRILLIC },
    { "-M", 1, SET_LATIN5 },      { "-T", 1, SET_THAI },       { "-b", 1, SET_LATIN9 },
};

/* `text` begins with ESC. Returns the size of the sequence, known or not; an ESC that begins none
 * is one byte. */
static size_t decode_escape(struct decoder *decoder, struct slice text)
{
    size_t size = 1;
    while (size < text.size && text.data[size] >= 0x20 && text.data[size] <= 0x2F)
        size++;
    if (size == 1 || size == text.size || text.data[size] < 0x30 || text.data[size] > 0x7E)
        return 1;
    size++;
    struct slice sequence = slice_of(text.data + 1, size - 1);
    for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
        if (slice_equals_text(sequence, escapes[i].sequence)) {
            *(escapes[i].half ? &decoder->g1 : &decoder->g0) = escapes[i].set;
            break;
        }
    }
    return size;
}

static bool is_two_byte(enum graphic_set set)
{
    return set >= SET_JIS_X_0208;
}

/* The rows of NEC and IBM in the empty part of JIS X 0208, which names like 髙 are written in: only
 * Shift JIS knows them. */
static bool convert_vendor_row(uint8_t lead, uint8_t trail, struct buffer *utf8)
{
    uint8_t row = lead - 0xA1, cell = trail - 0xA1;
    uint8_t first = (uint8_t)(0x81 + row / 2);
    uint8_t second = row % 2 ? (uint8_t)(cell + 0x9F) : (uint8_t)(cell + 0x40);
    uint8_t bytes[2] = { first > 0x9F ? (uint8_t)(first + 0x40) : first,
                         row % 2 == 0 && second >= 0x7F ? (uint8_t)(second + 1) : second };
    return convert(CODEC_SHIFT_JIS, slice_of(bytes, 2), utf8) == 2;
}

/* One two-byte character, given as in EUC (both bytes above A0). */
static void decode_pair(enum graphic_set set, uint8_t lead, uint8_t trail, struct buffer *utf8)
{
    uint8_t bytes[3] = { 0x8F, lead, trail }; /* 8F: JIS X 0212 in EUC-JP */
    struct slice pair = slice_of(bytes + 1, 2);
    bool ok;
    switch (set) {
    case SET_JIS_X_0208:
        ok = convert(CODEC_JAPANESE, pair, utf8) || convert_vendor_row(lead, trail, utf8);
        break;
    case SET_JIS_X_0212:
        ok = convert(CODEC_JAPANESE, slice_of(bytes, 3), utf8);
        break;
    case SET_KS_X_1001:
        ok = convert(CODEC_KOREAN, pair, utf8);
        break;
    default:
        ok = convert(CODEC_GB18030, pair, utf8);
        break;
    }
    if (!ok)
        append_replacement(utf8);
}

/* A graphic byte 21 to 7E. Returns the bytes taken. */
static size_t decode_g0(struct decoder *decoder, struct slice text)
{
    uint8_t byte = text.data[0];
    if (is_two_byte(decoder->g0)) {
        uint8_t trail = text.size > 1 ? text.data[1] : 0;
        if (trail >= 0x21 && trail <= 0x7E) {
            decode_pair(decoder->g0, byte | 0x80, trail | 0x80, decoder->utf8);
            return 2;
        }
        /* Half a character: a writer that did not switch back. */
        decoder->g0 = SET_ASCII;
    }
    if (is_delimiter(decoder, byte)) {
        decoder_reset(decoder);
        buffer_append_byte(decoder->utf8, byte);
    } else if (decoder->g0 == SET_KATAKANA && byte <= 0x5F) {
        utf8_append(decoder->utf8, 0xFF61u + byte - 0x21);
    } else if (decoder->g0 == SET_JIS_ROMAN && !decoder->is_plain && byte == 0x5C) {
        utf8_append(decoder->utf8, 0xA5); /* yen */
    } else if (decoder->g0 == SET_JIS_ROMAN && !decoder->is_plain && byte == 0x7E) {
        utf8_append(decoder->utf8, 0x203E); /* overline */
    } else {
        buffer_append_byte(decoder->utf8, byte);
    }
    return 1;
}

/* What writers of Windows code pages leave behind the name of the set they extend: Shift JIS under
 * JIS X 0201, Unified Hangul under KS X 1001, GBK under GB 2312. None of these pairs means anything
 * in the set itself. */
static bool decode_extension(struct decoder *decoder, struct slice text)
{
    uint8_t lead = text.data[0];
    uint8_t trail = text.size > 1 ? text.data[1] : 0;
    if (trail < 0x40 || trail == 0x7F || trail == 0xFF || is_delimiter(decoder, trail))
        return false;
    struct slice pair = slice_take(text, 2);
    switch (decoder->g1) {
    case SET_KATAKANA:
        return lead != 0xA0 && (lead < 0xA1 || lead > 0xDF) &&
               convert(CODEC_SHIFT_JIS, pair, decoder->utf8) == 2;
    case SET_KS_X_1001:
        return convert(CODEC_KOREAN, pair, decoder->utf8) == 2;
    case SET_GB_2312:
        return convert(CODEC_GB18030, pair, decoder->utf8) == 2;
    default:
        return false;
    }
}

/* A byte above 7F. Returns the bytes taken. */
static size_t decode_g1(struct decoder *decoder, struct slice text)
{
    uint8_t byte = text.data[0];
    uint8_t trail = text.size > 1 ? text.data[1] : 0;
    enum graphic_set set = decoder->g1;
    if (set < SET_TABLES && byte >= 0xA0 && charset_g1_table[set][byte - 0xA0]) {
        utf8_append(decoder->utf8, charset_g1_table[set][byte - 0xA0]);
        return 1;
    }
    if (set == SET_KATAKANA && byte >= 0xA1 && byte <= 0xDF) {
        utf8_append(decoder->utf8, 0xFF61u + byte - 0xA1);
        return 1;
    }
    if (is_two_byte(set) && byte >= 0xA1 && byte <= 0xFE && trail >= 0xA1 && trail <= 0xFE) {
        decode_pair(set, byte, trail, decoder->utf8);
        return 2;
    }
    if (decode_extension(decoder, text))
        return 2;
    if (is_two_byte(set) || set == SET_KATAKANA)
        append_replacement(decoder->utf8);
    else
        utf8_append(decoder->utf8, byte); /* as Latin-1 */
    return 1;
}

static void decode_iso_2022(struct decoder *decoder, struct slice text)
{
    decoder_reset(decoder);
    while (text.size) {
        uint8_t byte = text.data[0];
        size_t taken = 1;
        if (byte == 0x1B) {
            taken = decode_escape(decoder, text);
        } else if (byte < 0x20) {
            decoder_reset(decoder);
            buffer_append_byte(decoder->utf8, byte);
        } else if (byte == 0x20 || byte == 0x7F) {
            buffer_append_byte(decoder->utf8, byte);
        } else if (byte < 0x80) {
            taken = decode_g0(decoder, text);
        } else {
            taken = decode_g1(decoder, text);
        }
        text = slice_skip(text, taken);
    }
}

/* Is there a byte above 7F or an ESC? Eight at a time: a byte that is ESC is zero after the
 * exclusive or, and a borrow out of it sets the highest bit. */
static bool has_high_or_escape(struct slice text)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t found = 0;
    size_t at = 0;
    for (; at + 8 <= text.size; at += 8) {
        uint64_t bytes = get_u64le(text.data + at);
        found |= ((bytes ^ ones * 0x1B) - ones) | bytes;
    }
    for (; at < text.size; at++)
        found |= text.data[at] == 0x1B ? 0x80 : text.data[at];
    return found & ones << 7;
}

/* 5C and 7E, which JIS X 0201 reads in its own way. */
static bool has_romaji(struct slice text)
{
    return text.size && (memchr(text.data, 0x5C, text.size) || memchr(text.data, 0x7E, text.size));
}

/* Sets without escapes: each part between them for itself, so that none comes out. */
static void decode_without_escapes(enum encoding encoding, struct slice text, struct buffer *utf8)
{
    while (text.size) {
        const uint8_t *escape = memchr(text.data, 0x1B, text.size);
        size_t size = escape ? (size_t)(escape - text.data) : text.size;
        if (encoding == ENCODING_GB18030)
            decode_gb18030(slice_take(text, size), utf8);
        else
            utf8_append_repaired(utf8, slice_take(text, size));
        text = slice_skip(text, escape ? size + 1 : size);
    }
}

bool charset_is_plain(const struct charset *charset, struct slice text)
{
    return !has_high_or_escape(text) && (charset->g0 == SET_ASCII || !has_romaji(text));
}

void charset_decode(const struct charset *charset, uint16_t vr, struct slice text,
                    struct buffer *utf8)
{
    if (charset_is_plain(charset, text)) {
        buffer_append(utf8, text);
        return;
    }
    enum encoding encoding = charset->encoding;
    /* The default repertoire has no bytes above 7F; what is valid UTF-8 is hardly ever anything
     * else. */
    if (encoding == ENCODING_ISO_2022 && charset->g1 == SET_NONE &&
        !memchr(text.data, 0x1B, text.size) && utf8_is_valid(text))
        encoding = ENCODING_UTF8;
    if (encoding != ENCODING_ISO_2022) {
        decode_without_escapes(encoding, text, utf8);
        return;
    }
    struct decoder decoder = {
        .charset = charset,
        .is_name = vr == VR_PN,
        .is_multivalued = vr_is_multi_valued(vr),
        .is_plain = !vr_uses_character_set(vr),
        .utf8 = utf8,
    };
    decode_iso_2022(&decoder, text);
}
