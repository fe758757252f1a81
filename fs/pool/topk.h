/*
 * Which keys came most often of late, in fixed memory: the Space-Saving summary of A. Metwally, D. Agrawal, A. El Abbadi,
 * "Efficient Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005. Layer: pool; the owner's lock guards it.
 */
#ifndef ZCFS_POOL_TOPK_H
#define ZCFS_POOL_TOPK_H

#include <stdint.h>

#define TOPK_ENTRIES 32

struct topk_entry {
	uint64_t key; /* 0: none */
	uint32_t count; /* at most so often */
	uint32_t error; /* of these, so many may have been others' */
};

/* Zeroed memory is a valid empty one. */
struct topk {
	struct topk_entry entry[TOPK_ENTRIES];
};

/* The key came once; not 0. A key without an entry takes that of the rarest one. */
void topk_note(struct topk *t, uint64_t key);

/* The key that surely came most often, or 0; *least: how often at least. */
uint64_t topk_best(const struct topk *t, uint32_t *least);

void topk_drop(struct topk *t, uint64_t key);

/* Ages what was noted: it counts half from now on. */
void topk_halve(struct topk *t);

#endif
