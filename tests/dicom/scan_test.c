/* SPDX-License-Identifier: MIT */
#include "dicom/scan.h"

#include <stdlib.h>
#include <zlib.h>

#include "tests/dicom/scanned.h"

#define MODALITY                                                                                   \
    "\x08\x00\x60\x00"                                                                             \
    "CS\x02\x00"                                                                                   \
    "CT"
#define ITEM_8    "\xfe\xff\x00\xe0\x08\x00\x00\x00"
#define ITEM_OPEN "\xfe\xff\x00\xe0\xff\xff\xff\xff"
#define ITEM_END  "\xfe\xff\x0d\xe0\x00\x00\x00\x00"
#define SEQ_END   "\xfe\xff\xdd\xe0\x00\x00\x00\x00"
#define SEQ_OPEN                                                                                   \
    "\x40\x00\x75\x02"                                                                             \
    "SQ\x00\x00\xff\xff\xff\xff"
#define FRAGMENTS                                                                                  \
    "\xe0\x7f\x10\x00"                                                                             \
    "OB\x00\x00\xff\xff\xff\xff"

static void check_taken(struct slice bytes, const struct transfer_syntax *syntax)
{
    struct error err;
    struct scan *scan = scanned(bytes, syntax, NULL, &err);
    CHECK_OK(scan, err);
    CHECK(slice_equal(scan_header(scan), bytes));
    CHECK_INT(scan_size(scan), bytes.size);
    struct dataset *dataset = opened(scan, syntax);
    struct walk walk = dataset_walk(dataset);
    struct element element;
    while (walk_next(&walk, &element) != WALK_END)
        ;
    CHECK(!walk.broken);
    dataset_close(dataset);
    scan_free(scan);
}

TEST(scan_takes_every_native_syntax_and_an_empty_data_set)
{
    check_taken(BYTES(MODALITY), EXPLICIT);
    check_taken(BYTES("\x08\x00\x60\x00\x02\x00\x00\x00"
                      "CT"),
                IMPLICIT);
    check_taken(BYTES("\x00\x08\x00\x60"
                      "CS\x00\x02"
                      "CT"),
                BIG_ENDIAN_SYNTAX);
    check_taken(BYTES(""), EXPLICIT);
}

TEST(scan_takes_defined_and_undefined_lengths_mixed)
{
    /* Undefined sequence: empty item, defined item, undefined item with a defined sequence. */
    check_taken(BYTES(SEQ_OPEN
                      "\xfe\xff\x00\xe0\x00\x00\x00\x00"
                      "\xfe\xff\x00\xe0\x0a\x00\x00\x00" MODALITY ITEM_OPEN MODALITY
                      "\x40\x00\x75\x02"
                      "SQ\x00\x00\x12\x00\x00\x00"
                      "\xfe\xff\x00\xe0\x0a\x00\x00\x00" MODALITY ITEM_END SEQ_END MODALITY),
                EXPLICIT);
    /* Defined sequence: undefined item that ends with it. */
    check_taken(BYTES("\x40\x00\x75\x02"
                      "SQ\x00\x00\x1a\x00\x00\x00" ITEM_OPEN MODALITY ITEM_END MODALITY),
                EXPLICIT);
    /* Empty sequences of both kinds. */
    check_taken(BYTES("\x40\x00\x75\x02"
                      "SQ\x00\x00\x00\x00\x00\x00" SEQ_OPEN SEQ_END),
                EXPLICIT);
}

TEST(scan_takes_delimiters_whose_length_is_not_zero)
{
    check_taken(BYTES(SEQ_OPEN ITEM_OPEN MODALITY "\xfe\xff\x0d\xe0\x05\x00\x00\x00"
                                                  "\xfe\xff\xdd\xe0\x07\x00\x00\x00" MODALITY),
                EXPLICIT);
}

TEST(scan_takes_odd_lengths_and_elements_in_any_order)
{
    check_taken(BYTES("\x08\x00\x60\x00"
                      "CS\x03\x00"
                      "CTX"
                      "\x08\x00\x16\x00"
                      "UI\x01\x00"
                      "1"
                      "\x08\x00\x60\x00"
                      "CS\x02\x00"
                      "MR"),
                EXPLICIT);
}

