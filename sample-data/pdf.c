/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"
#include "sample-data/studies.h"

enum { OBJECTS = 6, MAX_CONTENT = 64 << 10 };

static void write_content(const char *const *lines, unsigned count, struct buffer *content)
{
    buffer_append_text(content, "BT /F1 12 Tf 14 TL 50 780 Td\n");
    for (unsigned i = 0; i < count; i++)
        buffer_append_format(content, "(%s) Tj T*\n", lines[i]);
    buffer_append_text(content, "ET\n");
}

void pdf_write(const char *const *lines, unsigned count, struct buffer *out)
{
    struct buffer content = buffer_up_to(MAX_CONTENT);
    size_t offsets[OBJECTS];
    static const char *const objects[OBJECTS - 1] = {
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 6 0 R /Resources 4 0 R >>",
        "<< /Font << /F1 5 0 R >> >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    };
    write_content(lines, count, &content);
    buffer_append_text(out, "%PDF-1.4\n");
    for (unsigned i = 0; i < OBJECTS - 1; i++) {
        offsets[i] = out->size;
        buffer_append_format(out, "%u 0 obj\n%s\nendobj\n", i + 1, objects[i]);
    }
    offsets[OBJECTS - 1] = out->size;
    buffer_append_format(out, "%d 0 obj\n<< /Length %zu >>\nstream\n", OBJECTS, content.size);
    buffer_append(out, buffer_slice(&content));
    buffer_append_text(out, "endstream\nendobj\n");
    size_t table = out->size;
    buffer_append_format(out, "xref\n0 %d\n0000000000 65535 f \n", OBJECTS + 1);
    for (unsigned i = 0; i < OBJECTS; i++)
        buffer_append_format(out, "%010zu 00000 n \n", offsets[i]);
    buffer_append_format(out, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%zu\n%%%%EOF\n",
                         OBJECTS + 1, table);
    buffer_release(&content);
}
