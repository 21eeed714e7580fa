/* SPDX-License-Identifier: MIT */
#include "bench/instances.h"

#include <stdio.h>
#include <string.h>

enum { HEADER_ROOM = 8192 };

void instance_uids(const char *root, unsigned study, unsigned instance, struct instance_uids *uids)
{
    snprintf(uids->study, sizeof(uids->study), "%.40s.%u", root, study);
    snprintf(uids->series, sizeof(uids->series), "%.40s.%u.1", root, study);
    snprintf(uids->instance, sizeof(uids->instance), "%.40s.%u.1.%u", root, study, instance);
}

size_t instance_room(size_t pixels)
{
    return HEADER_ROOM + pixels;
}

static uint8_t *put16(uint8_t *to, unsigned value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
    return to + 2;
}

static uint8_t *put32(uint8_t *to, size_t value)
{
    return put16(put16(to, (unsigned)value & 0xFFFF), (unsigned)(value >> 16) & 0xFFFF);
}

static uint8_t *put_head(uint8_t *to, uint32_t tag, const char *vr, size_t size)
{
    to = put16(put16(to, tag >> 16), tag & 0xFFFF);
    memcpy(to, vr, 2);
    to += 2;
    if (!strcmp(vr, "OW") || !strcmp(vr, "OB"))
        return put32(put16(to, 0), size);
    return put16(to, (unsigned)size);
}

static uint8_t *put_text(uint8_t *to, uint32_t tag, const char *vr, const char *text)
{
    size_t size = strlen(text);
    to = put_head(to, tag, vr, (size + 1) & ~(size_t)1);
    memcpy(to, text, size);
    to += size;
    if (size & 1)
        *to++ = strcmp(vr, "UI") ? ' ' : 0;
    return to;
}

static uint8_t *put_short(uint8_t *to, uint32_t tag, unsigned value)
{
    return put16(put_head(to, tag, "US", 2), value);
}

/* Attributes that scanners write and nobody looks for: a header of usual size. */
static uint8_t *put_details(uint8_t *to)
{
    to = put_text(to, 0x00190010, "LO", "LOAD");
    for (unsigned i = 0; i < 60; i++)
        to = put_text(to, 0x00191000 + i, "DS", "1.234567\\-0.987654");
    return to;
}

static uint8_t *put_patient(uint8_t *to, unsigned study)
{
    static const char *const names[] = { "Adams", "Baker", "Clark", "Davis", "Evans",
                                         "Frank", "Green", "Hills", "Irwin", "Jones" };
    char text[64];
    snprintf(text, sizeof(text), "%s^Load%04u", names[study % 10], study % 5000);
    to = put_text(to, 0x00100010, "PN", text);
    snprintf(text, sizeof(text), "LOAD%07u", study);
    to = put_text(to, 0x00100020, "LO", text);
    to = put_text(to, 0x00100030, "DA", "19700101");
    return put_text(to, 0x00100040, "CS", "O");
}

size_t instance_write(uint8_t *to, const struct instance_uids *uids, unsigned study,
                      unsigned instance, unsigned frames, size_t pixels)
{
    uint8_t *at = to;
    char text[64];
    unsigned side = 16;
    while ((size_t)(side * 2) * (side * 2) * 2 <= pixels)
        side *= 2;
    unsigned rows = (unsigned)(pixels / 2 / side);
    at = put_text(at, 0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL");
    at = put_text(at, 0x00080016, "UI", INSTANCE_SOP_CLASS);
    at = put_text(at, 0x00080018, "UI", uids->instance);
    /* One study in six hours, from 2015 on. */
    unsigned day = study / 4;
    snprintf(text, sizeof(text), "%04u%02u%02u", 2015 + day / 336, 1 + day / 28 % 12, 1 + day % 28);
    at = put_text(at, 0x00080020, "DA", text);
    snprintf(text, sizeof(text), "%02u%02u00", study % 4 * 6, study % 60);
    at = put_text(at, 0x00080030, "TM", text);
    snprintf(text, sizeof(text), "ACC%07u", study);
    at = put_text(at, 0x00080050, "SH", text);
    at = put_text(at, 0x00080060, "CS", "CT");
    at = put_text(at, 0x00080070, "LO", "Load");
    at = put_text(at, 0x00080090, "PN", "Referring^R");
    at = put_text(at, 0x00081030, "LO", "CT of the load");
    at = put_patient(at, study);
    at = put_text(at, 0x00180050, "DS", "1.0");
    at = put_text(at, 0x00180060, "DS", "120");
    at = put_details(at);
    at = put_text(at, 0x0020000D, "UI", uids->study);
    at = put_text(at, 0x0020000E, "UI", uids->series);
    snprintf(text, sizeof(text), "S%u", study);
    at = put_text(at, 0x00200010, "SH", text);
    at = put_text(at, 0x00200011, "IS", "1");
    snprintf(text, sizeof(text), "%u", instance);
    at = put_text(at, 0x00200013, "IS", text);
    snprintf(text, sizeof(text), "-170.5\\-170.5\\%u.25", instance);
    at = put_text(at, 0x00200032, "DS", text);
    at = put_short(at, 0x00280002, 1);
    at = put_text(at, 0x00280004, "CS", "MONOCHROME2");
    if (frames > 1) {
        snprintf(text, sizeof(text), "%u", frames);
        at = put_text(at, 0x00280008, "IS", text);
    }
    at = put_short(at, 0x00280010, rows);
    at = put_short(at, 0x00280011, side);
    at = put_short(at, 0x00280100, 16);
    at = put_short(at, 0x00280101, 12);
    at = put_short(at, 0x00280102, 11);
    at = put_short(at, 0x00280103, 0);
    size_t size = (size_t)rows * side * 2 * frames;
    at = put_head(at, 0x7FE00010, "OW", size);
    /* The pixels are what was in the memory, with a mark of their own. */
    if (size >= 8)
        put32(put32(at, study), instance);
    return (size_t)(at - to) + size;
}

size_t instance_write_file(uint8_t *to, const struct instance_uids *uids, unsigned study,
                           unsigned instance, unsigned frames, size_t pixels)
{
    memset(to, 0, 128);
    memcpy(to + 128, "DICM", 4);
    uint8_t *group = put_head(to + 132, 0x00020000, "UL", 4);
    uint8_t *begin = group + 4;
    uint8_t *at = put_head(begin, 0x00020001, "OB", 2);
    at = put16(at, 0x0100);
    at = put_text(at, 0x00020002, "UI", INSTANCE_SOP_CLASS);
    at = put_text(at, 0x00020003, "UI", uids->instance);
    at = put_text(at, 0x00020010, "UI", "1.2.840.10008.1.2.1");
    at = put_text(at, 0x00020012, "UI", "2.25.20240301");
    put32(group, (size_t)(at - begin));
    return (size_t)(at - to) + instance_write(at, uids, study, instance, frames, pixels);
}
