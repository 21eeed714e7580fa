/* SPDX-License-Identifier: MIT */
/* The Native DICOM Model (PS3.19 annex A) as it arrives. The door to expat. What such a document
 * has no use for is refused: document type definitions, and with them entities, and processing
 * instructions. */
#include <expat.h>
#include <malloc.h>
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/model_formats.h"

enum {
    MAX_DEPTH = 2 * DATASET_MAX_DEPTH + 8,
    MAX_GAP = 1000,        /* values that are left out by their numbers */
    MAX_MARKUP = 1 << 20,  /* bytes of one tag, which expat holds together */
    MAX_HELD = 32 << 20,   /* by expat */
    PIECE_SIZE = 64 << 10, /* fed to expat at a time */
};

enum node {
    NODE_NONE,
    NODE_MODEL,
    NODE_ATTRIBUTE,
    NODE_ITEM,
    NODE_VALUE,
    NODE_INLINE_BINARY,
    NODE_BULK_DATA,
    NODE_NAME,
    NODE_GROUP,
    NODE_COMPONENT,
    NODE_SKIPPED, /* of another vocabulary, with all in it */
};

struct xml_reader {
    struct model_reader base;
    XML_Parser parser;
    uint64_t fed;
    size_t held; /* by expat */
    struct {
        enum node node;
        size_t number; /* of the values or items in an attribute so far; of a group or component */
    } open[MAX_DEPTH];
    size_t depth;
    bool complete;      /* it was given */
    struct buffer text; /* of the value that is open */
    struct buffer groups[MODEL_NAME_GROUPS];
    size_t group;
    size_t component; /* of the group: carets so far */
};

/* Expat keeps all names of elements and attributes that it has ever seen, so it has a limit of its
 * own. Its allocator is told of no parser: it is the one that the thread is in. */
static _Thread_local struct xml_reader *at_work;

static void *resize(void *block, size_t size)
{
    size_t before = block ? malloc_usable_size(block) : 0;
    if (size > before && at_work->held - before + size > MAX_HELD)
        return NULL;
    void *resized = realloc(block, size);
    if (resized)
        at_work->held += malloc_usable_size(resized) - before;
    return resized;
}

static void *allocate(size_t size)
{
    return resize(NULL, size);
}

static void release(void *block)
{
    if (block)
        at_work->held -= malloc_usable_size(block);
    free(block);
}

static void create_parser(struct xml_reader *reader)
{
    static const XML_Memory_Handling_Suite suite = { allocate, resize, release };
    at_work = reader;
    reader->parser = XML_ParserCreate_MM(NULL, &suite, NULL);
    at_work = NULL;
}

static bool parse(struct xml_reader *reader, struct slice bytes, bool last)
{
    at_work = reader;
    bool ok = XML_Parse(reader->parser, (const char *)bytes.data, (int)bytes.size, last) ==
              XML_STATUS_OK;
    at_work = NULL;
    return ok;
}

static void free_parser(struct xml_reader *reader)
{
    at_work = reader;
    XML_ParserFree(reader->parser);
    at_work = NULL;
}

static void broken(struct xml_reader *reader, const char *what)
{
    model_builder_break(&reader->base.builder, what);
    XML_StopParser(reader->parser, XML_FALSE);
}

static const char *attribute_of(const XML_Char **attributes, const char *name)
{
    for (size_t i = 0; attributes[i]; i += 2)
        if (!strcmp(attributes[i], name))
            return attributes[i + 1];
    return NULL;
}

/* Without the prefix of its namespace. */
static const char *local_name(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon ? colon + 1 : name;
}

/* Elements. */

static enum node begin_attribute(struct xml_reader *reader, const XML_Char **attributes)
{
    struct model_builder *builder = &reader->base.builder;
    const char *creator = attribute_of(attributes, "privateCreator");
    const char *vr = attribute_of(attributes, "vr");
    uint32_t tag = 0;
    bool is_tag = model_tag_parse(slice_text(attribute_of(attributes, "tag")), &tag);
    if (is_tag && creator && creator[0])
        tag = model_builder_private_tag(builder, tag, slice_text(creator));
    model_builder_begin(builder, tag);
    if (!is_tag)
        model_builder_fail(builder, "a DicomAttribute has no tag");
    if (vr)
        model_builder_vr(builder, slice_text(vr));
    return NODE_ATTRIBUTE;
}

/* Values and items are numbered from 1; numbers that are left out are empty values. */
static void take_number(struct xml_reader *reader, const char *text, bool item)
{
    struct model_builder *builder = &reader->base.builder;
    size_t *last = &reader->open[reader->depth - 1].number;
    size_t number = *last + 1;
    if (text && (!*text || strlen(text) > 9 || text[strspn(text, "0123456789")]))
        model_builder_fail(builder, "a number is none");
    else if (text)
        number = (size_t)strtoul(text, NULL, 10);
    if (number <= *last || number - *last > MAX_GAP) {
        model_builder_fail(builder, "values are not in the order of their numbers");
        number = *last + 1;
    }
    while (++*last < number)
        if (!item)
            model_builder_value(builder, TOKEN_EMPTY, slice_of(NULL, 0));
}

