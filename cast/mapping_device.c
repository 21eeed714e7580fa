/* SPDX-License-Identifier: MIT */
/* The equipment (PS3.3 C.7.5.1) as Device, by an identifier of its own: a device that only has a
 * name is told of, and no resource is made of it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cast/map.h"
#include "cast/tags.h"
#include "cast/text.h"

static cJSON *uid_identifier(const struct attributes *attributes)
{
    char value[UID_SIZE + 16], uid[UID_SIZE];
    const struct dataset *dataset = attributes_with(attributes, TAG_DEVICE_UID);
    if (!dataset || !dataset_uid(dataset, TAG_DEVICE_UID, uid) || !uid_is_valid(uid))
        return NULL;
    snprintf(value, sizeof value, "urn:oid:%s", uid);
    return identifier_of_system(NULL, SYSTEM_RFC3986, value);
}

/* A serial number is one among those of a manufacturer. */
static cJSON *serial_identifier(const struct map *map, const struct attributes *attributes,
                                const char *manufacturer)
{
    char value[IDENTIFIER_MAX];
    if (!attributes_text(attributes, TAG_DEVICE_SERIAL_NUMBER, value, sizeof value))
        return NULL;
    struct buffer system = buffer_up_to(IDENTIFIER_MAX);
    identifier_own_system(map->options->prefix, "device-serial",
                          *manufacturer ? manufacturer : NULL, &system);
    cJSON *identifier = identifier_of_system(NULL, buffer_text(&system), value);
    buffer_release(&system);
    return identifier;
}

/* What is read of an equipment. */
struct equipment {
    char manufacturer[256];
    char model[256];
    char station[256];
    cJSON *identifiers; /* array: the one it is found by first */
};

static void equipment_init(struct equipment *equipment, const struct map *map,
                           const struct attributes *attributes)
{
    attributes_text(attributes, TAG_MANUFACTURER, equipment->manufacturer,
                    sizeof equipment->manufacturer);
    attributes_text(attributes, TAG_MANUFACTURER_MODEL_NAME, equipment->model,
                    sizeof equipment->model);
    attributes_text(attributes, TAG_STATION_NAME, equipment->station, sizeof equipment->station);
    equipment->identifiers = json_array();
    cJSON *uid = uid_identifier(attributes);
    cJSON *serial = serial_identifier(map, attributes, equipment->manufacturer);
    if (uid)
        json_append_take(equipment->identifiers, uid);
    if (serial)
        json_append_take(equipment->identifiers, serial);
}

static void equipment_release(struct equipment *equipment)
{
    cJSON_Delete(equipment->identifiers);
}

cJSON *map_device_reference(const struct map *map, const struct attributes *attributes)
{
    struct equipment equipment;
    cJSON *reference = NULL;
    equipment_init(&equipment, map, attributes);
    const cJSON *identifier = json_first(equipment.identifiers);
    const char *maker = equipment.manufacturer, *model = equipment.model;
    if (identifier || *model || *equipment.station) { /* a mere manufacturer is no device */
        bool named = *equipment.station;
        char *display = mem_format("%s%s%s%s%s%s", maker, *maker && *model ? " " : "", model,
                                   named ? " (" : "", equipment.station, named ? ")" : "");
        text_clean(display);
        reference = json_object();
        json_set_text(reference, "type", "Device");
        if (identifier)
            json_set_take(reference, "identifier", json_copy(identifier));
        json_set_text(reference, "display", display);
        free(display);
    }
    equipment_release(&equipment);
    return reference;
}

/* The device identifier within a UDI, and who issued it, where its form tells (GS1, HIBCC, ICCBBA):
 * R5 has no carrier without them. */
