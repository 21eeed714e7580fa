/* SPDX-License-Identifier: MIT */
#include "dicom/charset.h"

#include <pthread.h>

#include "dicom/tag.h"
#include "dicom/utf8.h"
#include "tests/test.h"

#define ESC "\x1B"

static const char *decode_bytes(const char *set, uint16_t vr, const char *bytes, size_t size)
{
    static struct buffer text;
    buffer_release(&text);
    text = buffer_up_to(1 << 20);
    charset_decode(charset_find(slice_text(set)), vr, slice_of(bytes, size), &text);
    CHECK(utf8_is_valid(buffer_slice(&text)));
    return buffer_text(&text);
}

static const char *decode(const char *set, uint16_t vr, const char *bytes)
{
    return decode_bytes(set, vr, bytes, strlen(bytes));
}

/* The examples of PS3.5 annexes H to L, byte by byte. */

TEST(japanese_names_of_annex_h_without_romaji)
{
    const char *name = "Yamada^Tarou=" ESC "$B;3ED" ESC "(B^" ESC "$BB@O:" ESC "(B=" ESC
                       "$B$d$^$@" ESC "(B^" ESC "$B$?$m$&" ESC "(B";
    CHECK_TEXT(decode("\\ISO 2022 IR 87", VR_PN, name), "Yamada^Tarou=山田^太郎=やまだ^たろう");
}

TEST(japanese_names_of_annex_h_with_half_width_katakana)
{
    const char *name = "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=" ESC "$B;3ED" ESC "(J^" ESC "$BB@O:" ESC
                       "(J=" ESC "$B$d$^$@" ESC "(J^" ESC "$B$?$m$&" ESC "(J";
    CHECK_TEXT(decode("ISO 2022 IR 13\\ISO 2022 IR 87", VR_PN, name),
               "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう");
}

TEST(korean_names_of_annex_i)
{
    const char *name = "Hong^Gildong=" ESC "$)C\xFB\xF3^" ESC "$)C\xD1\xCE\xD4\xD7=" ESC
                       "$)C\xC8\xAB^" ESC "$)C\xB1\xE6\xB5\xBF";
    CHECK_TEXT(decode("\\ISO 2022 IR 149", VR_PN, name), "Hong^Gildong=洪^吉洞=홍^길동");
}

TEST(korean_text_of_annex_i_announces_its_set_on_each_line)
{
    const char *text = ESC "$)C\xB1\xE6\xB5\xBF one\r\n" ESC "$)C\xC8\xAB two\r\n";
    CHECK_TEXT(decode("\\ISO 2022 IR 149", VR_LT, text), "길동 one\r\n홍 two\r\n");
}

TEST(chinese_names_of_annex_j_and_k)
{
    CHECK_TEXT(decode("ISO_IR 192", VR_PN, "Wang^XiaoDong=\xE7\x8E\x8B^\xE5\xB0\x8F\xE6\x9D\xB1="),
               "Wang^XiaoDong=王^小東=");
    CHECK_TEXT(decode("GB18030", VR_PN, "Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB="),
               "Wang^XiaoDong=王^小东=");
    CHECK_TEXT(decode("\\ISO 2022 IR 58", VR_PN,
                      "Zhang^XiaoDong=" ESC "$)A\xD5\xC5^" ESC "$)A\xD0\xA1\xB6\xAB="),
               "Zhang^XiaoDong=张^小东=");
}

