/* SPDX-License-Identifier: MIT */
#pragma once
/* Names in the sets of PS3.5 annexes H and I, from UTF-8. Free the result. */

/* ISO 2022 IR 87 (JIS X 0208): every run of it between ESC $ B and ESC ( B. */
char *text_japanese(const char *utf8);

/* ISO 2022 IR 149 (KS X 1001) in G1: ESC $ ) C begins every component that has such characters. */
char *text_korean(const char *utf8);
