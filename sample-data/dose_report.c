/* SPDX-License-Identifier: MIT */
/* X-Ray Radiation Dose SR of a CT (PS3.3 A.35.8, PS3.16 TID 10011, 10012, 10013). */
#include <stdio.h>

#include "sample-data/instance.h"
#include "sample-data/studies.h"

#define DCM(value, meaning) ((struct code){ value, "DCM", meaning })
#define SCT(value, meaning) ((struct code){ value, "SCT", meaning })
#define UCUM(value)         ((struct code){ value, "UCUM", value })

/* One more content item below `parent` (PS3.3 C.17.3). */
static struct attributes *add_content(struct attributes *parent, const char *relationship,
                                      const char *type, struct code name)
{
    struct attributes *item = attributes_item(parent, 0x0040A730);
    attributes_text(item, 0x0040A010, VR_CS, relationship);
    attributes_text(item, 0x0040A040, VR_CS, type);
    attributes_code(item, 0x0040A043, name);
    return item;
}

static struct attributes *add_container(struct attributes *parent, struct code name)
{
    struct attributes *item = add_content(parent, "CONTAINS", "CONTAINER", name);
    attributes_text(item, 0x0040A050, VR_CS, "SEPARATE");
    return item;
}

static struct attributes *add_code(struct attributes *parent, const char *relationship,
                                   struct code name, struct code value)
{
    struct attributes *item = add_content(parent, relationship, "CODE", name);
    attributes_code(item, 0x0040A168, value);
    return item;
}

static void add_text(struct attributes *parent, const char *relationship, struct code name,
                     const char *value)
{
    attributes_text(add_content(parent, relationship, "TEXT", name), 0x0040A160, VR_UT, value);
}

static void add_uid(struct attributes *parent, const char *relationship, struct code name,
                    const char *uid)
{
    attributes_text(add_content(parent, relationship, "UIDREF", name), 0x0040A124, VR_UI, uid);
}

static void add_number(struct attributes *parent, struct code name, const char *value,
                       struct code unit)
{
    struct attributes *item = add_content(parent, "CONTAINS", "NUM", name);
    struct attributes *measured = attributes_item(item, 0x0040A300);
    attributes_text(measured, 0x0040A30A, VR_DS, value);
    attributes_code(measured, 0x004008EA, unit);
}

/* TID 1002, and 1004 for the device itself */
static void add_observer(struct attributes *root, const struct series *images)
{
    char device[UID_SIZE];
    uid_of(device, "device %s", images->station);
    add_code(root, "HAS OBS CONTEXT", DCM("121005", "Observer Type"), DCM("121007", "Device"));
    add_uid(root, "HAS OBS CONTEXT", DCM("121012", "Device Observer UID"), device);
    add_text(root, "HAS OBS CONTEXT", DCM("121013", "Device Observer Name"), images->station);
    add_text(root, "HAS OBS CONTEXT", DCM("121014", "Device Observer Manufacturer"),
             images->manufacturer);
    add_text(root, "HAS OBS CONTEXT", DCM("121015", "Device Observer Model Name"), images->model);
    add_text(root, "HAS OBS CONTEXT", DCM("121016", "Device Observer Serial Number"),
             images->station);
    add_code(root, "HAS OBS CONTEXT", DCM("113876", "Device Role in Procedure"),
             DCM("113859", "Irradiating Device"));
}

/* TID 10011, rows of context */
static void add_context(struct attributes *root, const struct series *images)
{
    char study[UID_SIZE];
    uid_of(study, "%s", images->study->label);
    struct attributes *procedure = add_code(root, "HAS CONCEPT MOD",
                                            DCM("121058", "Procedure reported"),
                                            SCT("77477000", "Computed Tomography X-Ray"));
    add_code(procedure, "HAS CONCEPT MOD", SCT("363703001", "Has Intent"),
             SCT("261004008", "Diagnostic Intent"));
    add_observer(root, images);
    struct attributes *start = add_content(root, "HAS OBS CONTEXT", "DATETIME",
                                           DCM("113809", "Start of X-Ray Irradiation"));
    attributes_text(start, 0x0040A120, VR_DT, "20260112091512");
    struct attributes *end = add_content(root, "HAS OBS CONTEXT", "DATETIME",
                                         DCM("113810", "End of X-Ray Irradiation"));
    attributes_text(end, 0x0040A120, VR_DT, "20260112091544");
    struct attributes *scope = add_code(
        root, "HAS OBS CONTEXT", DCM("113705", "Scope of Accumulation"), DCM("113014", "Study"));
    add_uid(scope, "HAS PROPERTIES", DCM("110180", "Study Instance UID"), study);
}

/* TID 10012 */
static void add_accumulated(struct attributes *root)
{
    struct attributes *sum = add_container(root, DCM("113811", "CT Accumulated Dose Data"));
    add_number(sum, DCM("113812", "Total Number of Irradiation Events"), "1",
               (struct code){ "{events}", "UCUM", "events" });
    add_number(sum, DCM("113813", "CT Dose Length Product Total"), "832.5", UCUM("mGy.cm"));
}

