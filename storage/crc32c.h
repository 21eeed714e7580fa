/* SPDX-License-Identifier: MIT */
#pragma once
/* CRC-32C (Castagnoli, RFC 3720 B.4), in hardware where the processor has it. Thread-safe. */

#include "base/slice.h"

/* The checksum of what `crc` covers followed by `bytes`; 0 is the checksum of nothing. */
uint32_t crc32c_extend(uint32_t crc, struct slice bytes);
/* The same without the processor's help. */
uint32_t crc32c_extend_portable(uint32_t crc, struct slice bytes);
