/*
 * File content that tells where it belongs: byte o of a file written with `seed` depends on both, so that data at a wrong
 * offset, of another file or of an older write never passes for right. Shared by the test tools.
 */
#ifndef ZCFS_TEST_PATTERN_H
#define ZCFS_TEST_PATTERN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline unsigned char pattern_byte(uint64_t off, uint64_t seed)
{
	uint64_t x = off / 8 + seed * 0x9e3779b97f4a7c15U;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
	x = (x ^ x >> 27) * 0x94d049bb133111ebU;
	return (unsigned char)((x ^ x >> 31) >> off % 8 * 8);
}

/* Fills mem as the file's bytes from off on. Seed 0 is zeros: a hole. */
static inline void pattern_fill(unsigned char *mem, size_t len, uint64_t off, uint64_t seed)
{
	if (seed == 0)
		memset(mem, 0, len);
	for (size_t i = 0; seed != 0 && i < len; i++)
		mem[i] = pattern_byte(off + i, seed);
}

/* The first of len bytes that is not the pattern's, or len. */
static inline size_t pattern_differs(const unsigned char *mem, size_t len, uint64_t off, uint64_t seed)
{
	size_t i = 0;
	while (i < len && mem[i] == (seed == 0 ? 0 : pattern_byte(off + i, seed)))
		i++;
	return i;
}

/* Memory good for O_DIRECT; ends the program if there is none. */
static inline unsigned char *aligned_memory(size_t len)
{
	unsigned char *mem = aligned_alloc(4096, (len + 8191) / 4096 * 4096);
	if (!mem) {
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	return mem;
}

#endif
