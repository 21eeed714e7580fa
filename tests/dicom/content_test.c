/* SPDX-License-Identifier: MIT */
#include "dicom/content.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "dicom/encode.h"
#include "tests/test.h"

enum { CONTENT_SEQUENCE = 0x0040A730 };

struct sample {
    struct buffer bytes;
    struct encoder encoder;
    struct dataset *document;
};

static void sample_begin(struct sample *sample)
{
    sample->bytes = buffer_up_to(64 << 20);
    sample->encoder = (struct encoder){ &sample->bytes, true };
}

static void sample_open(struct sample *sample)
{
    struct error err;
    CHECK_OK(dataset_open(buffer_slice(&sample->bytes),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &sample->document, &err),
             err);
}

static void sample_release(struct sample *sample)
{
    dataset_close(sample->document);
    buffer_release(&sample->bytes);
}

/* An item's head; what comes after it up to put_end stands below it. */
static void put_item(struct encoder *encoder, const char *relation, const char *type,
                     const char *code)
{
    encode_item_begin(encoder);
    encode_text(encoder, 0x0040A010, VR_CS, relation);
    encode_text(encoder, 0x0040A040, VR_CS, type);
    encode_sequence_begin(encoder, 0x0040A043);
    encode_item_begin(encoder);
    encode_text(encoder, 0x00080100, VR_SH, code);
    encode_text(encoder, 0x00080102, VR_SH, "DCM");
    encode_item_end(encoder);
    encode_sequence_end(encoder);
}

/* CONTAINER { CONTAINER "A" { NUM "B", TEXT "C" }, CODE "D" } */
static void put_document(struct sample *sample)
{
    struct encoder *encoder = &sample->encoder;
    sample_begin(sample);
    encode_text(encoder, 0x0040A040, VR_CS, "CONTAINER");
    encode_sequence_begin(encoder, CONTENT_SEQUENCE);
    put_item(encoder, "CONTAINS", "CONTAINER", "A");
    encode_sequence_begin(encoder, CONTENT_SEQUENCE);
    put_item(encoder, "CONTAINS", "NUM", "B");
    encode_item_end(encoder);
    put_item(encoder, "HAS PROPERTIES", "TEXT", "C");
    encode_item_end(encoder);
    encode_sequence_end(encoder);
    encode_item_end(encoder);
    put_item(encoder, "HAS OBS CONTEXT", "CODE", "D");
    encode_item_end(encoder);
    encode_sequence_end(encoder);
    sample_open(sample);
}

TEST(items_are_told_in_document_order_each_with_its_end)
{
    static const struct {
        enum content_event event;
        size_t depth;
        bool has_items;
    } expected[] = {
        { CONTENT_ITEM, 1, true },  { CONTENT_ITEM, 2, false },     { CONTENT_ITEM_END, 2, false },
        { CONTENT_ITEM, 2, false }, { CONTENT_ITEM_END, 2, false }, { CONTENT_ITEM_END, 1, true },
        { CONTENT_ITEM, 1, false }, { CONTENT_ITEM_END, 1, false }, { CONTENT_END, 0, false },
    };
    struct sample sample;
    put_document(&sample);
    CHECK(content_is_there(sample.document));
    struct content_walk walk = content_walk(sample.document);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        CHECK_INT(content_next(&walk), expected[i].event);
        if (expected[i].event == CONTENT_END)
            break;
        CHECK_INT(walk.depth, expected[i].depth);
        CHECK(walk.item);
        if (expected[i].event == CONTENT_ITEM)
            CHECK_INT(walk.has_items, expected[i].has_items);
    }
    CHECK_INT(content_next(&walk), CONTENT_END);
    CHECK(!walk.cut);
    sample_release(&sample);
}

TEST(a_tree_knows_what_its_items_are_and_where)
{
    struct sample sample;
    struct content_tree tree;
    char path[CONTENT_PATH_SIZE];
    put_document(&sample);
    content_tree_init(&tree, sample.document);
    CHECK_INT(tree.count, 5);
    CHECK(content_item(&tree, 0) == sample.document);
    size_t a = content_child(&tree, 0, "DCM", "A");
    CHECK(a);
    CHECK_INT(tree.nodes[a].type, CONTENT_CONTAINER);
    size_t c = content_child(&tree, a, "DCM", "C");
    CHECK_INT(tree.nodes[c].type, CONTENT_TEXT);
    CHECK_INT(tree.nodes[c].relation, RELATION_HAS_PROPERTIES);
    CHECK_INT(tree.nodes[c].parent, a);
    content_path(&tree, c, path);
    CHECK_TEXT(path, "1.2");
    content_path(&tree, content_child(&tree, 0, "DCM", "D"), path);
    CHECK_TEXT(path, "2");
    content_path(&tree, 0, path);
    CHECK_TEXT(path, "");
    CHECK_INT(content_child(&tree, 0, "DCM", "C"), CONTENT_NONE);
    CHECK_INT(content_child(&tree, 0, "SCT", "A"), CONTENT_NONE);
    content_tree_release(&tree);
    sample_release(&sample);
}

TEST(items_nest_as_deep_as_data_sets_do)
{
    struct sample sample;
    struct content_tree tree;
    enum { DEPTH = DATASET_MAX_DEPTH - 2 };
    sample_begin(&sample);
    encode_text(&sample.encoder, 0x0040A040, VR_CS, "CONTAINER");
    for (int i = 0; i < DEPTH; i++) {
        encode_sequence_begin(&sample.encoder, CONTENT_SEQUENCE);
        put_item(&sample.encoder, "CONTAINS", "CONTAINER", "A");
    }
    for (int i = 0; i < DEPTH; i++) {
        encode_item_end(&sample.encoder);
        encode_sequence_end(&sample.encoder);
    }
    sample_open(&sample);
    content_tree_init(&tree, sample.document);
    CHECK(!tree.cut);
    CHECK_INT(tree.count, DEPTH + 1);
    content_tree_release(&tree);
    sample_release(&sample);
}

TEST(HOS_21_items_without_end_are_cut)
{
    struct sample sample;
    struct content_tree tree;
    sample_begin(&sample);
    encode_text(&sample.encoder, 0x0040A040, VR_CS, "CONTAINER");
    encode_sequence_begin(&sample.encoder, CONTENT_SEQUENCE);
    for (int i = 0; i < CONTENT_TREE_MAX_ITEMS + 10; i++) {
        put_item(&sample.encoder, "CONTAINS", "NUM", "B");
        encode_item_end(&sample.encoder);
    }
    encode_sequence_end(&sample.encoder);
    sample_open(&sample);
    content_tree_init(&tree, sample.document);
    CHECK(tree.cut);
    CHECK(tree.count <= CONTENT_TREE_MAX_ITEMS + 1);
    content_tree_release(&tree);
    sample_release(&sample);
}

TEST(a_walk_may_be_left_early)
{
    struct sample sample;
    put_document(&sample);
    for (size_t steps = 0; steps < 9; steps++) {
        struct content_walk walk = content_walk(sample.document);
        for (size_t i = 0; i < steps; i++)
            content_next(&walk);
        content_walk_end(&walk);
        CHECK_INT(content_next(&walk), CONTENT_END);
    }
    sample_release(&sample);
}

TEST(what_has_no_content_has_no_items)
{
    struct sample sample;
    sample_begin(&sample);
    encode_text(&sample.encoder, 0x00100020, VR_LO, "x");
    sample_open(&sample);
    CHECK(!content_is_there(sample.document));
    struct content_walk walk = content_walk(sample.document);
    CHECK_INT(content_next(&walk), CONTENT_END);
    sample_release(&sample);
}