static enum node begin_bulk_data(struct xml_reader *reader, const XML_Char **attributes)
{
    const char *uri = attribute_of(attributes, "uri");
    if (!uri)
        uri = attribute_of(attributes, "uuid");
    model_builder_bulk_data(&reader->base.builder, slice_text(uri ? uri : ""));
    return NODE_BULK_DATA;
}

static enum node begin_in_attribute(struct xml_reader *reader, const char *name,
                                    const XML_Char **attributes)
{
    const char *number = attribute_of(attributes, "number");
    buffer_clear(&reader->text);
    if (!strcmp(name, "Value")) {
        take_number(reader, number, false);
        return NODE_VALUE;
    }
    if (!strcmp(name, "PersonName")) {
        take_number(reader, number, false);
        for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
            buffer_clear(&reader->groups[i]);
        return NODE_NAME;
    }
    if (!strcmp(name, "Item")) {
        take_number(reader, number, true);
        model_builder_item_begin(&reader->base.builder);
        return NODE_ITEM;
    }
    if (!strcmp(name, "BulkData"))
        return begin_bulk_data(reader, attributes);
    if (!strcmp(name, "InlineBinary"))
        return NODE_INLINE_BINARY;
    model_builder_fail(&reader->base.builder, "a DicomAttribute holds another element");
    return NODE_SKIPPED;
}

static size_t find_name(const char *name, const char *const *names, size_t count)
{
    size_t i = 0;
    while (i < count && strcmp(name, names[i]) != 0)
        i++;
    return i;
}

static enum node begin_in_name(struct xml_reader *reader, const char *name)
{
    static const char *const groups[MODEL_NAME_GROUPS] = { "Alphabetic", "Ideographic",
                                                           "Phonetic" };
    size_t group = find_name(name, groups, MODEL_NAME_GROUPS);
    if (group == MODEL_NAME_GROUPS || reader->groups[group].size) {
        model_builder_fail(&reader->base.builder, "a PersonName holds another element");
        return NODE_SKIPPED;
    }
    reader->group = group;
    reader->component = 0;
    return NODE_GROUP;
}

/* Carets up to the component (PS3.5 6.2.1). */
static enum node begin_in_group(struct xml_reader *reader, const char *name)
{
    static const char *const components[] = { "FamilyName", "GivenName", "MiddleName", "NamePrefix",
                                              "NameSuffix" };
    size_t component = find_name(name, components, 5);
    if (component == 5 || component < reader->component) {
        model_builder_fail(&reader->base.builder, "a person name holds another element");
        return NODE_SKIPPED;
    }
    for (; reader->component < component; reader->component++)
        buffer_append_byte(&reader->groups[reader->group], '^');
    buffer_clear(&reader->text);
    return NODE_COMPONENT;
}

static enum node begin_node(struct xml_reader *reader, const char *name,
                            const XML_Char **attributes)
{
    enum node parent = reader->depth ? reader->open[reader->depth - 1].node : NODE_NONE;
    switch (parent) {
    case NODE_NONE:
        if (!strcmp(name, "NativeDicomModel"))
            return NODE_MODEL;
        broken(reader, "the document is no NativeDicomModel");
        return NODE_SKIPPED;
    case NODE_MODEL:
    case NODE_ITEM:
        if (!strcmp(name, "DicomAttribute"))
            return begin_attribute(reader, attributes);
        model_builder_fail(&reader->base.builder, "another element stands among DicomAttributes");
        return NODE_SKIPPED;
    case NODE_ATTRIBUTE:
        return begin_in_attribute(reader, name, attributes);
    case NODE_NAME:
        return begin_in_name(reader, name);
    case NODE_GROUP:
        return begin_in_group(reader, name);
    case NODE_SKIPPED:
        return NODE_SKIPPED;
    default:
        model_builder_fail(&reader->base.builder, "a value holds elements");
        return NODE_SKIPPED;
    }
}

static void XMLCALL on_start(void *context, const XML_Char *name, const XML_Char **attributes)
{
    struct xml_reader *reader = context;
    if (reader->base.builder.fatal.code != ERROR_NONE)
        return;
    if (reader->depth == MAX_DEPTH) {
        broken(reader, "the document is nested too deeply");
        return;
    }
    enum node node = begin_node(reader, local_name(name), attributes);
    reader->open[reader->depth].node = node;
    reader->open[reader->depth++].number = 0;
    if (reader->base.builder.fatal.code != ERROR_NONE)
        XML_StopParser(reader->parser, XML_FALSE);
}

static void end_name(struct xml_reader *reader)
{
    struct slice groups[MODEL_NAME_GROUPS];
    for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
        groups[i] = buffer_slice(&reader->groups[i]);
    model_builder_name(&reader->base.builder, groups);
}

static void end_value(struct xml_reader *reader)
{
    struct slice text = buffer_slice(&reader->text);
    model_builder_value(&reader->base.builder, text.size ? TOKEN_TEXT : TOKEN_EMPTY, text);
}