TEST(scan_reads_unknown_of_undefined_length_as_implicit)
{
    /* Even in big endian the content of UN is little endian (PS3.5 6.2.2). */
    check_taken(BYTES("\x09\x00\x01\x10"
                      "UN\x00\x00\xff\xff\xff\xff" ITEM_OPEN "\x08\x00\x60\x00\x02\x00\x00\x00"
                      "CT" ITEM_END SEQ_END MODALITY),
                EXPLICIT);
    check_taken(BYTES("\x00\x09\x10\x01"
                      "UN\x00\x00\xff\xff\xff\xff" ITEM_OPEN "\x08\x00\x60\x00\x02\x00\x00\x00"
                      "CT" ITEM_END SEQ_END "\x00\x08\x00\x60"
                      "CS\x00\x02"
                      "CT"),
                BIG_ENDIAN_SYNTAX);
}

TEST(scan_takes_a_vr_of_the_future_in_long_form_only)
{
    check_taken(BYTES("\x09\x00\x01\x10"
                      "ZZ\x00\x00\x02\x00\x00\x00"
                      "xx" MODALITY),
                EXPLICIT);
    check_refused(BYTES("\x09\x00\x01\x10"
                        "ZZ\x02\x00"
                        "xx" MODALITY),
                  EXPLICIT, ERROR_INVALID, 0x00091001);
    check_refused(BYTES("\x09\x00\x01\x10"
                        "\x02\x00\x00\x00"
                        "xx" MODALITY),
                  EXPLICIT, ERROR_INVALID, 0x00091001);
}

