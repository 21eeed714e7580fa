# The floor plan. Each folder links what stands to its right, and holds the one door to its library.
folder_library(base DOORS PkgConfig::GNUTLS)
folder_library(dicom USES base DOORS DCMTK::dcmdata DCMTK::dcmjpeg PkgConfig::ZLIB PkgConfig::OPENJPEG ${OPENJPH_LIBRARY}
               PkgConfig::JPEG PkgConfig::PNG PkgConfig::LCMS PkgConfig::EXPAT)
folder_library(storage USES base DOORS ${ROCKSDB_LIBRARY})
folder_library(http USES base DOORS PkgConfig::MICROHTTPD PkgConfig::ZLIB crypt)
folder_library(archive USES dicom storage base)
folder_library(worklist USES dicom storage base)
folder_library(dimse USES archive worklist dicom base)
folder_library(dicomweb USES archive worklist dicom http base)
folder_library(hl7 USES archive worklist dicom http base)
folder_library(cast USES archive worklist dicom http base DOORS PkgConfig::CURL PkgConfig::CJSON)

add_executable(hounsfield)
file(GLOB server_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/server/*.c)
target_sources(hounsfield PRIVATE ${server_sources} ${CMAKE_BINARY_DIR}/default_settings.c
               ${CMAKE_BINARY_DIR}/viewer_config.c)
target_link_libraries(hounsfield PRIVATE strict dimse dicomweb hl7 cast archive worklist storage http dicom base PkgConfig::CJSON)
# The settings file with all defaults is embedded, and the viewer's, so that the binary needs nothing beside it.
add_custom_command(
    OUTPUT ${CMAKE_BINARY_DIR}/default_settings.c
    COMMAND ${CMAKE_COMMAND} -DINPUT=${CMAKE_SOURCE_DIR}/server/hounsfield.json
            -DOUTPUT=${CMAKE_BINARY_DIR}/default_settings.c -DNAME=default_settings_file
            -P ${CMAKE_SOURCE_DIR}/server/embed.cmake
    DEPENDS ${CMAKE_SOURCE_DIR}/server/hounsfield.json ${CMAKE_SOURCE_DIR}/server/embed.cmake)
add_custom_command(
    OUTPUT ${CMAKE_BINARY_DIR}/viewer_config.c
    COMMAND ${CMAKE_COMMAND} -DINPUT=${CMAKE_SOURCE_DIR}/server/viewer_config.js
            -DOUTPUT=${CMAKE_BINARY_DIR}/viewer_config.c -DNAME=viewer_config_template
            -P ${CMAKE_SOURCE_DIR}/server/embed.cmake
    DEPENDS ${CMAKE_SOURCE_DIR}/server/viewer_config.js ${CMAKE_SOURCE_DIR}/server/embed.cmake)
