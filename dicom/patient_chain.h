/* SPDX-License-Identifier: MIT */
#pragma once
/* Merges of patients in a row, A into B into C ...: archive/ and worklist/ are told the same ones,
 * keep each as it was told so that it can be undone, and follow them at each look-up. */

enum { PATIENT_CHAIN_MAX = 64 };
