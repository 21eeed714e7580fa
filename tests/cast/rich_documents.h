/* SPDX-License-Identifier: MIT */
#pragma once
/* A study of documents in which everything is filled in that the mapping of documents knows. */

#include "tests/cast/content_sample.h"

#define RICH_DOCUMENT                                                                              \
    "00080021 DA 20260131\n"                                                                       \
    "00080023 DA 20260131\n"                                                                       \
    "00080033 TM 101500\n"                                                                         \
    "00080050 SH ACC-1\n"                                                                          \
    "00080060 CS SR\n"                                                                             \
    "00080070 LO ACME\n"                                                                           \
    "00080201 SH +0100\n"                                                                          \
    "00081010 SH SR1\n"                                                                            \
    "00081090 LO Scribe\n"                                                                         \
    "00100020 LO PAT-1\n"                                                                          \
    "00181000 LO SN-7\n"                                                                           \
    "0018100A SQ\n"                                                                                \
    ">00181009 UT (01)00844588003288(17)141120\n"                                                  \
    "00181020 LO V1\n"                                                                             \
    "00380010 LO V-7\n"

static inline struct sample *rich_documents(void)
{
    static const char *const classes[] = {
        "1.2.840.10008.5.1.4.1.1.88.67",
        "1.2.840.10008.5.1.4.1.1.88.33",
        "1.2.840.10008.5.1.4.1.1.88.11",
        "1.2.840.10008.5.1.4.1.1.88.59",
    };
    struct sample_dataset *documents[] = {
        content_sample(RICH_DOCUMENT, "113701,DCM,X-Ray Radiation Dose Report",
                       "0040A491 CS COMPLETE\n",
                       "> M CODE 121058,DCM,Procedure reported = 77477000,SCT,CT\n"
                       "> C DATETIME 113809,DCM,Start = 20260131100000\n"
                       "> C DATETIME 113810,DCM,End = 20260131100500\n"
                       "> C CONTAINER 113811,DCM,CT Accumulated Dose Data\n"
                       ">> C NUM 113813,DCM,CT Dose Length Product Total = 415.82 mGy.cm\n"
                       "> C CONTAINER 113819,DCM,CT Acquisition\n"
                       ">> C CODE 123014,DCM,Target Region = 69536005,SCT,Head\n"),
        content_sample(RICH_DOCUMENT, "126000,DCM,Imaging Measurement Report", "",
                       "> O PNAME 121008,DCM,Person Observer Name = Cuddy^Lisa\n"
                       "> C CONTAINER 125007,DCM,Measurement Group\n"
                       ">> O TEXT 112039,DCM,Tracking Identifier = Nodule 1\n"
                       ">> M CODE 363698007,SCT,Finding Site = 39607008,SCT,Lung\n"
                       ">> C NUM 410668003,SCT,Length = 12.50 mm\n"
                       ">>> M CODE 121401,DCM,Derivation = 56851009,SCT,Maximum\n"
                       ">>> M CODE 370129005,SCT,Measurement Method = 113083,DCM,RECIST\n"
                       ">>> P CODE 121402,DCM,Normality = 17621005,SCT,Normal\n"
                       ">> C NUM 118565006,SCT,Volume = 114007,DCM,Not attempted\n"
                       ">> C CODE 121071,DCM,Finding = 27925004,SCT,Nodule\n"),
        content_sample(RICH_DOCUMENT, "18748-4,LN,Diagnostic imaging study",
                       "0040A073 SQ\n"
                       ">0040A030 DT 20260131113000\n"
                       ">0040A075 PN House^Gregory\n"
                       "0040A078 SQ\n"
                       ">0040A123 PN Foreman^Eric\n"
                       "0040A491 CS COMPLETE\n"
                       "0040A493 CS VERIFIED\n",
                       "> C CONTAINER 121072,DCM,Impressions\n"
                       ">> C TEXT 121073,DCM,Impression = No pneumonia.\n"
                       ">> C CODE 121073,DCM,Impression = 17621005,SCT,Normal\n"
                       "> C NUM 410668003,SCT,Length = 1 mm\n"),
        content_sample(RICH_DOCUMENT, "113000,DCM,Of Interest", "",
                       "> O PNAME 121008,DCM,Person Observer Name = Wilson^James\n"
                       "> C TEXT 113012,DCM,Key Object Description = Look here\n"
                       "> C IMAGE 113000,DCM,Of Interest = 1.2.840.10008.5.1.4.1.1.2 1.2.3.1\n"),
    };
    struct sample *sample = mem_alloc(sizeof *sample);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        sample->headers[i] = documents[i];
        sample_finish_series(sample, 1);
        sample->series[i].instances[0].sop_class = classes[i];
        sample->series[i].instances[0].document = documents[i]->dataset;
    }
    return sample;
}