/* TID 10014 and the tube's part of it */
static void add_parameters(struct attributes *acquisition)
{
    struct attributes *set = add_container(acquisition, DCM("113822", "CT Acquisition Parameters"));
    add_number(set, DCM("113824", "Exposure Time"), "32", UCUM("s"));
    add_number(set, DCM("113825", "Scanning Length"), "160", UCUM("mm"));
    add_number(set, DCM("113826", "Nominal Single Collimation Width"), "2.5", UCUM("mm"));
    add_number(set, DCM("113827", "Nominal Total Collimation Width"), "10", UCUM("mm"));
    add_number(set, DCM("113823", "Number of X-Ray Sources"), "1",
               (struct code){ "{X-Ray sources}", "UCUM", "X-Ray sources" });
    struct attributes *tube = add_container(set, DCM("113831", "CT X-Ray Source Parameters"));
    add_text(tube, "CONTAINS", DCM("113832", "Identification of the X-Ray Source"), "A");
    add_number(tube, DCM("113733", "KVP"), "120", UCUM("kV"));
    add_number(tube, DCM("113833", "Maximum X-Ray Tube Current"), "250", UCUM("mA"));
    add_number(tube, DCM("113734", "X-Ray Tube Current"), "250", UCUM("mA"));
    add_number(tube, DCM("113834", "Exposure Time per Rotation"), "1", UCUM("s"));
}

/* TID 10013 */
static void add_acquisition(struct attributes *root, const struct series *images)
{
    struct attributes *acquisition = add_container(root, DCM("113819", "CT Acquisition"));
    char event[UID_SIZE];
    uid_of(event, "%s/irradiation/1", images->study->label);
    add_text(acquisition, "CONTAINS", DCM("125203", "Acquisition Protocol"), "HEAD ROUTINE");
    add_code(acquisition, "CONTAINS", DCM("123014", "Target Region"), SCT("69536005", "Head"));
    add_code(acquisition, "CONTAINS", DCM("113820", "CT Acquisition Type"),
             DCM("113804", "Sequenced Acquisition"));
    add_code(acquisition, "CONTAINS", SCT("408730004", "Procedure Context"),
             DCM("110220", "CT without contrast"));
    add_uid(acquisition, "CONTAINS", DCM("113769", "Irradiation Event UID"), event);
    add_parameters(acquisition);
    struct attributes *dose = add_container(acquisition, DCM("113829", "CT Dose"));
    add_number(dose, DCM("113830", "Mean CTDIvol"), "52.03", UCUM("mGy"));
    add_code(dose, "CONTAINS", DCM("113835", "CTDIw Phantom Type"),
             DCM("113690", "IEC Head Dosimetry Phantom"));
    add_number(dose, DCM("113838", "DLP"), "832.5", UCUM("mGy.cm"));
}

/* PS3.3 C.17.2: the evidence are the images, and the order they were asked for by. */
static void add_document(struct attributes *root, const struct series *images, unsigned slices)
{
    const struct study *study = images->study;
    char uid[UID_SIZE];
    attributes_text(root, 0x0040A491, VR_CS, "COMPLETE");
    attributes_text(root, 0x0040A493, VR_CS, "UNVERIFIED");
    attributes_empty_sequence(root, 0x00081111);
    attributes_code(root, 0x0040A372, study->procedure);
    struct attributes *evidence = attributes_item(root, 0x0040A375);
    uid_of(uid, "%s", study->label);
    attributes_text(evidence, TAG_STUDY_INSTANCE_UID, VR_UI, uid);
    struct attributes *series = attributes_item(evidence, 0x00081115);
    uid_of(uid, "%s/%u", study->label, images->number);
    attributes_text(series, TAG_SERIES_INSTANCE_UID, VR_UI, uid);
    for (unsigned number = 1; number <= slices; number++) {
        struct attributes *instance = attributes_item(series, TAG_REFERENCED_SOP_SEQUENCE);
        uid_of_instance(uid, images, number);
        attributes_text(instance, TAG_REFERENCED_SOP_CLASS_UID, VR_UI, images->sop_class);
        attributes_text(instance, TAG_REFERENCED_SOP_INSTANCE_UID, VR_UI, uid);
    }
}

void dose_report_write(const struct series *images, const char *folder, unsigned slices)
{
    const struct series report = {
        .study = images->study,
        .number = 99,
        .sop_class = "1.2.840.10008.5.1.4.1.1.88.67",
        .modality = "SR",
        .description = "Dose report",
        .manufacturer = images->manufacturer,
        .model = images->model,
        .station = images->station,
    };
    struct attributes *root = instance_new(&report, 1);
    add_document(root, images, slices);
    attributes_text(root, 0x0040A040, VR_CS, "CONTAINER");
    attributes_code(root, 0x0040A043, DCM("113701", "X-Ray Radiation Dose Report"));
    attributes_text(root, 0x0040A050, VR_CS, "SEPARATE");
    struct attributes *template = attributes_item(root, 0x0040A504);
    attributes_text(template, 0x00080105, VR_CS, "DCMR");
    attributes_text(template, 0x0040DB00, VR_CS, "10011");
    add_context(root, images);
    add_accumulated(root);
    add_acquisition(root, images);
    add_code(root, "CONTAINS", DCM("113854", "Source of Dose Information"),
             DCM("113856", "Automated Data Collection"));
    instance_write_take(root, &report, folder, "dose", UID_EXPLICIT_LITTLE_ENDIAN);
}
