/*
 * "Did you mean ...?": how far a mistyped name is from a known one. Layer: base, pure function,
 * thread-safe; neither allocates nor blocks.
 */
#ifndef ZCFS_BASE_SUGGEST_H
#define ZCFS_BASE_SUGGEST_H

#include <stddef.h>

#include "base/auto.h"

/* The longest name that is compared, in bytes. */
#define SUGGEST_LEN_MAX 31

/* The best of the names offered so far. Starts with suggest_start(). */
struct suggestion {
	const char *typed; /* borrowed, as the names are */
	size_t typed_len;
	unsigned limit; /* only what is nearer than that is taken */
	const char *nearest; /* NULL: none is near enough to be worth a mention */
};

/*
 * `typed_len` bytes at `typed` are what was written. Short names are near to everything: they
 * get less slack.
 */
struct suggestion suggest_start(const char *typed, size_t typed_len) MUST_CHECK;

/*
 * Takes the name_len bytes at `name` as nearest if they are. Of equally near ones the first
 * offered stays.
 */
void suggest_offer(struct suggestion *s, const char *name, size_t name_len);

/*
 * Letters to insert, delete, replace or swap with their neighbour to make a into b: optimal string
 * alignment (Damerau 1964, each letter moved once). Both lengths at most SUGGEST_LEN_MAX.
 */
unsigned suggest_distance(const char *a, size_t a_len, const char *b, size_t b_len) MUST_CHECK;

#endif
