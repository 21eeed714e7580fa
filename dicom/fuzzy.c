/* SPDX-License-Identifier: MIT */
#include "dicom/fuzzy.h"

#include <stdint.h>

#include "dicom/utf8.h"

enum {
    MAX_WORD = 40,  /* characters that are compared */
    MAX_WORDS = 24, /* of a name */
};

struct word {
    uint32_t letters[MAX_WORD];
    size_t size;
    bool open_end; /* `*` behind it */
    bool latin;
};

static bool is_separator(uint32_t letter)
{
    return letter <= ' ' || letter == '^' || letter == '=' || letter == ',' || letter == '.' ||
           letter == '-' || letter == '\'' || letter == '?';
}

/* The next word of a name; false at its end. */
static bool next_word(struct slice *rest, struct word *word)
{
    word->size = 0;
    word->open_end = false;
    word->latin = true;
    while (rest->size) {
        size_t size;
        uint32_t letter = utf8_next(*rest, &size);
        *rest = slice_skip(*rest, size);
        if (letter == '*' && word->size)
            word->open_end = true;
        if (letter == '*' || is_separator(letter)) {
            if (word->size)
                return true;
            continue;
        }
        if (letter >= 'A' && letter <= 'Z')
            letter += 'a' - 'A';
        if (letter < 'a' || letter > 'z')
            word->latin = false;
        if (word->size < MAX_WORD)
            word->letters[word->size++] = letter;
    }
    return word->size > 0;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many slips make the one of the other (optimal string alignment). */
static size_t distance(const struct word *a, const struct word *b)
{
    size_t rows[3][MAX_WORD + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b->size; j++)
        above[j] = j;
    for (size_t i = 1; i <= a->size; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b->size; j++) {
            bool same = a->letters[i - 1] == b->letters[j - 1];
            row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + !same);
            if (i > 1 && j > 1 && a->letters[i - 1] == b->letters[j - 2] &&
                a->letters[i - 2] == b->letters[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b->size];
}

static bool follows(const struct word *word, size_t at, const char *text)
{
    for (; *text; text++, at++)
        if (at >= word->size || word->letters[at] != (uint8_t)*text)
            return false;
    return true;
}

/* What is written in several ways and sounds as one; the first that fits counts. Vowels count at
 * the start only, where they are one. */
static const struct {
    const char *written;
    const char *sound;
} sounds[] = {
    { "sch", "s" }, { "tsch", "s" }, { "sh", "s" }, { "ph", "f" }, { "th", "t" }, { "dt", "t" },
    { "tz", "s" },  { "ck", "k" },   { "ch", "k" }, { "gh", "" },  { "kn", "n" }, { "wr", "r" },
    { "ce", "s" },  { "ci", "s" },   { "cy", "s" }, { "c", "k" },  { "q", "k" },  { "x", "ks" },
    { "z", "s" },   { "v", "f" },    { "w", "f" },  { "d", "t" },  { "h", "" },   { "a", "" },
    { "e", "" },    { "i", "" },     { "o", "" },   { "u", "" },   { "y", "" },   { "j", "" },
};

static bool is_vowel(uint32_t letter)
{
    return letter == 'a' || letter == 'e' || letter == 'i' || letter == 'o' || letter == 'u' ||
           letter == 'y' || letter == 'j';
}

static size_t length(const char *text)
{
    size_t size = 0;
    while (text[size])
        size++;
    return size;
}

static size_t append_sound(char *key, size_t size, const char *sound)
{
    for (; *sound; sound++)
        if (size == 0 || key[size - 1] != *sound)
            key[size++] = *sound;
    return size;
}

/* At most two letters of sound for each letter. */
static size_t sound_of(const struct word *word, char key[2 * MAX_WORD + 1])
{
    size_t size = 0;
    if (is_vowel(word->letters[0]))
        key[size++] = 'a';
    for (size_t at = 0; at < word->size;) {
        size_t taken = 0;
        for (size_t i = 0; !taken && i < sizeof(sounds) / sizeof(sounds[0]); i++)
            if (follows(word, at, sounds[i].written)) {
                size = append_sound(key, size, sounds[i].sound);
                /* "ce" is an s before a vowel that is still to come */
                taken = length(sounds[i].written);
            }
        if (!taken) {
            char letter[2] = { (char)word->letters[at], 0 };
            size = append_sound(key, size, letter);
            taken = 1;
        }
        at += taken;
    }
    return size;
}

static bool sounds_alike(const struct word *a, const struct word *b, size_t slips)
{
    char first[2 * MAX_WORD + 1], second[2 * MAX_WORD + 1];
    size_t longer = a->size > b->size ? a->size : b->size;
    if (!a->latin || !b->latin || a->size < 3 || b->size < 3 || slips > longer / 2 + 1)
        return false;
    size_t size = sound_of(a, first);
    return size == sound_of(b, second) && size > 1 &&
           slice_equal(slice_of(first, size), slice_of(second, size));
}

static bool is_alike(const struct word *asked, const struct word *there)
{
    struct word start = *there;
    if (asked->open_end && there->size > asked->size)
        start.size = asked->size;
    size_t slips = distance(asked, &start);
    size_t longer = asked->size > start.size ? asked->size : start.size;
    size_t allowed = longer >= 8 ? 2 : longer >= 4 ? 1 : 0;
    return slips <= allowed || sounds_alike(asked, &start, slips);
}

bool fuzzy_name_matches(struct slice key, struct slice value)
{
    struct word asked, there;
    size_t words = 0;
    while (words < MAX_WORDS && next_word(&key, &asked)) {
        struct slice rest = value;
        bool found = false;
        for (size_t i = 0; !found && i < MAX_WORDS && next_word(&rest, &there); i++)
            found = is_alike(&asked, &there);
        if (!found)
            return false;
        words++;
    }
    return words > 0;
}
