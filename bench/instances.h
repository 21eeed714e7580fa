/* SPDX-License-Identifier: MIT */
#pragma once
/* Synthetic CT images for the load programs, made in memory: nothing is read from a disk while a
 * store is measured. All UIDs follow from a root and numbers, so that who asks for them later knows
 * them: ROOT.study, ROOT.study.1, ROOT.study.1.instance. */

#include <stddef.h>
#include <stdint.h>

#define INSTANCE_SOP_CLASS "1.2.840.10008.5.1.4.1.1.2"

struct instance_uids {
    char study[65];
    char series[65];
    char instance[65];
};

void instance_uids(const char *root, unsigned study, unsigned instance, struct instance_uids *uids);

/* Room that any image with so many bytes of pixels fits into. */
size_t instance_room(size_t pixels);
/* The data set in Explicit VR Little Endian, `frames` of `pixels` bytes each; its size. `to` was
 * zeroed or filled by an earlier call with as many pixels. */
size_t instance_write(uint8_t *to, const struct instance_uids *uids, unsigned study,
                      unsigned instance, unsigned frames, size_t pixels);
/* The same with preamble and File Meta before it. */
size_t instance_write_file(uint8_t *to, const struct instance_uids *uids, unsigned study,
                           unsigned instance, unsigned frames, size_t pixels);