TEST(names_of_single_byte_sets)
{
    CHECK_TEXT(decode("ISO_IR 100", VR_PN, "Buc^J\xE9r\xF4me"), "Buc^Jérôme");
    CHECK_TEXT(decode("ISO_IR 100", VR_PN,
                      "\xC4neas^R\xFC"
                      "diger"),
               "Äneas^Rüdiger");
    CHECK_TEXT(decode("ISO_IR 101", VR_PN,
                      "W\xB3"
                      "adys\xB3"
                      "aw"),
               "Władysław");
    CHECK_TEXT(decode("ISO_IR 109", VR_LO,
                      "\xFE"
                      "e\xB6"),
               "ŝeĥ");
    CHECK_TEXT(decode("ISO_IR 110", VR_LO, "\xE8\xE0"), "čā");
    CHECK_TEXT(decode("ISO_IR 126", VR_PN, "\xC4\xE9\xEF\xED\xF5\xF3\xE9\xEF\xF2"), "Διονυσιος");
    CHECK_TEXT(decode("ISO_IR 127", VR_PN, "\xE2\xC8\xC7\xE6\xEA^\xE4\xE6\xD2\xC7\xD1"),
               "قباني^لنزار");
    CHECK_TEXT(decode("ISO_IR 138", VR_PN, "\xF9\xF8\xE5\xEF^\xE3\xE1\xE5\xF8\xE4"), "שרון^דבורה");
    CHECK_TEXT(decode("ISO_IR 144", VR_PN,
                      "\xBB\xEE\xDA"
                      "ce\xDC\xD1yp\xD3"),
               "Люкceмбypг");
    CHECK_TEXT(decode("ISO_IR 148", VR_PN,
                      "Ay\xFE"
                      "e^\xDDpek"),
               "Ayşe^İpek");
    CHECK_TEXT(decode("ISO_IR 166", VR_PN, "\xB9\xD2\xC1\xCA\xA1\xD8\xC5"), "นามสกุล");
    CHECK_TEXT(decode("ISO_IR 203", VR_LO, "12 \xA4 \xBD"), "12 € œ");
    CHECK_TEXT(decode("ISO_IR 13", VR_PN, "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3"), "ﾔﾏﾀﾞ^ﾀﾛｳ");
}

TEST(code_extensions_switch_between_single_byte_sets)
{
    CHECK_TEXT(decode("ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126", VR_PN,
                      "J\xE9r\xF4me=" ESC "-L\xBB\xEE\xDA=" ESC "-F\xC4\xE9\xEF"),
               "Jérôme=Люк=Διο");
    CHECK_TEXT(decode("ISO 2022 IR 6\\ISO 2022 IR 166", VR_LO, ESC "-T\xB9\xD2 a"), "นา a");
    CHECK_TEXT(decode("\\ISO 2022 IR 203", VR_LO, ESC "-b\xA4"), "€");
}

TEST(supplementary_kanji_are_jis_x_0212)
{
    CHECK_TEXT(decode("\\ISO 2022 IR 87\\ISO 2022 IR 159", VR_PN,
                      "=" ESC "$(D0!" ESC "(B^" ESC "$B;3" ESC "(B"),
               "=丂^山");
}

TEST(delimiters_reset_the_active_sets)
{
    /* After each of them the bytes are the initial set's again: here Latin-1. */
    const char *set = "ISO 2022 IR 100\\ISO 2022 IR 144";
    CHECK_TEXT(decode(set, VR_PN, ESC "-L\xE0^\xE0"), "р^à");
    CHECK_TEXT(decode(set, VR_PN, ESC "-L\xE0=\xE0"), "р=à");
    CHECK_TEXT(decode(set, VR_LO, ESC "-L\xE0\\\xE0"), "р\\à");
    CHECK_TEXT(decode(set, VR_LT, ESC "-L\xE0\n\xE0"), "р\nà");
    CHECK_TEXT(decode(set, VR_LT, ESC "-L\xE0\f\xE0"), "р\fà");
    CHECK_TEXT(decode(set, VR_LT, ESC "-L\xE0\t\xE0"), "р\tà");
    CHECK_TEXT(decode(set, VR_LT, ESC "-L\xE0\r\xE0"), "р\rà");
}

TEST(what_is_no_delimiter_in_a_vr_does_not_reset)
{
    const char *set = "ISO 2022 IR 100\\ISO 2022 IR 144";
    CHECK_TEXT(decode(set, VR_LO, ESC "-L\xE0^\xE0=\xE0"), "р^р=р");
    CHECK_TEXT(decode(set, VR_LT, ESC "-L\xE0\\\xE0"), "р\\р");
    CHECK_TEXT(decode(set, VR_UT, ESC "-L\xE0 \xE0"), "р р");
}

