/*
 * A miss-ratio curve as a mount tells it (user.zcfs.mrc), read and asked.
 */
#ifndef ZCFS_CURVE_H
#define ZCFS_CURVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

#define CURVE_POINTS_MAX 256

struct curve_point {
	double bytes, hit_ratio; /* a pool of so many bytes; the part of references it hits, 0..1 */
};

struct curve {
	uint64_t page_bytes, references, distinct_bytes;
	uint64_t pool_bytes; /* of the mount's pool now; 0: it has none */
	double rate; /* of the pages, sampled: 0..1 */
	size_t count; /* >= 1 */
	struct curve_point point[CURVE_POINTS_MAX]; /* larger and larger pools */
};

/* Takes the daemon's JSON apart. 0, or -EPROTO if it is not a curve. */
int curve_parse(const char *json, struct curve *out) MUST_CHECK;

/* What a pool of so many bytes would hit, between two points as on a logarithmic axis. */
double curve_at(const struct curve *c, double bytes);

static inline double curve_least(const struct curve *c)
{
	return c->point[0].bytes;
}

static inline double curve_most(const struct curve *c)
{
	return c->point[c->count - 1].bytes;
}

/* Powers of two along the axis from least to most: 2^first, 2^(first + step), ..., at most `count` of them. */
struct curve_ticks {
	int first, step, count;
};
struct curve_ticks curve_ticks(const struct curve *c, int count);

/* "64K", "1M", "512G": a power of two. Returns buf. */
char *curve_tick_label(int power, char buf[16]);

#endif
