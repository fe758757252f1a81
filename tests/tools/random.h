/*
 * Random numbers that a seed gives again: of one process, splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", 2014).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static uint64_t random_state; /* set it to the seed */

/* With a state of the caller's own, such as a thread's. */
static inline uint64_t random_step(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15U;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
	x = (x ^ x >> 27) * 0x94d049bb133111ebU;
	return x ^ x >> 31;
}

static inline uint64_t next_random(void)
{
	return random_step(&random_state);
}

static inline size_t below(size_t n)
{
	return (size_t)(next_random() % n);
}

static inline bool one_in(size_t n)
{
	return below(n) == 0;
}
