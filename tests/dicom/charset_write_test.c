/* SPDX-License-Identifier: MIT */
#include "dicom/charset_write.h"

#include <stdio.h>

#include "dicom/charset.h"
#include "dicom/charset_sets.h"
#include "dicom/tag.h"
#include "dicom/utf8.h"
#include "tests/test.h"

#define ESC "\x1B"

/* NULL: it cannot be said. */
static const char *write_text(const char *set, uint16_t vr, const char *utf8)
{
    static struct buffer text;
    buffer_release(&text);
    text = buffer_up_to(1 << 20);
    struct charset_writer *writer = charset_writer_open(slice_text(set));
    CHECK(writer);
    bool ok = charset_write(writer, vr, slice_text(utf8), &text);
    charset_writer_close(writer);
    return ok ? buffer_text(&text) : NULL;
}

/* The examples of PS3.5 annexes H to K, byte by byte. */
TEST(names_are_written_as_the_annexes_write_them)
{
    CHECK_TEXT(write_text("\\ISO 2022 IR 87", VR_PN, "Yamada^Tarou=山田^太郎=やまだ^たろう"),
               "Yamada^Tarou=" ESC "$B;3ED" ESC "(B^" ESC "$BB@O:" ESC "(B=" ESC "$B$d$^$@" ESC
               "(B^" ESC "$B$?$m$&" ESC "(B");
    CHECK_TEXT(
        write_text("ISO 2022 IR 13\\ISO 2022 IR 87", VR_PN, "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=" ESC "$B;3ED" ESC "(J^" ESC "$BB@O:" ESC "(J=" ESC
        "$B$d$^$@" ESC "(J^" ESC "$B$?$m$&" ESC "(J");
    CHECK_TEXT(write_text("\\ISO 2022 IR 149", VR_PN, "Hong^Gildong=洪^吉洞=홍^길동"),
               "Hong^Gildong=" ESC "$)C\xFB\xF3^" ESC "$)C\xD1\xCE\xD4\xD7=" ESC "$)C\xC8\xAB^" ESC
               "$)C\xB1\xE6\xB5\xBF");
    CHECK_TEXT(write_text("\\ISO 2022 IR 58", VR_PN, "Zhang^XiaoDong=张^小东="),
               "Zhang^XiaoDong=" ESC "$)A\xD5\xC5^" ESC "$)A\xD0\xA1\xB6\xAB=");
    CHECK_TEXT(write_text("GB18030", VR_PN, "Wang^XiaoDong=王^小东"),
               "Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB");
    CHECK_TEXT(write_text("ISO_IR 144", VR_PN, "Люкceмбypг"), "\xBB\xEE\xDA"
                                                              "ce\xDC\xD1yp\xD3");
    CHECK_TEXT(write_text("ISO_IR 192", VR_PN, "山田=ü"), "山田=ü");
}

TEST(every_character_of_a_single_byte_set_comes_back)
{
    static const char *const names[SET_TABLES] = { "100", "101", "109", "110", "144", "127",
                                                   "126", "138", "148", "203", "166" };
    for (int set = 0; set < SET_TABLES; set++) {
        for (int extended = 0; extended < 2; extended++) {
            char name[40];
            struct buffer utf8 = buffer_up_to(4096), back = buffer_up_to(4096);
            snprintf(name, sizeof(name), extended ? "\\ISO 2022 IR %s" : "ISO_IR %s", names[set]);
            for (size_t i = 0; i < 96; i++) {
                if (charset_g1_table[set][i])
                    utf8_append(&utf8, charset_g1_table[set][i]);
                if (i % 10 == 0)
                    buffer_append_byte(&utf8, '\\');
            }
            const char *text = write_text(name, VR_LO, buffer_text(&utf8));
            CHECK(text);
            charset_decode(charset_find(slice_text(name)), VR_LO, slice_text(text), &back);
            CHECK_TEXT(buffer_text(&back), buffer_text(&utf8));
            buffer_release(&utf8);
            buffer_release(&back);
        }
    }
}

TEST(what_is_in_no_set_is_not_written)
{
    CHECK(!write_text("", VR_PN, "ü"));
    CHECK(!write_text("ISO_IR 100", VR_PN, "山田"));
    CHECK(!write_text("ISO_IR 144", VR_PN, "ü"));
    CHECK(!write_text("\\ISO 2022 IR 87", VR_PN, "홍"));
    CHECK(!write_text("ISO 2022 IR 13\\ISO 2022 IR 87", VR_LT, "a\\b"));
    CHECK_TEXT(write_text("", VR_PN, "DOE^JOHN"), "DOE^JOHN");
}

TEST(several_sets_are_used_as_each_character_needs_them)
{
    const char *name = "Müller\\山田 Ω\\홍";
    struct buffer back = buffer_up_to(4096);
    const char *set = "ISO 2022 IR 100\\ISO 2022 IR 87\\ISO 2022 IR 126\\ISO 2022 IR 149";
    const char *text = write_text(set, VR_LO, name);
    CHECK(text);
    charset_decode(charset_find(slice_text(set)), VR_LO, slice_text(text), &back);
    CHECK_TEXT(buffer_text(&back), name);
    buffer_release(&back);
}

TEST(unknown_sets_have_no_writer)
{
    CHECK(!charset_writer_open(slice_text("ISO_IR 999")));
    CHECK(!charset_writer_open(slice_text("ISO_IR 100\\NOBODY")));
}
