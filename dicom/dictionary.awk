# SPDX-License-Identifier: MIT
# Makes dictionary_table.h of dictionary.tsv: the entries by tag, repeating groups behind them with their masks, a hash
# table of the tags, and the entries in the order of their keywords.
#     LC_ALL=C awk -f dicom/dictionary.awk dicom/dictionary.tsv > dicom/dictionary_table.h
BEGIN {
    FS = "\t"
    SLOTS = 16384 # thrice the number of entries, so that a probe seldom meets a neighbour
    for (i = 0; i < 16; i++)
        digit[substr("0123456789ABCDEF", i + 1, 1)] = i
}
/^#/ { next }
{
    n = count++
    repeating = index($1, "x") > 0
    if (!repeating)
        plain = count
    tag[n] = $1
    gsub(/x/, "0", tag[n])
    mask[n] = $1
    gsub(/[^x]/, "F", mask[n])
    gsub(/x/, "0", mask[n])
    split($2, choice, " or ")
    vr[n] = $2 == "OB or OW" ? "OW" : choice[1] # PS3.5 A.1
    other[n] = $2 ~ /^US or SS/ ? "VR_SS" : "0"
    keyword[n] = $3
}
function number(hex, from, size,    value, k) {
    for (k = 0; k < size; k++)
        value = value * 16 + digit[substr(hex, from + k, 1)]
    return value
}
# Shell's sort: plain awk has none.
function sort_keywords(    gap, k, j, moved) {
    for (k = 0; k < count; k++)
        order[k] = k
    for (gap = int(count / 2); gap > 0; gap = int(gap / 2))
        for (k = gap; k < count; k++) {
            moved = order[k]
            for (j = k; j >= gap && keyword[order[j - gap]] > keyword[moved]; j -= gap)
                order[j] = order[j - gap]
            order[j] = moved
        }
}
function list(name, values, size,    k) {
    printf "static const uint16_t %s[%d] = {", name, size
    for (k = 0; k < size; k++)
        printf "%s%d,", k % 16 ? " " : "\n    ", values[k]
    print "\n};"
}
END {
    print "/* SPDX-License-Identifier: MIT */"
    print "/* Made by dictionary.awk from dictionary.tsv: change those. */"
    print "/* clang-format off */"
    printf "enum { ENTRY_COUNT = %d, PLAIN_COUNT = %d, SLOT_COUNT = %d };\n", count, plain, SLOTS
    print "static const struct dictionary_entry entries[ENTRY_COUNT] = {"
    for (i = 0; i < count; i++)
        printf "    { 0x%s, VR_%s, %s, \"%s\" },\n", tag[i], vr[i], other[i], keyword[i]
    print "};"
    print "static const uint32_t masks[ENTRY_COUNT - PLAIN_COUNT] = {"
    for (i = plain; i < count; i++)
        printf "    0x%s,\n", mask[i]
    print "};"
    print "/* Number of the entry plus one at the tag's hash or the first free slot behind it; 0: free. */"
    for (i = 0; i < plain; i++) {
        slot = (number(tag[i], 1, 4) * 25173 + number(tag[i], 5, 4) * 40503) % SLOTS
        while (slots[slot])
            slot = (slot + 1) % SLOTS
        slots[slot] = i + 1
    }
    list("slots", slots, SLOTS)
    sort_keywords()
    list("by_keyword", order, count)
}