static void XMLCALL on_end(void *context, const XML_Char *name)
{
    struct xml_reader *reader = context;
    struct model_builder *builder = &reader->base.builder;
    (void)name;
    if (builder->fatal.code != ERROR_NONE)
        return;
    switch (reader->open[--reader->depth].node) {
    case NODE_ATTRIBUTE:
        model_builder_end(builder);
        break;
    case NODE_ITEM:
        model_builder_item_end(builder);
        break;
    case NODE_VALUE:
        end_value(reader);
        break;
    case NODE_INLINE_BINARY:
        model_builder_inline(builder, buffer_slice(&reader->text), true);
        break;
    case NODE_NAME:
        end_name(reader);
        break;
    case NODE_COMPONENT:
        buffer_append(&reader->groups[reader->group], buffer_slice(&reader->text));
        break;
    default:
        break;
    }
    if (builder->fatal.code != ERROR_NONE)
        XML_StopParser(reader->parser, XML_FALSE);
}

static bool is_white(const XML_Char *text, int size)
{
    for (int i = 0; i < size; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n')
            return false;
    return true;
}

static void XMLCALL on_text(void *context, const XML_Char *text, int size)
{
    struct xml_reader *reader = context;
    enum node node = reader->depth ? reader->open[reader->depth - 1].node : NODE_NONE;
    if (reader->base.builder.fatal.code != ERROR_NONE)
        return;
    if (node == NODE_VALUE || node == NODE_INLINE_BINARY || node == NODE_COMPONENT) {
        if (!buffer_append(&reader->text, slice_of(text, (size_t)size)))
            broken(reader, "a text is too long");
    } else if (node != NODE_SKIPPED && !is_white(text, size)) {
        model_builder_fail(&reader->base.builder, "text stands among elements");
    }
}

static void XMLCALL on_doctype(void *context, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int has_subset)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_subset;
    broken(context, "document type definitions are not taken");
}

static void XMLCALL on_instruction(void *context, const XML_Char *target, const XML_Char *data)
{
    (void)target;
    (void)data;
    broken(context, "processing instructions are not taken");
}

/* The reader. */

/* A tag that does not end is held together by expat until it does. */
static void check_markup(struct xml_reader *reader)
{
    XML_Index index = XML_GetCurrentByteIndex(reader->parser);
    if (index >= 0 && reader->fed - (uint64_t)index > MAX_MARKUP)
        broken(reader, "an element's tag is too long");
}

/* Only what ends as XML is a model: behind it may stand what makes it none. */
static void next(struct model_reader *base, enum model_event *event)
{
    struct xml_reader *reader = (struct xml_reader *)base;
    if (reader->complete) {
        *event = MODEL_END;
        return;
    }
    while (base->builder.fatal.code == ERROR_NONE && base->rest.size) {
        struct slice piece = slice_take(base->rest, PIECE_SIZE);
        base->rest = slice_skip(base->rest, piece.size);
        reader->fed += piece.size;
        if (!parse(reader, piece, false))
            broken(reader, XML_GetErrorCode(reader->parser) == XML_ERROR_NO_MEMORY
                               ? "the document has too many names"
                               : "the document is no XML");
        else
            check_markup(reader);
    }
    if (base->builder.fatal.code != ERROR_NONE || !base->finished)
        return;
    if (!parse(reader, slice_of("", 0), true)) {
        broken(reader, "the document is no XML");
        return;
    }
    reader->complete = true;
    *event = MODEL_DATASET;
}

static size_t memory(const struct model_reader *base)
{
    const struct xml_reader *reader = (const struct xml_reader *)base;
    size_t size = reader->text.capacity + reader->held;
    for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
        size += reader->groups[i].capacity;
    return size;
}

static void free_reader(struct model_reader *base)
{
    struct xml_reader *reader = (struct xml_reader *)base;
    free_parser(reader);
    model_builder_release(&base->builder);
    buffer_release(&reader->text);
    for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
        buffer_release(&reader->groups[i]);
    free(reader);
}

struct model_reader *xml_reader_new(const struct model_limits *limits)
{
    static const struct model_format_reader format = { next, memory, free_reader };
    struct xml_reader *reader = mem_alloc(sizeof(*reader));
    reader->base.format = &format;
    model_builder_init(&reader->base.builder, limits);
    size_t limit = reader->base.builder.bytes.limit;
    reader->text = buffer_up_to(limit);
    for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
        reader->groups[i] = buffer_up_to(limit);
    create_parser(reader);
    if (!reader->parser)
        abort(); /* as mem_alloc does */
    XML_SetUserData(reader->parser, reader);
    XML_SetElementHandler(reader->parser, on_start, on_end);
    XML_SetCharacterDataHandler(reader->parser, on_text);
    XML_SetDoctypeDeclHandler(reader->parser, on_doctype, NULL);
    XML_SetProcessingInstructionHandler(reader->parser, on_instruction);
    return &reader->base;
}
