/* SPDX-License-Identifier: MIT */
#include "dimse/identifier_keys.h"

/* Where the walk stands: the open sequences, and whether each has had an item and a key. */
struct key_path {
    uint32_t tags[KEY_PATH_MAX];
    bool has_item[KEY_PATH_MAX];
    bool has_key[KEY_PATH_MAX];
    size_t depth;
};

static bool visit(const struct key_visitor *visitor, struct key_path *path,
                  const struct element *element, struct error *err)
{
    if (path->depth)
        path->has_key[path->depth - 1] = true;
    path->tags[path->depth] = element->tag;
    return visitor->attribute(visitor->context, path->tags, path->depth + 1, element, err);
}

static bool open_sequence(const struct key_visitor *visitor, struct key_path *path, uint32_t tag,
                          struct error *err)
{
    /* The last place is for the attribute in the innermost item. */
    if (path->depth + 1 >= visitor->depth)
        return error_set_tag(err, ERROR_MISMATCH, tag, "sequence keys nested too deep");
    path->tags[path->depth] = tag;
    path->has_item[path->depth] = false;
    path->has_key[path->depth] = false;
    path->depth++;
    return true;
}

static bool close_sequence(const struct key_visitor *visitor, struct key_path *path,
                           struct error *err)
{
    bool is_key = true;
    path->depth--;
    if (!path->has_key[path->depth] &&
        !visitor->sequence(visitor->context, path->tags, path->depth + 1, &is_key, err))
        return false;
    if (path->depth && is_key)
        path->has_key[path->depth - 1] = true;
    return true;
}

static bool open_item(struct key_path *path, struct error *err)
{
    if (path->depth == 0)
        return true;
    bool *has_item = &path->has_item[path->depth - 1];
    if (*has_item)
        return error_set_tag(err, ERROR_MISMATCH, path->tags[path->depth - 1],
                             "sequence key with more than one item");
    *has_item = true;
    return true;
}

bool identifier_keys(const struct dataset *identifier, const struct key_visitor *visitor,
                     struct error *err)
{
    struct walk walk = dataset_walk(identifier);
    struct key_path path = { .depth = 0 };
    struct element element;
    for (bool ok = true; ok;) {
        switch (walk_next(&walk, &element)) {
        case WALK_END:
            return !walk.broken || error_set(err, ERROR_MISMATCH, "the identifier is broken");
        case WALK_ELEMENT:
            ok = visit(visitor, &path, &element, err);
            break;
        case WALK_SEQUENCE:
            ok = open_sequence(visitor, &path, element.tag, err);
            break;
        case WALK_SEQUENCE_END:
            ok = close_sequence(visitor, &path, err);
            break;
        case WALK_ITEM:
            ok = open_item(&path, err);
            break;
        case WALK_ITEM_END:
            break;
        }
    }
    return false;
}