TEST(scan_finds_the_sequences_of_implicit_data_sets_by_the_dictionary)
{
    check_taken(BYTES("\x40\x00\x75\x02\x12\x00\x00\x00"
                      "\xfe\xff\x00\xe0\x0a\x00\x00\x00"
                      "\x08\x00\x60\x00\x02\x00\x00\x00"
                      "CT"),
                IMPLICIT);
    check_refused(BYTES("\x40\x00\x75\x02\x12\x00\x00\x00"
                        "\xfe\xff\x00\xe0\x0b\x00\x00\x00"
                        "\x08\x00\x60\x00\x02\x00\x00\x00"
                        "CT"),
                  IMPLICIT, ERROR_INVALID, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
}

TEST(scan_refuses_what_ends_too_early)
{
    check_refused(BYTES("\x08\x00\x60\x00"
                        "CS\x04\x00"
                        "CT"),
                  EXPLICIT, ERROR_INVALID, TAG_MODALITY);
    check_refused(BYTES(MODALITY "\x08\x00\x60"), EXPLICIT, ERROR_INVALID, TAG_MODALITY);
    check_refused(BYTES(SEQ_OPEN ITEM_OPEN MODALITY ITEM_END), EXPLICIT, ERROR_INVALID,
                  TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    check_refused(BYTES(SEQ_OPEN ITEM_OPEN MODALITY), EXPLICIT, ERROR_INVALID,
                  TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    check_refused(BYTES(FRAGMENTS "\xfe\xff\x00\xe0\x00\x00\x00\x00"), JPEG, ERROR_INVALID,
                  TAG_PIXEL_DATA);
}

TEST(scan_refuses_lengths_beyond_what_is_around_them_at_once)
{
    static const char item[] = "\x40\x00\x75\x02"
                               "SQ\x00\x00\x12\x00\x00\x00"
                               "\xfe\xff\x00\xe0\x0a\x00\x00\x00"
                               "\x08\x00\x60\x00"
                               "CS\x04\x00";
    struct error err;
    struct scan *scan = scan_new(EXPLICIT, NULL);
    CHECK(!scan_write(scan, BYTES(item), &err));
    CHECK_INT(err.code, ERROR_INVALID);
    CHECK_INT(err.tag, TAG_MODALITY);
    CHECK(!scan_write(scan, BYTES("more"), &err)); /* an error stays */
    CHECK_INT(err.tag, TAG_MODALITY);
    CHECK(!scan_finish(scan, &err));
    scan_free(scan);
    /* An item longer than its sequence, a header over an item's end. */
    check_refused(BYTES("\x40\x00\x75\x02"
                        "SQ\x00\x00\x10\x00\x00\x00"
                        "\xfe\xff\x00\xe0\x0a\x00\x00\x00" MODALITY),
                  EXPLICIT, ERROR_INVALID, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    check_refused(BYTES("\x40\x00\x75\x02"
                        "SQ\x00\x00\x0e\x00\x00\x00"
                        "\xfe\xff\x00\xe0\x06\x00\x00\x00" MODALITY),
                  EXPLICIT, ERROR_INVALID, TAG_MODALITY);
}

TEST(scan_refuses_items_and_delimiters_out_of_place)
{
    check_refused(BYTES(ITEM_OPEN MODALITY), EXPLICIT, ERROR_INVALID, TAG_ITEM);
    check_refused(BYTES(MODALITY ITEM_END), EXPLICIT, ERROR_INVALID, TAG_ITEM_DELIMITER);
    check_refused(BYTES(MODALITY SEQ_END), EXPLICIT, ERROR_INVALID, TAG_SEQUENCE_DELIMITER);
    check_refused(BYTES(SEQ_OPEN MODALITY SEQ_END), EXPLICIT, ERROR_INVALID,
                  TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    check_refused(BYTES(SEQ_OPEN ITEM_OPEN MODALITY SEQ_END), EXPLICIT, ERROR_INVALID,
                  TAG_SEQUENCE_DELIMITER);
    check_refused(BYTES(SEQ_OPEN ITEM_END SEQ_END), EXPLICIT, ERROR_INVALID,
                  TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    check_refused(BYTES("\x40\x00\x75\x02"
                        "SQ\x00\x00\x1a\x00\x00\x00"
                        "\xfe\xff\x00\xe0\x12\x00\x00\x00" MODALITY ITEM_END),
                  EXPLICIT, ERROR_INVALID, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    check_refused(BYTES("\x40\x00\x75\x02"
                        "SQ\x00\x00\x08\x00\x00\x00" SEQ_END),
                  EXPLICIT, ERROR_INVALID, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
}

TEST(scan_refuses_undefined_length_of_plain_values)
{
    check_refused(BYTES("\x08\x00\x04\x01"
                        "UT\x00\x00\xff\xff\xff\xff" SEQ_END),
                  EXPLICIT, ERROR_INVALID, 0x00080104);
    check_refused(BYTES("\x10\x00\x10\x00\xff\xff\xff\xff" SEQ_END), IMPLICIT, ERROR_INVALID,
                  TAG_PATIENT_NAME);
    /* Fragments in a native syntax. */
    check_refused(BYTES(FRAGMENTS "\xfe\xff\x00\xe0\x00\x00\x00\x00" SEQ_END), EXPLICIT,
                  ERROR_INVALID, TAG_PIXEL_DATA);
}

TEST(scan_refuses_command_and_file_meta_elements)
{
    check_refused(BYTES("\x00\x00\x00\x01"
                        "US\x02\x00\x01\x00"),
                  EXPLICIT, ERROR_INVALID, 0x00000100);
    check_refused(BYTES("\x02\x00\x10\x00"
                        "UI\x02\x00"
                        "1\x00" MODALITY),
                  EXPLICIT, ERROR_INVALID, 0x00020010);
}

TEST(scan_refuses_a_data_set_in_another_syntax_than_stated)
{
    check_refused(BYTES("\x08\x00\x60\x00\x02\x00\x00\x00"
                        "CT"),
                  EXPLICIT, ERROR_INVALID, TAG_MODALITY);
    check_refused(BYTES(MODALITY), IMPLICIT, ERROR_INVALID, TAG_MODALITY);
    struct slice explicit_name = BYTES("\x08\x00\x60\x00"
                                       "CS\x02\x00"
                                       "CT"
                                       "\x10\x00\x10\x00"
                                       "PN\x02\x00"
                                       "A^");
    struct error err;
    CHECK(!scanned(explicit_name, BIG_ENDIAN_SYNTAX, NULL, &err));
    CHECK_INT(err.code, ERROR_INVALID);
}

static struct buffer nested(size_t depth, bool defined)
{
    struct buffer bytes = buffer_up_to(64 << 20);
    struct encoder encoder = { &bytes, .explicit_vr = true };
    for (size_t i = 0; i < depth; i++) {
        if (defined) {
            uint32_t left = (uint32_t)(20 * (depth - i));
            buffer_append(&bytes, BYTES("\x40\x00\x75\x02"
                                        "SQ\x00\x00"));
            buffer_append_u32le(&bytes, left - 12);
            buffer_append(&bytes, BYTES("\xfe\xff\x00\xe0"));
            buffer_append_u32le(&bytes, left - 20);
        } else {
            encode_sequence_begin(&encoder, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
            encode_item_begin(&encoder);
        }
    }
    for (size_t i = 0; i < depth && !defined; i++) {
        encode_item_end(&encoder);
        encode_sequence_end(&encoder);
    }
    return bytes;
}

TEST(scan_takes_64_nested_sequences_and_refuses_65)
{
    for (int defined = 0; defined < 2; defined++) {
        struct buffer bytes = nested(64, defined);
        check_taken(buffer_slice(&bytes), EXPLICIT);
        buffer_release(&bytes);
        bytes = nested(65, defined);
        check_refused(buffer_slice(&bytes), EXPLICIT, ERROR_LIMIT, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
        buffer_release(&bytes);
    }
}

TEST(scan_refuses_a_nesting_bomb_at_once)
{
    struct buffer bytes = nested(100000, false);
    struct error err;
    struct scan *scan = scan_new(EXPLICIT, NULL);
    CHECK(!scan_write(scan, buffer_slice(&bytes), &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    CHECK(scan_size(scan) < 65 * 20 + 20);
    scan_free(scan);
    buffer_release(&bytes);
}

TEST(scan_leaves_big_values_and_pixel_data_out_of_the_header)
{
    struct buffer bytes = buffer_up_to(1 << 20);
    struct encoder encoder = { &bytes, .explicit_vr = true };
    static const uint8_t big[5000];
    encode_text(&encoder, TAG_MODALITY, VR_CS, "CT");
    encode_bytes(&encoder, 0x00091001, VR_OB, slice_of(big, 4096));
    encode_bytes(&encoder, 0x00091002, VR_OB, slice_of(big, 5000));
    encode_sequence_begin(&encoder, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    encode_item_begin(&encoder);
    encode_bytes(&encoder, 0x00091002, VR_OB, slice_of(big, 4098));
    encode_text(&encoder, TAG_MODALITY, VR_CS, "MR");
    encode_item_end(&encoder);
    encode_sequence_end(&encoder);
    size_t pixel_offset = bytes.size + 12;
    encode_bytes(&encoder, TAG_PIXEL_DATA, VR_OW, slice_of("\1\2\3\4", 4));
    encode_bytes(&encoder, 0xFFFCFFFC, VR_OB, slice_of("end!", 4));

    struct error err;
    struct scan *scan = scanned(buffer_slice(&bytes), EXPLICIT, NULL, &err);
    CHECK_OK(scan, err);
    size_t count;
    const struct elision *elisions = scan_elisions(scan, &count);
    CHECK_INT(count, 3);
    CHECK_INT(elisions[0].size, 5000);
    CHECK_INT(elisions[1].size, 4098);
    CHECK_INT(elisions[2].size, 4);
    CHECK_INT(elisions[2].offset, pixel_offset);
    CHECK_INT(scan_header(scan).size, bytes.size - 5000 - 4098 - 4);
    const struct pixel_data *pixels = scan_pixel_data(scan);
    CHECK(pixels->present && !pixels->encapsulated);
    CHECK_INT(pixels->offset, pixel_offset);
    CHECK_INT(pixels->size, 4);
    CHECK_INT(pixels->vr, VR_OW);

    struct dataset *dataset = opened(scan, EXPLICIT);
    struct element element;
    CHECK(dataset_find(dataset, 0x00091001, &element) && !element.elided);
    CHECK_INT(element.value.size, 4096);
    CHECK(dataset_find(dataset, 0x00091002, &element) && element.elided);
    CHECK_INT(element.offset, elisions[0].offset);
    CHECK_INT(element.size, 5000);
    CHECK(dataset_find(dataset, TAG_PIXEL_DATA, &element) && element.elided);
    CHECK_INT(element.offset, pixel_offset);
    CHECK(dataset_find(dataset, 0xFFFCFFFC, &element));
    CHECK(slice_equals_text(element.value, "end!"));
    CHECK_INT(element.offset, bytes.size - 4);
    struct dataset *item = dataset_item(dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE, 0);
    CHECK(item);
    CHECK(dataset_find(item, 0x00091002, &element) && element.elided);
    CHECK_INT(element.offset, elisions[1].offset);
    CHECK(dataset_find(item, TAG_MODALITY, &element));
    CHECK(slice_equals_text(element.value, "MR"));
    CHECK(memcmp(bytes.data + element.offset, "MR", 2) == 0);
    dataset_close(item);
    dataset_close(dataset);
    scan_free(scan);
    buffer_release(&bytes);
}

TEST(scan_finds_the_fragments_of_encapsulated_pixel_data)
{
    static const char bytes[] = MODALITY FRAGMENTS "\xfe\xff\x00\xe0\x08\x00\x00\x00"
                                                   "\x00\x00\x00\x00\x0c\x00\x00\x00"
                                                   "\xfe\xff\x00\xe0\x04\x00\x00\x00"
                                                   "\xff\xd8\xff\xe0"
                                                   "\xfe\xff\x00\xe0\x02\x00\x00\x00"
                                                   "\xff\xd8" SEQ_END "\xfc\xff\xfc\xff"
                                                   "OB\x00\x00\x02\x00\x00\x00"
                                                   "zz";
    struct error err;
    struct scan *scan = scanned(BYTES(bytes), JPEG, NULL, &err);
    CHECK_OK(scan, err);
    const struct pixel_data *pixels = scan_pixel_data(scan);
    CHECK(pixels->present && pixels->encapsulated);
    CHECK_INT(pixels->offset, 22);
    CHECK_INT(pixels->size, 16 + 12 + 10 + 8);
    CHECK_INT(pixels->basic_offset_table.size, 8);
    CHECK_INT(pixels->fragment_count, 2);
    CHECK_INT(pixels->fragments[0].offset, 22 + 16 + 8);
    CHECK_INT(pixels->fragments[0].size, 4);
    CHECK_INT(pixels->fragments[0].head, 0xFFD8FFE0);
    CHECK_INT(pixels->fragments[1].size, 2);
    CHECK_INT(pixels->fragments[1].head, 0xFFD80000);
    struct dataset *dataset = opened(scan, JPEG);
    struct element element;
    CHECK(dataset_find(dataset, TAG_PIXEL_DATA, &element));
    CHECK(element.elided && element.undefined_length);
    CHECK_INT(element.size, pixels->size);
    CHECK(dataset_find(dataset, 0xFFFCFFFC, &element));
    CHECK(slice_equals_text(element.value, "zz"));
    struct walk walk = dataset_walk(dataset);
    size_t events = 0;
    while (walk_next(&walk, &element) == WALK_ELEMENT)
        events++;
    CHECK(!walk.broken);
    CHECK_INT(events, 3);
    dataset_close(dataset);
    scan_free(scan);
}

TEST(scan_refuses_broken_fragments)
{
    check_refused(BYTES(FRAGMENTS ITEM_OPEN), JPEG, ERROR_INVALID, TAG_PIXEL_DATA);
    check_refused(BYTES(FRAGMENTS MODALITY), JPEG, ERROR_INVALID, TAG_PIXEL_DATA);
    check_refused(BYTES(FRAGMENTS ITEM_END SEQ_END), JPEG, ERROR_INVALID, TAG_PIXEL_DATA);
    check_refused(BYTES(FRAGMENTS SEQ_END FRAGMENTS SEQ_END), JPEG, ERROR_INVALID, TAG_PIXEL_DATA);
}

TEST(scan_takes_encapsulated_icons_and_native_pixel_data_in_encapsulated_syntaxes)
{
    static const char icon[] = "\x88\x00\x00\x02"
                               "SQ\x00\x00\xff\xff\xff\xff" ITEM_OPEN FRAGMENTS
                               "\xfe\xff\x00\xe0\x00\x00\x00\x00"
                               "\xfe\xff\x00\xe0\x04\x00\x00\x00"
                               "abcd" SEQ_END ITEM_END SEQ_END;
    check_taken(BYTES(icon), JPEG);
    struct scan_limits limits = scan_default_limits;
    struct error err;
    limits.value_size = 2;
    struct scan *scan = scanned(BYTES(icon), JPEG, &limits, &err);
    CHECK_OK(scan, err);
    size_t count;
    scan_elisions(scan, &count);
    CHECK_INT(count, 1);
    CHECK(!scan_pixel_data(scan)->present);
    struct dataset *dataset = opened(scan, JPEG);
    struct dataset *item = dataset_item(dataset, 0x00880200, 0);
    struct element element;
    CHECK(item && dataset_find(item, TAG_PIXEL_DATA, &element));
    CHECK(element.elided);
    dataset_close(item);
    dataset_close(dataset);
    scan_free(scan);
    scan = scanned(BYTES("\xe0\x7f\x10\x00"
                         "OW\x00\x00\x02\x00\x00\x00"
                         "ab"),
                   JPEG, NULL, &err);
    CHECK_OK(scan, err);
    CHECK(scan_pixel_data(scan)->present && !scan_pixel_data(scan)->encapsulated);
    scan_free(scan);
}

TEST(scan_keeps_its_limits)
{
    struct scan_limits limits = scan_default_limits;
    struct error err;
    limits.elements = 2;
    CHECK(!scanned(BYTES(MODALITY MODALITY MODALITY), EXPLICIT, &limits, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    limits = scan_default_limits;
    limits.header_size = 19;
    CHECK(!scanned(BYTES(MODALITY MODALITY), EXPLICIT, &limits, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    limits = scan_default_limits;
    limits.fragments = 1;
    CHECK(!scanned(BYTES(FRAGMENTS "\xfe\xff\x00\xe0\x00\x00\x00\x00"
                                   "\xfe\xff\x00\xe0\x00\x00\x00\x00"
                                   "\xfe\xff\x00\xe0\x00\x00\x00\x00" SEQ_END),
                   JPEG, &limits, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    /* A Basic Offset Table that claims four billion bytes. */
    CHECK(!scanned(BYTES(FRAGMENTS "\xfe\xff\x00\xe0\xfe\xff\xff\xff"), JPEG, NULL, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
}

/* `size` bytes of anything, in large pieces. */
static void write_much(struct scan *scan, uint64_t size)
{
    enum { PIECE = 16 << 20 };
    static const uint8_t zeroes[PIECE];
    struct error err;
    while (size) {
        size_t piece = size < PIECE ? (size_t)size : PIECE;
        CHECK_OK(scan_write(scan, slice_of(zeroes, piece), &err), err);
        size -= piece;
    }
}

TEST(scan_counts_beyond_4_gib)
{
    struct error err;
    struct scan *scan = scan_new(JPEG, NULL);
    CHECK_OK(scan_write(scan, BYTES(FRAGMENTS "\xfe\xff\x00\xe0\0\0\0\0"), &err), err);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(scan_write(scan, BYTES("\xfe\xff\x00\xe0\xfe\xff\xff\xff"), &err), err);
        write_much(scan, 0xFFFFFFFE);
    }
    CHECK_OK(scan_write(scan,
                        BYTES(SEQ_END "\xfc\xff\xfc\xff"
                                      "OB\0\0\0\0\0\0"),
                        &err),
             err);
    CHECK_OK(scan_finish(scan, &err), err);
    const struct pixel_data *pixels = scan_pixel_data(scan);
    CHECK_INT(pixels->fragment_count, 2);
    CHECK_INT(pixels->fragments[1].offset, 12 + 8 + 8 + 0xFFFFFFFELL + 8);
    CHECK_INT(pixels->size, 8 + 2 * (8 + 0xFFFFFFFELL) + 8);
    CHECK_INT(scan_header(scan).size, 24);
    struct dataset *dataset = opened(scan, JPEG);
    struct element element;
    CHECK(dataset_find(dataset, 0xFFFCFFFC, &element));
    CHECK_INT(element.offset, scan_size(scan));
    dataset_close(dataset);
    scan_free(scan);
}

static struct buffer deflated(struct slice bytes)
{
    struct buffer out = buffer_up_to(64 << 20);
    z_stream stream = { .next_in = (Bytef *)bytes.data, .avail_in = (uInt)bytes.size };
    CHECK(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    size_t bound = deflateBound(&stream, bytes.size);
    struct space space = buffer_reserve(&out, bound);
    stream.next_out = space.data;
    stream.avail_out = (uInt)space.size;
    CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    buffer_advance(&out, stream.total_out);
    deflateEnd(&stream);
    return out;
}

TEST(scan_inflates_deflated_data_sets)
{
    struct buffer plain = buffer_up_to(1 << 20);
    struct encoder encoder = { &plain, .explicit_vr = true };
    static uint8_t noise[100000];
    uint32_t state = 7;
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)((state = state * 1103515245 + 12345) >> 16);
    encode_text(&encoder, TAG_MODALITY, VR_CS, "CT");
    encode_bytes(&encoder, TAG_PIXEL_DATA, VR_OB, slice_of(noise, sizeof(noise)));
    struct buffer bytes = deflated(buffer_slice(&plain));
    static const char *const trailers[] = { "", "\0", "\0\0\0\0\0\0\0\0\0\0\0\0", "crc4size" };
    static const size_t sizes[] = { 0, 1, 12, 8 };
    for (size_t i = 0; i < 4; i++) {
        size_t size = bytes.size;
        buffer_append(&bytes, slice_of(trailers[i], sizes[i]));
        struct error err;
        struct scan *scan = scanned(buffer_slice(&bytes), DEFLATED, NULL, &err);
        CHECK_OK(scan, err);
        CHECK_INT(scan_size(scan), plain.size);
        CHECK_INT(scan_pixel_data(scan)->offset, plain.size - sizeof(noise));
        scan_free(scan);
        bytes.size = size;
    }
    check_refused(slice_take(buffer_slice(&bytes), bytes.size - 1), DEFLATED, ERROR_INVALID, 0);
    check_refused(slice_skip(buffer_slice(&bytes), 1), DEFLATED, ERROR_INVALID, 0);
    buffer_append_text(&bytes, "more than a trailer");
    check_refused(buffer_slice(&bytes), DEFLATED, ERROR_INVALID, 0);
    check_refused(BYTES(""), DEFLATED, ERROR_INVALID, 0);
    buffer_release(&bytes);
    buffer_release(&plain);
}

TEST(scan_stops_deflate_bombs)
{
    struct buffer plain = buffer_up_to(64 << 20);
    struct encoder encoder = { &plain, .explicit_vr = true };
    size_t size = 20 << 20;
    uint8_t *zeroes = calloc(1, size);
    encode_bytes(&encoder, TAG_PIXEL_DATA, VR_OB, slice_of(zeroes, size));
    free(zeroes);
    struct buffer bytes = deflated(buffer_slice(&plain));
    struct scan_limits limits = scan_default_limits;
    struct error err;
    limits.inflated_size = 1 << 20;
    struct scan *scan = scan_new(DEFLATED, &limits);
    CHECK(!scan_write(scan, buffer_slice(&bytes), &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    scan_free(scan);
    scan = scan_new(DEFLATED, NULL);
    CHECK_OK(scan_write(scan, buffer_slice(&bytes), &err) && scan_finish(scan, &err), err);
    scan_free(scan);
    buffer_release(&bytes);
    buffer_release(&plain);
}
