# fuzz_target(name folder...): the folder libraries whose parser it feeds.
fuzz_target(multipart http base)
fuzz_target(accept http base)
fuzz_target(target http base)
fuzz_target(scan dicom)
fuzz_target(part10 dicom)
fuzz_target(pdu dimse)
fuzz_target(command dimse)
fuzz_target(codec dicom)
