/*
 * Just enough JSON: strings written from paths of any bytes, objects checked and taken apart. Pure functions.
 */
#ifndef ZCFS_JSON_H
#define ZCFS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * The code point at s (which has len > 0 bytes) into *out; the number of its bytes, or 0 if they are not UTF-8 as
 * RFC 3629 has it (overlong forms, surrogates and values over U+10FFFF are not).
 */
size_t json_utf8_decode(const char *s, size_t len, unsigned *out);

bool json_is_utf8(const char *s);

/* Writes s as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD. */
void json_write_string(FILE *out, const char *s);

/*
 * Walks the members of a JSON object: keys are given as they stand, between the quotes; value points at the value's
 * first character. False if text is anything but one well-formed object (the members before the fault were given).
 */
bool json_each_member(const char *text,
		      void (*member)(const char *key, size_t key_len, const char *value, void *ctx),
		      void *ctx);

/*
 * The same for a value inside such a text, given by its first character: the members of an object, or the elements of an array, as
 * members without a key (NULL). False if it is neither, or not well-formed.
 */
bool json_each_inside(const char *value,
		      void (*member)(const char *key, size_t key_len, const char *value, void *ctx),
		      void *ctx);

#endif
