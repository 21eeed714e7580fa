/* SPDX-License-Identifier: MIT */
#pragma once
/* WADO-RS, instances as a ZIP archive with a DICOMDIR (PS3.18 10.4.4, PS3.10). */

#include "dicomweb/routes.h"

/* `asked`: a transfer syntax as for wado_choose_syntax; "" is "*", each as it is stored. */
bool wado_answer_zip(struct request *request, struct response *response,
                     const struct path_uids *uids, const char *asked, struct error *err);
