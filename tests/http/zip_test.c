/* SPDX-License-Identifier: MIT */
#include "http/zip.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/scratch.h"
#include "tests/test.h"

static const uint8_t *find(const struct buffer *bytes, uint32_t signature)
{
    for (size_t i = 0; i + 4 <= bytes->size; i++)
        if (get_u32le(bytes->data + i) == signature)
            return bytes->data + i;
    return NULL;
}

/* Adds a member without its bytes, and what stands around them to `around`. */
static void add(struct zip_writer *writer, const char *name, uint64_t size, bool follows,
                struct buffer *around)
{
    struct error err;
    struct zip_member member = { .name = name,
                                 .size = size,
                                 .crc_follows = follows,
                                 .modified_ms = 1795262400000,
                                 .crc32 = follows ? 0 : 0x12345678 };
    CHECK_OK(zip_begin_member(writer, &member, around, &err), err);
    member.crc32 = 0x12345678;
    CHECK_OK(zip_end_member(writer, &member, around, &err), err);
}

static void finish(struct zip_writer *writer, struct buffer *directory, struct buffer *end)
{
    struct scratch *scratch;
    struct slice bytes;
    struct file_range file;
    bool is_file;
    struct error err;
    zip_finish(writer, &scratch, end);
    CHECK_OK(scratch_give(scratch, &is_file, &bytes, &file, &err), err);
    CHECK(!is_file);
    buffer_append(directory, bytes);
}

TEST(a_small_archive_has_no_64_bit_fields)
{
    struct zip_writer *writer = zip_writer_new(-1);
    struct buffer around = buffer_up_to(1 << 10);
    struct buffer directory = buffer_up_to(1 << 10);
    struct buffer end = buffer_up_to(1 << 10);
    add(writer, "A", 10, false, &around);
    CHECK_INT(around.size, 30 + 1);
    CHECK_INT(get_u16le(around.data + 6), 0);
    CHECK_INT(get_u32le(around.data + 14), 0x12345678);
    CHECK_INT(get_u32le(around.data + 18), 10);
    add(writer, "B", 10, true, &around);
    CHECK_INT(around.size, 31 + 31 + 16); /* a descriptor of 32-bit sizes */
    CHECK_INT(get_u32le(around.data + 31 + 18), 0);
    finish(writer, &directory, &end);
    CHECK_INT(directory.size, 2 * (46 + 1));
    CHECK_INT(end.size, 22);
    CHECK_INT(get_u16le(end.data + 10), 2);
    CHECK_INT(get_u32le(end.data + 12), directory.size);
    CHECK_INT(get_u32le(end.data + 16), around.size + 20);
    CHECK_INT(zip_size(writer), around.size + 20 + directory.size + end.size);
    buffer_release(&around);
    buffer_release(&directory);
    buffer_release(&end);
    zip_writer_free(writer);
}

TEST(a_member_of_4_GiB_has_its_size_in_64_bits)
{
    const uint64_t size = 0xFFFFFFFFu;
    struct zip_writer *writer = zip_writer_new(-1);
    struct buffer around = buffer_up_to(1 << 10);
    struct buffer directory = buffer_up_to(1 << 10);
    struct buffer end = buffer_up_to(1 << 10);
    add(writer, "A", size, false, &around);
    CHECK_INT(around.size, 30 + 1 + 20);
    CHECK_INT(get_u32le(around.data + 18), 0xFFFFFFFF);
    CHECK_INT(get_u64le(around.data + 31 + 4), size);
    add(writer, "B", size, true, &around);
    CHECK_INT(around.size, 51 + 51 + 24); /* a descriptor of 64-bit sizes */
    CHECK_INT(get_u64le(around.data + 51 + 31 + 4), 0);
    CHECK_INT(get_u64le(around.data + 102 + 8), size);
    finish(writer, &directory, &end);
    CHECK_INT(directory.size, 46 + 1 + 20 + 46 + 1 + 28); /* the second begins beyond 4 GiB */
    CHECK_INT(get_u64le(directory.data + 67 + 47 + 4 + 16), size + 51);
    CHECK_INT(end.size, 56 + 20 + 22);
    CHECK(find(&end, 0x06064B50) == end.data);
    CHECK_INT(get_u64le(end.data + 48), 2 * size + around.size);
    CHECK_INT(get_u64le(end.data + 56 + 8), 2 * size + around.size + directory.size);
    CHECK_INT(get_u32le(end.data + 76 + 16), 0xFFFFFFFF);
    CHECK_INT(zip_size(writer), 2 * size + around.size + directory.size + end.size);
    buffer_release(&around);
    buffer_release(&directory);
    buffer_release(&end);
    zip_writer_free(writer);
}

