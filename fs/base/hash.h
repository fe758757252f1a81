/*
 * Hashing: XXH3 of libxxhash, for hash tables. Layer: base.
 */
#ifndef ZCFS_BASE_HASH_H
#define ZCFS_BASE_HASH_H

#include <stdint.h>
#define XXH_INLINE_ALL /* two words are hashed in less time than a call takes */
#include <xxhash.h>

/* 64-bit XXH3 of two words (a device and an inode number, a node and a page number). */
static inline uint64_t hash_pair(uint64_t a, uint64_t b)
{
	const uint64_t words[2] = {a, b};
	return XXH3_64bits(words, sizeof(words));
}

#endif