static void set_device_identifier(const char *udi, cJSON *carrier)
{
    char identifier[64] = "";
    const char *issuer = NULL;
    size_t digits = strspn(udi + (strncmp(udi, "(01)", 4) == 0 ? 4 : 0), "0123456789");
    if (strncmp(udi, "(01)", 4) == 0 && digits == 14) {
        snprintf(identifier, sizeof identifier, "%.14s", udi + 4);
        issuer = "http://hl7.org/fhir/NamingSystem/gs1-di";
    } else if (*udi == '+') {
        snprintf(identifier, sizeof identifier, "%.*s", (int)strcspn(udi, "/"), udi);
        issuer = "http://hl7.org/fhir/NamingSystem/hibcc-dI";
    } else if (*udi == '=') {
        snprintf(identifier, sizeof identifier, "%.*s", (int)strcspn(udi + 1, "=") + 1, udi);
        issuer = "http://hl7.org/fhir/NamingSystem/iccbba-other-di";
    }
    json_set_text(carrier, "deviceIdentifier", identifier);
    json_set_text(carrier, "issuer", issuer);
}

/* Unique Device Identifier (0018,1009), as people read it. */
static void set_udi(const struct attributes *attributes, cJSON *device)
{
    enum { MOST = 10 };
    char value[ATTRIBUTE_SIZE];
    cJSON *carriers = json_array();
    size_t count = attributes_item_count(attributes, TAG_UDI_SEQUENCE);
    for (size_t i = 0; i < count && i < MOST; i++) {
        struct dataset *item = attributes_item(attributes, TAG_UDI_SEQUENCE, i);
        if (dataset_clean_text(item, TAG_UNIQUE_DEVICE_IDENTIFIER, value, sizeof value)) {
            cJSON *carrier = json_object();
            set_device_identifier(value, carrier);
            json_set_text(carrier, "carrierHRF", value);
            json_append_new_take(carriers, carrier);
        }
        dataset_close(item);
    }
    json_set_take(device, "udiCarrier", carriers);
}

static void append_name(cJSON *device, const char *name, const char *type)
{
    if (!*name)
        return;
    cJSON *named = json_object();
    json_set_text(named, "name", name);
    json_set_text(named, "type", type);
    json_append_take(json_need_array(device, "deviceName"), named);
}

static void set_versions(const struct attributes *attributes, cJSON *device)
{
    enum { MOST = 20 };
    char value[256];
    for (size_t i = 0; i < MOST; i++) {
        if (!attributes_value(attributes, TAG_SOFTWARE_VERSIONS, i, value, sizeof value))
            break;
        if (!text_clean(value))
            continue;
        cJSON *version = json_object();
        json_set_text(version, "value", value);
        json_append_new_take(json_need_array(device, "version"), version);
    }
}

static cJSON *map_device(const struct map *map, const struct attributes *attributes)
{
    struct equipment equipment;
    char serial[256];
    cJSON *device = NULL;
    equipment_init(&equipment, map, attributes);
    if (equipment.identifiers->child) {
        device = json_object();
        json_set_text(device, "resourceType", "Device");
        json_set_take(device, "meta", map_meta(map));
        json_set_take(device, "identifier", json_copy(equipment.identifiers));
        set_udi(attributes, device);
        json_set_text(device, "status", "active");
        json_set_text(device, "manufacturer", equipment.manufacturer);
        if (attributes_text(attributes, TAG_DEVICE_SERIAL_NUMBER, serial, sizeof serial))
            json_set_text(device, "serialNumber", serial);
        append_name(device, equipment.station, "user-friendly-name");
        json_set_text(device, "modelNumber", equipment.model);
        set_versions(attributes, device);
    }
    equipment_release(&equipment);
    return device;
}

cJSON *map_devices(const struct map *map)
{
    enum { MOST = 100 };
    cJSON *devices = json_array();
    size_t count = 0;
    for (size_t i = 0; i < map->study->series_count && count < MOST; i++) {
        struct attributes attributes = { map->study->series[i].attributes,
                                         map->study->series[i].header };
        cJSON *device = map_device(map, &attributes);
        const cJSON *each = json_first(devices);
        while (device && each &&
               !identifier_equal(identifier_of_resource(each), identifier_of_resource(device)))
            each = each->next;
        if (device && !each) {
            json_append_take(devices, device);
            count++;
        } else {
            cJSON_Delete(device);
        }
    }
    return devices;
}