TEST(more_than_65534_members_are_counted_in_64_bits)
{
    struct zip_writer *writer = zip_writer_new(-1);
    struct buffer around = buffer_up_to(16 << 20);
    struct buffer end = buffer_up_to(1 << 10);
    struct scratch *scratch;
    char name[16];
    for (unsigned i = 0; i < 65535; i++) {
        snprintf(name, sizeof(name), "I%07u", i);
        add(writer, name, 1, false, &around);
    }
    zip_finish(writer, &scratch, &end);
    CHECK_INT(scratch_size(scratch), 65535ull * (46 + 8));
    CHECK_INT(end.size, 56 + 20 + 22);
    CHECK_INT(get_u64le(end.data + 32), 65535);
    CHECK_INT(get_u16le(end.data + 76 + 10), 0xFFFF);
    CHECK_INT(get_u32le(end.data + 76 + 16), around.size + 65535);
    buffer_release(&around);
    buffer_release(&end);
    zip_writer_free(writer);
}

TEST(a_name_that_is_too_long_and_a_size_beyond_all_are_refused)
{
    struct zip_writer *writer = zip_writer_new(-1);
    struct buffer around = buffer_up_to(1 << 10);
    struct error err;
    char name[ZIP_NAME_MAX + 2];
    memset(name, 'A', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    struct zip_member member = { .name = name, .size = 1 };
    CHECK(!zip_begin_member(writer, &member, &around, &err) && err.code == ERROR_LIMIT);
    member.name = "A";
    member.size = UINT64_MAX - 10;
    CHECK(!zip_begin_member(writer, &member, &around, &err) && err.code == ERROR_LIMIT);
    buffer_release(&around);
    zip_writer_free(writer);
}

/* An archive with a member and a start beyond 4 GiB, made of holes, is read by another program. */
TEST(another_program_reads_an_archive_of_9_GB)
{
    const uint64_t size = 0x11E1A3000; /* 4.8 GB of zeros */
    struct zip_writer *writer = zip_writer_new(-1);
    struct buffer around = buffer_up_to(1 << 10);
    struct buffer directory = buffer_up_to(1 << 10);
    struct buffer end = buffer_up_to(1 << 10);
    struct error err;
    char path[512];
    char command[1024];
    snprintf(path, sizeof(path), "%s", test_folder());
    FILE *file = fopen(path, "wb");
    CHECK(file);
    for (size_t i = 0; i < 2; i++) {
        struct zip_member member = { .name = i ? "B" : "A", .size = size, .crc_follows = i };
        buffer_clear(&around);
        CHECK_OK(zip_begin_member(writer, &member, &around, &err), err);
        CHECK(fwrite(around.data, around.size, 1, file) == 1);
        CHECK(fseeko(file, (off_t)size, SEEK_CUR) == 0);
        buffer_clear(&around);
        CHECK_OK(zip_end_member(writer, &member, &around, &err), err);
        CHECK(!around.size || fwrite(around.data, around.size, 1, file) == 1);
    }
    add(writer, "C", 0, false, &around);
    size_t tail = around.size > 31 ? 31 : around.size;
    CHECK(fwrite(around.data + around.size - tail, tail, 1, file) == 1);
    finish(writer, &directory, &end);
    CHECK(fwrite(directory.data, directory.size, 1, file) == 1);
    CHECK(fwrite(end.data, end.size, 1, file) == 1);
    CHECK(ftello(file) == (off_t)zip_size(writer));
    CHECK(fclose(file) == 0);
    snprintf(command, sizeof(command),
             "python3 -c \"import zipfile, sys; z = zipfile.ZipFile(sys.argv[1]); "
             "i = z.infolist(); assert [e.file_size for e in i] == [%llu, %llu, 0]; "
             "assert i[2].header_offset > 9 << 30 or i[2].header_offset > 9 * 10**9; "
             "assert z.open('B').read(9) == bytes(9)\" '%s'",
             (unsigned long long)size, (unsigned long long)size, path);
    CHECK_INT(system(command), 0);
    CHECK(remove(path) == 0);
    buffer_release(&around);
    buffer_release(&directory);
    buffer_release(&end);
    zip_writer_free(writer);
}
