/*
 * One sample of pages, and the reuse distances measured in it: what an LRU pool of any size would have hit. Layer: pool.
 *
 * SHARDS of fixed size: C. Waldspurger, N. Park, A. Garthwaite, I. Ahmad, "Efficient MRC Construction with SHARDS", FAST'15. A page
 * is sampled if its hash is below a threshold, so always or never; when the sample is full the threshold is lowered, and what
 * lies above leaves. Of a sampled page's reference the distance (distinct sampled pages since its last one) times 1/rate
 * estimates the true distance, and stands for 1/rate references. sample_hits() takes the paper's correction (SHARDS-adj): by how
 * much the estimate of all references misses their true number is added to those of distance 0, since it is mostly the
 * hottest pages that make it.
 *
 * Not thread-safe: the owner's lock guards all but `threshold`, which anyone may read.
 */
#ifndef ZCFS_POOL_SAMPLE_H
#define ZCFS_POOL_SAMPLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

/* The largest sample: positions are 16 bits wide. */
#define SAMPLE_LIMIT_MAX 16384U

/* Of a pool for fewer sampled pages than this, chance makes more than the sample says. */
#define SAMPLE_CLEAR 16

/* Rates above SAMPLE_STEADY are for the first sampled references, so that short uses are seen whole, and where pages are fewer. */
#define SAMPLE_EAGER        16384
#define SAMPLE_STEADY       0.25
#define SAMPLE_STEADY_PAGES 128

/* Distances to 64 pages have a bucket each, larger ones 32 an octave, up to 2^36 pages. */
#define SAMPLE_OCTAVE_BUCKETS 32U
#define SAMPLE_BUCKETS        (64U + 30U * SAMPLE_OCTAVE_BUCKETS)

struct sample {
	_Atomic uint64_t threshold; /* sampled: hash < threshold. Relaxed: it only says whether asking for the lock is worthwhile */
	uint32_t limit; /* pages at most: a power of two; immutable */
	uint32_t limit_whole; /* pages at most while all are sampled; immutable */
	uint32_t room; /* pages at most at the present rate */
	uint32_t work; /* sampled references since the rate was last thought of */
	uint32_t pages; /* in the sample now */
	uint32_t last; /* the latest position in use; positions are 1 .. 2 * limit, in the order of the last references */
	uint64_t *hash; /* by position: the page, or SAMPLE_HOLE */
	uint16_t *tag; /* by position: the page's file, or NULL: not kept */
	uint16_t *tree; /* a Fenwick tree: how many positions hold a page */
	uint16_t *slot; /* hash table over the pages, 2 * limit: a position, or 0 */
	double *reuse; /* references by distance, SAMPLE_BUCKETS */
	double cold; /* references to pages not referenced before */
};

/* Bytes that a sample of `limit` pages takes beyond the struct. */
size_t sample_bytes(uint32_t limit, bool has_tags);

/*
 * Makes *s an empty sample; limit: a power of two, 2 .. SAMPLE_LIMIT_MAX. A sampled reference costs some ten times one that is not.
 * So at high rates fewer pages have to do: limit_whole (2 .. limit) at rate 1, limit_whole / rate at lower ones, up to the limit;
 * and after the first SAMPLE_EAGER references the rate goes down to SAMPLE_STEADY, but for the smallest numbers of pages.
 * 0 or -ENOMEM. Pair with sample_fini().
 */
int sample_init(struct sample *s, uint32_t limit, uint32_t limit_whole, bool has_tags) MUST_CHECK;
void sample_fini(struct sample *s);

/* Empties the sample and starts again at rate 1. */
void sample_reset(struct sample *s);

/* A reference to the page `hash`; ignored unless it is below the threshold. */
void sample_access(struct sample *s, uint64_t hash, uint16_t tag);

/* Takes the pages of files out for which is_gone() says so; their past references stay counted. O(limit). */
void sample_remove(struct sample *s, bool (*is_gone)(uint16_t tag, const void *ctx), const void *ctx);

static inline bool sample_wants(const struct sample *s, uint64_t hash)
{
	return hash < atomic_load_explicit(&s->threshold, memory_order_relaxed);
}

/* The part of all pages that is sampled, 0 .. 1. */
double sample_rate(const struct sample *s);

/* Distinct pages there are, estimated. */
double sample_distinct(const struct sample *s);

/* References counted, estimated: what the true number is compared with. */
double sample_references(const struct sample *s);

/*
 * Up to `most` pool sizes in pages, ascending in about equal ratios, into size_pages: from SAMPLE_CLEAR sampled pages, or 1 where
 * all are sampled, to the least that hits all there is to hit; how many.
 */
size_t sample_sizes(const struct sample *s, uint64_t *size_pages, size_t most);

/*
 * The part of `references` (the true number) that LRU pools of size_pages[0] <= size_pages[1] <= ... would have hit, 0 .. 1 each,
 * into ratio. Zeros where references is 0.
 */
void sample_hits(const struct sample *s, uint64_t references, const uint64_t *size_pages,
		 size_t count, double *ratio);

#endif
