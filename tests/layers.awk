# The layering rule as a test:  server -> { dimse dicomweb hl7 cast } -> { archive worklist } -> { dicom storage http } -> base
# A file includes only folders to the right of its own, never a neighbour; only archive, worklist and server see storage;
# each library has one door. Prints every breach and fails.
#     awk -f layers.awk -v root=DIR
BEGIN {
    allowed["base"] = "base"
    allowed["dicom"] = "dicom base"
    allowed["storage"] = "storage base"
    allowed["http"] = "http base"
    allowed["archive"] = "archive dicom storage base"
    allowed["worklist"] = "worklist dicom storage base"
    allowed["dimse"] = "dimse archive worklist dicom base"
    allowed["dicomweb"] = "dicomweb archive worklist dicom http base"
    allowed["hl7"] = "hl7 archive worklist dicom http base"
    allowed["cast"] = "cast archive worklist dicom http base"
    allowed["server"] = "server dimse dicomweb hl7 cast archive worklist storage http dicom base"

    door["rocksdb/"] = "^storage/rocks(\\.c|_[a-z]*\\.cc)$"
    door["microhttpd.h"] = "^http/(server(_[a-z]+)?\\.[ch]|front\\.[ch])$"
    door["gnutls/"] = "^base/(tls|digest|signature)\\.c$"
    door["curl/"] = "^cast/fhir_client\\.c$"
    door["cjson/"] = "^(cast|server)/"
    door["zlib.h"] = "^(http/|dicom/(scan|deflate|transcode))"
    door["dcmtk/"] = "^dicom/[a-z0-9_]*\\.cc$"
    door["jpeglib.h"] = "^dicom/image_jpeg\\.c$"
    door["png.h"] = "^dicom/image_png\\.c$"
    door["lcms2.h"] = "^dicom/icc\\.c$"
    door["openjph"] = "^dicom/codec_openjph\\.cc$"
    door["openjpeg"] = "^dicom/codec_jpeg2000(_write)?\\.c$"

    list = "cd " root " && find base dicom storage http archive worklist dimse dicomweb hl7 cast server -name '*.[ch]' -o -name '*.cc'"
    while ((list | getline path) > 0) {
        files++
        split(path, parts, "/")
        folder = parts[1]
        while ((getline line < (root "/" path)) > 0) {
            if (line !~ /^[ \t]*#[ \t]*include/)
                continue
            includes++
            target = line
            sub(/^[^<"]*[<"]/, "", target)
            sub(/[>"].*$/, "", target)
            if (line ~ /"/) {
                split(target, t, "/")
                if (index(target, "/") == 0 || index(" " allowed[folder] " ", " " t[1] " ") == 0)
                    breach(path, target, "not to the right of " folder "/")
            }
            for (library in door)
                if (index(target, library) == 1 && path !~ door[library])
                    breach(path, target, "has another door")
        }
        close(root "/" path)
    }
    if (files < 10 || includes < 30) {
        print "found only " files " files and " includes " includes: is root right?"
        breaches++
    }
    print files " files, " includes " includes, " breaches + 0 " breaches"
    exit breaches ? 1 : 0
}
function breach(path, target, why) {
    print path ": includes " target ", " why
    breaches++
}
