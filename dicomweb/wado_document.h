/* SPDX-License-Identifier: MIT */
#pragma once
/* Instances that are documents (PS3.18 8.7.4): SR as a page, encapsulated documents in their own
 * type. */

#include "archive/retrieve.h"
#include "dicomweb/routes.h"

enum document_kind { DOCUMENT_NONE, DOCUMENT_STRUCTURED, DOCUMENT_ENCAPSULATED };

struct document_offers {
    enum document_kind kind;
    struct offer offers[2]; /* the default first */
    size_t count;
};

/* As what a document can be had; DOCUMENT_NONE for all other instances. */
struct document_offers wado_document_offers(const struct dataset *header);
/* The answer in the form of one of the offers. Takes the instance. */
void wado_answer_document_take(struct request *request, struct response *response,
                               struct instance *instance_take,
                               const struct document_offers *document, size_t choice);
