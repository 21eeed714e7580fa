/* SPDX-License-Identifier: MIT */
#pragma once
/* What is written over a picture when it is asked for (PS3.18 8.3.5.1.1). */

#include "dicom/dataset.h"
#include "dicom/raster.h"

void caption_patient(const struct dataset *header, struct raster *view);   /* at the top */
void caption_technique(const struct dataset *header, struct raster *view); /* at the bottom */
