/* SPDX-License-Identifier: MIT */
#include "dicom/content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum {
    TAG_RELATIONSHIP_TYPE = 0x0040A010,
    TAG_VALUE_TYPE = 0x0040A040,
    TAG_CONCEPT_NAME = 0x0040A043,
    TAG_CONTENT = 0x0040A730,
};

bool content_is_there(const struct dataset *document)
{
    char type[17];
    return dataset_string(document, TAG_VALUE_TYPE, type, sizeof(type)) &&
           strcmp(type, "CONTAINER") == 0;
}

/* --- the walk --- */

struct content_walk content_walk(const struct dataset *document)
{
    struct content_walk walk = { .levels = 1 };
    walk.open[0].items = dataset_items(document, TAG_CONTENT);
    return walk;
}

static void close_ended(struct content_walk *walk)
{
    if (!walk->keeps)
        dataset_close(walk->ended);
    walk->ended = NULL;
}

static enum content_event end_item(struct content_walk *walk)
{
    size_t top = --walk->levels;
    walk->item = walk->ended = walk->open[top].item;
    walk->depth = top;
    return top ? CONTENT_ITEM_END : CONTENT_END;
}

enum content_event content_next(struct content_walk *walk)
{
    struct dataset *item = NULL;
    close_ended(walk);
    walk->item = NULL;
    if (!walk->levels)
        return CONTENT_END;
    if (walk->count < CONTENT_MAX_ITEMS)
        item = dataset_items_next(&walk->open[walk->levels - 1].items);
    else
        walk->cut = true;
    if (!item)
        return end_item(walk);
    struct dataset_items below = dataset_items(item, TAG_CONTENT);
    if (walk->levels + 1 == DATASET_MAX_DEPTH && below.position != below.end) {
        walk->cut = true;
        below.position = below.end;
    }
    walk->count++;
    walk->item = item;
    walk->depth = walk->levels;
    walk->has_items = below.position != below.end;
    walk->open[walk->levels].item = item;
    walk->open[walk->levels++].items = below;
    return CONTENT_ITEM;
}

void content_walk_end(struct content_walk *walk)
{
    close_ended(walk);
    while (walk->levels) {
        end_item(walk);
        close_ended(walk);
    }
    walk->item = NULL;
}

/* --- the nodes --- */

static enum content_type read_type(const struct dataset *item)
{
    static const struct {
        const char *term;
        enum content_type type;
    } types[] = {
        { "CONTAINER", CONTENT_CONTAINER },
        { "TEXT", CONTENT_TEXT },
        { "NUM", CONTENT_NUM },
        { "CODE", CONTENT_CODE },
        { "DATETIME", CONTENT_DATETIME },
        { "DATE", CONTENT_DATE },
        { "TIME", CONTENT_TIME },
        { "UIDREF", CONTENT_UIDREF },
        { "PNAME", CONTENT_PNAME },
        { "COMPOSITE", CONTENT_COMPOSITE },
        { "IMAGE", CONTENT_IMAGE },
        { "WAVEFORM", CONTENT_WAVEFORM },
    };
    char term[17];
    if (!dataset_string(item, TAG_VALUE_TYPE, term, sizeof(term)) || !*term)
        return CONTENT_BY_REFERENCE;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (!strcmp(term, types[i].term))
            return types[i].type;
    return CONTENT_OTHER;
}

static enum content_relation read_relation(const struct dataset *item)
{
    static const struct {
        const char *term;
        enum content_relation relation;
    } relations[] = {
        { "CONTAINS", RELATION_CONTAINS },
        { "HAS PROPERTIES", RELATION_HAS_PROPERTIES },
        { "HAS OBS CONTEXT", RELATION_HAS_OBSERVATION_CONTEXT },
        { "HAS ACQ CONTEXT", RELATION_HAS_ACQUISITION_CONTEXT },
        { "HAS CONCEPT MOD", RELATION_HAS_CONCEPT_MODIFIER },
        { "INFERRED FROM", RELATION_INFERRED_FROM },
        { "SELECTED FROM", RELATION_SELECTED_FROM },
    };
    char term[17];
    dataset_string(item, TAG_RELATIONSHIP_TYPE, term, sizeof(term));
    for (size_t i = 0; i < sizeof(relations) / sizeof(relations[0]); i++)
        if (!strcmp(term, relations[i].term))
            return relations[i].relation;
    return RELATION_OTHER;
}