TEST(backslash_as_second_byte_is_no_separator)
{
    /* 5C, 5E and 3D.. as second bytes of GBK and GB 18030, and both bytes of JIS X 0208. */
    CHECK_TEXT(decode("GBK", VR_LO, "\x81\x5C\\\x8C\x5E"), "乗\\宆");
    CHECK_TEXT(decode("GB18030", VR_PN, "\x81\x5C^\x81\x5E=\x95\x32\x82\x36"), "乗^乛=𠀀");
    CHECK_TEXT(decode("\\ISO 2022 IR 87", VR_LO, ESC "$B\\5=E" ESC "(B\\a"), "楜重\\a");
}

TEST(japanese_writers_that_forget_to_switch_back_lose_no_delimiter)
{
    CHECK_TEXT(decode("\\ISO 2022 IR 87", VR_PN, ESC "$B;3ED^" ESC "$BB@O:" ESC "(B"), "山田^太郎");
    CHECK_TEXT(decode("\\ISO 2022 IR 87", VR_PN, ESC "$B;3ED\r\nab"), "山田\r\nab");
}

TEST(yen_and_overline_of_romaji_are_told_from_separators)
{
    CHECK_TEXT(decode("ISO_IR 13", VR_LO, "a\\b~"), "a\\b\xE2\x80\xBE");
    CHECK_TEXT(decode("ISO_IR 13", VR_LT, "a\\b"), "a\xC2\xA5"
                                                   "b");
    CHECK_TEXT(decode("ISO_IR 13", VR_UR, "http://a/~b"), "http://a/~b");
}

TEST(windows_writers_behind_the_names_of_japanese_korean_and_chinese_sets_are_read)
{
    CHECK_TEXT(decode("ISO_IR 13", VR_PN, "\x8E\x52\x93\x63^\x91\xBE\x98\x59"), "山田^太郎");
    CHECK_TEXT(decode("\\ISO 2022 IR 149", VR_PN, ESC "$)C\x8C\x63"), "똠");
    CHECK_TEXT(decode("\\ISO 2022 IR 87", VR_PN, ESC "$B|b-!" ESC "(B"), "髙①");
    CHECK_TEXT(decode("\\ISO 2022 IR 149", VR_PN, "\xC8\xAB"), "홍");
}

TEST(misspelt_names_of_sets_are_understood)
{
    static const char *const latin1[] = { "ISO_IR 100",   "ISO_IR_100",      "ISO-IR 100",
                                          "ISO IR 100",   "ISO_IR 100 ",     "iso_ir 100",
                                          "ISO_IR100",    "ISO 2022 IR 100", "ISO 2022-IR 100",
                                          "ISO2022IR100", "ISO-8859-1",      "ISO IR_100" };
    for (size_t i = 0; i < sizeof(latin1) / sizeof(latin1[0]); i++)
        CHECK_TEXT(decode(latin1[i], VR_LO, "\xE9\xC3\xA9"), "éÃ©");
    static const char *const utf8[] = { "ISO_IR 192", "UTF-8", "utf8", "ISO IR 192",
                                        "\\ISO_IR 192" };
    for (size_t i = 0; i < sizeof(utf8) / sizeof(utf8[0]); i++)
        CHECK_TEXT(decode(utf8[i], VR_LO, "\xC3\xA9\xE9"), "é\xEF\xBF\xBD");
    CHECK_TEXT(decode("ISO 2022 IR 6\\ISO 2022 IR 87", VR_LO, ESC "$B;3" ESC "(B"), "山");
    CHECK_TEXT(decode("ISO 2022 GB18030", VR_LO, "\xCD\xF5"), "王");
}

TEST(unknown_names_are_the_default_repertoire)
{
    CHECK(charset_find(slice_text("ISO_IR 999")) == charset_find(slice_text("")));
    CHECK(charset_find(slice_text("a name that is longer than any that exists")) ==
          charset_find(slice_text("")));
    CHECK(charset_find(slice_text("ISO_IR 6")) == charset_find(slice_text("")));
}

