/* SPDX-License-Identifier: MIT */
#pragma once
/* The options as an immutable, counted copy: a message is worked on with the one that was current
 * when it came. Thread-safe. */

#include <sys/socket.h>

#include "hl7/mapping.h"
#include "hl7/server.h"
#include "http/address.h"

struct hl7_configuration {
    struct hl7_options options; /* complete: no zeroes that stand for defaults */
    const struct tls_credentials *tls;
    struct hl7_mapping *mapping;
};

bool hl7_configuration_new(const struct hl7_options *options, struct hl7_configuration **out,
                           struct error *err);
struct hl7_configuration *hl7_configuration_hold(struct hl7_configuration *configuration);
/* The last one frees. NULL does nothing. */
void hl7_configuration_release(struct hl7_configuration *configuration);

/* May anybody from there send? Which of the peers it is shows by what it says (the next one). */
bool hl7_admits_address(const struct hl7_configuration *configuration,
                        const struct address *address);
/* May this sender, by MSH-3.1 and MSH-4.1 and what it showed? `tls` NULL: it came in plain. */
bool hl7_admits_sender(const struct hl7_configuration *configuration, const struct address *address,
                       const struct tls *tls, struct slice application, struct slice facility);
