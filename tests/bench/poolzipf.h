/*
 * Which page is read next: uniform, or by Zipf's law with the pages' ranks shuffled, so that the pages of high rank do not lie beside
 * each other. For the programs of tests/bench/pool, in C and in C++.
 */
#pragma once

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

struct pages {
	uint32_t count;
	uint32_t *order; /* every page once, shuffled */
	double *sum; /* of the probabilities of the ranks up to here; NULL: uniform */
};

/* splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). */
static inline uint64_t pages_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15U;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
	x = (x ^ x >> 27) * 0x94d049bb133111ebU;
	return x ^ x >> 31;
}

/* theta 0: uniform. False when memory is short. The same count and theta give the same pages. */
static inline bool pages_init(struct pages *p, uint32_t count, double theta)
{
	uint64_t seed = 1;
	p->count = count;
	p->order = (uint32_t *)malloc(count * sizeof(*p->order));
	p->sum = theta > 0 ? (double *)malloc(count * sizeof(*p->sum)) : NULL;
	if (!p->order || (theta > 0 && !p->sum))
		return false;
	for (uint32_t i = 0; i < count; i++)
		p->order[i] = i;
	for (uint32_t i = count; i > 1; i--) {
		uint32_t j = (uint32_t)(pages_random(&seed) % i);
		uint32_t last = p->order[i - 1];
		p->order[i - 1] = p->order[j];
		p->order[j] = last;
	}
	double total = 0;
	for (uint32_t i = 0; p->sum && i < count; i++)
		p->sum[i] = total += pow(i + 1.0, -theta);
	for (uint32_t i = 0; p->sum && i < count; i++)
		p->sum[i] /= total;
	return true;
}

static inline void pages_fini(struct pages *p)
{
	free(p->order);
	free(p->sum);
}

static inline uint32_t pages_next(const struct pages *p, uint64_t *state)
{
	uint64_t x = pages_random(state);
	if (!p->sum)
		return (uint32_t)(x % p->count);
	double wanted = (double)(x >> 11) * 0x1p-53;
	uint32_t low = 0, high = p->count - 1; /* the first rank whose sum is beyond `wanted` */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (p->sum[middle] > wanted)
			high = middle;
		else
			low = middle + 1;
	}
	return p->order[low];
}
