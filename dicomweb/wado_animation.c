/* SPDX-License-Identifier: MIT */
/* All frames of an image as one animated GIF (PS3.18 8.7.4): drawn one after the other while it is
 * sent, so that memory is that of one frame. */
#include <stdlib.h>

#include "base/memory.h"
#include "dicomweb/wado_picture.h"

enum {
    TAG_RECOMMENDED_DISPLAY_FRAME_RATE = 0x00082144,
    TAG_CINE_RATE = 0x00180040,
    DEFAULT_DELAY_CS = 10,
    LONGEST_DELAY_CS = 1000,
    MOST_FRAMES = 1000,
};

struct animation {
    struct dicomweb *dicomweb;
    struct instance *instance;
    struct picture_options options;
    struct item_index *frame_groups;
    struct picture picture;
    uint32_t next; /* frame, from 1 */
    uint32_t count;
    bool drawn; /* the next piece, already */
    bool ended;
};

static void close_animation(void *state)
{
    struct animation *animation = state;
    picture_release(&animation->picture);
    item_index_free(animation->frame_groups);
    instance_close(animation->instance);
    free(animation);
}

static bool number(const struct dataset *header, uint32_t tag, double *value)
{
    char text[64];
    *value = dataset_string(header, tag, text, sizeof(text)) ? strtod(text, NULL) : 0;
    return *value > 0;
}

/* Hundredths of a second for a frame (PS3.3 C.7.6.5). */
static unsigned delay_of(const struct dataset *header)
{
    double value;
    double delay = DEFAULT_DELAY_CS;
    if (number(header, TAG_FRAME_TIME, &value))
        delay = value / 10;
    else if (number(header, TAG_RECOMMENDED_DISPLAY_FRAME_RATE, &value) ||
             number(header, TAG_CINE_RATE, &value))
        delay = 100 / value;
    if (delay < 1)
        return 1;
    return delay < LONGEST_DELAY_CS ? (unsigned)(delay + 0.5) : LONGEST_DELAY_CS;
}

static bool draw_next(struct animation *animation, struct error *err)
{
    picture_release(&animation->picture);
    animation->options.animation = animation->next == 1 ? ANIMATION_FIRST : ANIMATION_NEXT;
    return picture_draw(animation->dicomweb, animation->instance, animation->next++, PICTURE_GIF,
                        &animation->options, &animation->picture, err);
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct animation *animation = state;
    piece->kind = animation->ended ? PIECE_END : PIECE_BYTES;
    if (animation->ended)
        return true;
    if (!animation->drawn && animation->next > animation->count) {
        piece->bytes = slice_text(";"); /* the end of a GIF */
        animation->ended = true;
        return true;
    }
    if (!animation->drawn && !draw_next(animation, err))
        return false;
    animation->drawn = false;
    piece->bytes = buffer_slice(&animation->picture.bytes);
    return true;
}

bool wado_answer_animation_take(struct request *request, struct response *response,
                                struct instance *instance_take, uint32_t frames,
                                const struct picture_options *options, struct error *err)
{
    const struct dataset *header;
    struct animation *animation = mem_alloc(sizeof(*animation));
    *animation = (struct animation){
        .dicomweb = request_context(request),
        .instance = instance_take,
        .options = *options,
        .next = 1,
        .count = frames,
        .drawn = true,
    };
    if (dicomweb_is_known(request, response, instance_take, "image/gif animated")) {
        close_animation(animation);
        return true;
    }
    bool ok = frames <= MOST_FRAMES ||
              error_set(err, ERROR_UNSUPPORTED, "the image has more than %d frames", MOST_FRAMES);
    ok = ok && instance_header(instance_take, &header, err);
    if (ok) {
        animation->options.delay_cs = delay_of(header);
        animation->frame_groups = item_index_new(header, TAG_PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        animation->options.frame_groups = animation->frame_groups;
    }
    /* The first is drawn before the answer begins, so that what cannot be drawn is refused. */
    if (!ok || !draw_next(animation, err)) {
        close_animation(animation);
        return false;
    }
    const struct body_source source = { next_piece, close_animation, animation };
    response_status(response, 200);
    response_content_type(response, "image/gif");
    response_stream_take(response, &source, UINT64_MAX);
    return true;
}