/* A code that is cut would be another one. */
static void read_code(const struct dataset *code, uint32_t tag, char text[CONTENT_CODE_SIZE])
{
    char whole[CONTENT_CODE_SIZE + 1];
    dataset_string(code, tag, whole, sizeof(whole));
    size_t size = strlen(whole);
    if (size < CONTENT_CODE_SIZE)
        memcpy(text, whole, size + 1);
}

static void read_node(struct content_node *node, const struct dataset *item)
{
    struct dataset *name = dataset_item(item, TAG_CONCEPT_NAME, 0);
    node->type = read_type(item);
    node->relation = read_relation(item);
    if (name) {
        read_code(name, TAG_CODE_VALUE, node->code);
        read_code(name, TAG_CODING_SCHEME_DESIGNATOR, node->scheme);
    }
    dataset_close(name);
}

static size_t add_node(struct content_tree *tree, size_t *capacity, const struct dataset *item)
{
    if (tree->count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 64;
        tree->nodes = mem_resize_array(tree->nodes, *capacity, sizeof(*tree->nodes));
    }
    struct content_node *node = &tree->nodes[tree->count];
    memset(node, 0, sizeof(*node));
    read_node(node, item);
    return tree->count++;
}

void content_tree_init(struct content_tree *tree, const struct dataset *document)
{
    struct content_walk walk = content_walk(document);
    size_t last[DATASET_MAX_DEPTH] = { 0 }; /* of each depth: the newest node */
    size_t capacity = 0;
    enum content_event event;
    *tree = (struct content_tree){ .document = document };
    walk.keeps = true;
    add_node(tree, &capacity, document);
    while ((event = content_next(&walk)) != CONTENT_END) {
        if (event == CONTENT_ITEM_END)
            continue;
        size_t depth = walk.depth, parent = last[depth - 1];
        size_t node = add_node(tree, &capacity, walk.item);
        tree->nodes[node].item = walk.open[depth].item;
        tree->nodes[node].parent = parent;
        if (!tree->nodes[parent].child) {
            tree->nodes[parent].child = node;
            tree->nodes[node].number = 1;
        } else {
            tree->nodes[last[depth]].next = node;
            tree->nodes[node].number = tree->nodes[last[depth]].number + 1;
        }
        last[depth] = node;
        if (tree->count > CONTENT_TREE_MAX_ITEMS) {
            tree->cut = true;
            break;
        }
    }
    tree->cut = tree->cut || walk.cut;
    content_walk_end(&walk);
}

void content_tree_release(struct content_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++)
        dataset_close(tree->nodes[i].item);
    free(tree->nodes);
    *tree = (struct content_tree){ .nodes = NULL };
}

const struct dataset *content_item(const struct content_tree *tree, size_t node)
{
    return node ? tree->nodes[node].item : tree->document;
}

/* --- looking around --- */

void content_path(const struct content_tree *tree, size_t node, char path[CONTENT_PATH_SIZE])
{
    unsigned numbers[DATASET_MAX_DEPTH] = { 0 }; /* cppcheck does not see what the loops share */
    size_t depth = 0, used = 0;
    for (; node && depth < DATASET_MAX_DEPTH; node = tree->nodes[node].parent)
        numbers[depth++] = tree->nodes[node].number;
    path[0] = '\0';
    while (depth--)
        used += (size_t)snprintf(path + used, CONTENT_PATH_SIZE - used, "%s%u", used ? "." : "",
                                 numbers[depth]);
}

bool content_is(const struct content_node *node, const char *scheme, const char *code)
{
    return strcmp(node->code, code) == 0 && strcmp(node->scheme, scheme) == 0;
}

size_t content_child(const struct content_tree *tree, size_t node, const char *scheme,
                     const char *code)
{
    size_t child = tree->nodes[node].child;
    while (child && !content_is(&tree->nodes[child], scheme, code))
        child = tree->nodes[child].next;
    return child;
}