TEST(default_repertoire_reads_stray_bytes_as_utf8_or_latin1)
{
    CHECK_TEXT(decode("", VR_PN, "M\xFCller"), "Müller");
    CHECK_TEXT(decode("", VR_PN, "M\xC3\xBCller"), "Müller");
}

TEST(a_forgotten_escape_takes_the_only_other_set)
{
    CHECK_TEXT(decode("\\ISO_IR 144", VR_PN, "\xBB\xEE\xDA"), "Люк");
}

TEST(bytes_without_a_character_become_latin1_or_replacements)
{
    CHECK_TEXT(decode("ISO_IR 126", VR_LO, "\xD2\xFF"), "Òÿ");
    CHECK_TEXT(decode("ISO_IR 192", VR_LO, "a\xED\xA0\x80z"),
               "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz");
    CHECK_TEXT(
        decode("ISO_IR 192", VR_LO, "\xC0\xAF\xF4\x90\x80\x80\xE7\x8E"),
        "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    CHECK_TEXT(decode("GB18030", VR_LO,
                      "\xFF"
                      "a\x81"),
               "\xEF\xBF\xBD"
               "a\xEF\xBF\xBD");
    CHECK_TEXT(decode("\\ISO 2022 IR 149", VR_LO, ESC "$)C\xFE"), "\xEF\xBF\xBD");
}

TEST(no_escape_is_left_over)
{
    static const char *const sets[] = { "", "ISO_IR 100", "ISO_IR 192", "GB18030",
                                        "ISO 2022 IR 13\\ISO 2022 IR 87" };
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        CHECK(!strchr(decode(sets[i], VR_LO, "a" ESC), 0x1B));
        CHECK(!strchr(decode(sets[i], VR_LO, ESC "$"), 0x1B));
        CHECK(!strchr(decode(sets[i], VR_LO, ESC "(~b" ESC ESC "z\xE9" ESC "(B"), 0x1B));
    }
    CHECK_TEXT(decode("", VR_LO, "a" ESC "-Zb"), "ab");
    CHECK_TEXT(decode("", VR_LO, "a" ESC "b"), "ab");
}

TEST(every_byte_of_every_set_gives_valid_utf8)
{
    static const char *const sets[] = {
        "",           "ISO_IR 100",        "ISO_IR 101",       "ISO_IR 109",      "ISO_IR 110",
        "ISO_IR 144", "ISO_IR 127",        "ISO_IR 126",       "ISO_IR 138",      "ISO_IR 148",
        "ISO_IR 166", "ISO_IR 203",        "ISO_IR 13",        "ISO_IR 192",      "GB18030",
        "GBK",        "\\ISO 2022 IR 149", "\\ISO 2022 IR 58", "\\ISO 2022 IR 87"
    };
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        for (int lead = 0; lead < 256; lead++) {
            for (int trail = 0; trail < 256; trail++) {
                char bytes[4] = { (char)lead, (char)trail, 'x', (char)lead };
                decode_bytes(sets[i], VR_LO, bytes, 4);
            }
        }
    }
}

TEST(decoding_stops_at_the_limit_of_the_buffer)
{
    struct buffer text = buffer_up_to(7);
    charset_decode(charset_find(slice_text("ISO_IR 100")), VR_LO,
                   slice_text("\xE9\xE9\xE9\xE9\xE9"), &text);
    CHECK(text.overflowed);
    CHECK(text.size <= 7 && utf8_is_valid(buffer_slice(&text)));
    buffer_release(&text);
}

static void *decode_often(void *failed)
{
    for (int i = 0; i < 500; i++) {
        struct buffer text = buffer_up_to(100);
        charset_decode(charset_find(slice_text("\\ISO 2022 IR 87")), VR_PN,
                       slice_text("A=" ESC "$B;3ED" ESC "(B"), &text);
        if (!slice_equals_text(buffer_slice(&text), "A=山田"))
            *(bool *)failed = true;
        buffer_release(&text);
    }
    return NULL;
}

TEST(threads_decode_side_by_side)
{
    pthread_t threads[4];
    bool failed[4] = { false };
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, decode_often, &failed[i]) == 0);
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(!failed[i]);
    }
}
