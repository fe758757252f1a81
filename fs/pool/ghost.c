/*
 * A cachesim a policy, all fed with the same sampled references under one mutex; references are counted in counters of the
 * CPUs' own. What the sample has too many or too few references for its rate is taken as hits, as in sample.h: it is the hottest
 * pages that make the difference, and every policy has those.
 */
#include "pool/ghost.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/lock.h"
#include "pool/cachesim.h"

#define STRIPES 8U
#define BATCH   64U

struct stripe {
	alignas(64) _Atomic uint64_t refs; /* relaxed */
};

struct sims {
	struct cachesim *sim[GHOSTS_MAX];
	uint64_t hits_before[GHOSTS_MAX]; /* at the last reset */
	uint64_t sampled; /* references since then */
};

struct ghost {
	struct stripe stripe[STRIPES];
	alignas(64) _Atomic uint64_t threshold; /* sampled: hash <= threshold; relaxed, changed under the mutex */
	uint32_t page_shift; /* immutable, like what follows */
	bool has_clock;
	size_t count;
	const struct evict_ops *policy[GHOSTS_MAX];
	struct mutex mutex; /* a leaf */
	struct sims sims GUARDED_BY(mutex);
};

static uint64_t now_ms(void *ctx)
{
	(void)ctx;
	return (uint64_t)clock_coarse_ns() / 1000000;
}

static void sims_free(struct sims *s)
{
	for (size_t i = 0; i < GHOSTS_MAX; i++)
		cachesim_free(s->sim[i]);
}

static int sims_new(const struct ghost *g, uint32_t slots, struct sims *out)
{
	*out = (struct sims){0};
	for (size_t i = 0; i < g->count; i++) {
		int err = cachesim_new(g->policy[i], slots, &out->sim[i]);
		if (err) {
			sims_free(out);
			return err;
		}
		if (g->has_clock)
			cachesim_set_clock(out->sim[i], now_ms, NULL);
	}
	return 0;
}

static void zero_refs(struct ghost *g)
{
	for (unsigned i = 0; i < STRIPES; i++)
		atomic_store_explicit(&g->stripe[i].refs, 0, memory_order_relaxed);
}

int ghost_resize(struct ghost *g, uint64_t pool_pages)
{
	struct sims sims, old;
	uint32_t slots = pool_pages < GHOST_SLOTS ? (uint32_t)pool_pages : GHOST_SLOTS;
	double rate = (double)slots / (double)pool_pages;
	int err = sims_new(g, slots, &sims);
	if (err)
		return err;
	mutex_lock(&g->mutex);
	old = g->sims;
	g->sims = sims;
	atomic_store_explicit(&g->threshold, rate < 1 ? (uint64_t)(rate * 0x1p64) : UINT64_MAX,
			      memory_order_relaxed);
	zero_refs(g);
	mutex_unlock(&g->mutex);
	sims_free(&old);
	return 0;
}

int ghost_new(const struct evict_ops *const *policies, size_t count, uint64_t pool_pages,
	      uint32_t page_bytes, bool has_clock, struct ghost **out)
{
	assert(count <= GHOSTS_MAX && pool_pages && page_bytes && (page_bytes & (page_bytes - 1)) == 0);
	*out = NULL;
	struct ghost *g = aligned_alloc(alignof(struct ghost), sizeof(*g));
	if (!g)
		return -ENOMEM;
	memset(g, 0, sizeof(*g));
	g->page_shift = (uint32_t)__builtin_ctz(page_bytes);
	g->has_clock = has_clock;
	g->count = count;
	memcpy(g->policy, policies, count * sizeof(*policies));
	mutex_init(&g->mutex);
	int err = ghost_resize(g, pool_pages);
	if (err)
		ghost_free(g);
	else
		*out = g;
	return err;
}

void ghost_free(struct ghost *g)
{
	if (!g)
		return;
	sims_free(&g->sims);
	mutex_fini(&g->mutex);
	free(g);
}

static bool is_sampled(const struct ghost *g, uint64_t hash)
{
	return hash <= atomic_load_explicit(&g->threshold, memory_order_relaxed);
}

static void run_policies(struct ghost *g, const uint64_t *hash, unsigned n)
{
	mutex_lock(&g->mutex);
	for (unsigned i = 0; i < n; i++) {
		if (!is_sampled(g, hash[i])) /* resized meanwhile */
			continue;
		for (size_t p = 0; p < g->count; p++)
			(void)cachesim_access(g->sims.sim[p], hash[i]);
		g->sims.sampled++;
	}
	mutex_unlock(&g->mutex);
}

void ghost_access(struct ghost *g, uint64_t file_key, uint64_t off_bytes, uint64_t len_bytes)
{
	uint64_t hashes[BATCH];
	unsigned n = 0;
	if (!len_bytes)
		return;
	uint64_t page = off_bytes >> g->page_shift;
	uint64_t last = (off_bytes + len_bytes - 1) >> g->page_shift;
	struct stripe *stripe = &g->stripe[(unsigned)sched_getcpu() % STRIPES];
	atomic_fetch_add_explicit(&stripe->refs, last - page + 1, memory_order_relaxed);
	for (; page <= last; page++) {
		uint64_t hash = hash_pair(file_key, page);
		if (!is_sampled(g, hash))
			continue;
		hashes[n++] = hash;
		if (n == BATCH) {
			run_policies(g, hashes, n);
			n = 0;
		}
	}
	if (n)
		run_policies(g, hashes, n);
}

/* Of `references`, with SHARDS's correction. */
static double ratio_of(uint64_t hits, uint64_t sampled, uint64_t references, double rate)
{
	double expected = (double)references * rate;
	if (expected <= 0)
		return 0;
	double ratio = ((double)hits + expected - (double)sampled) / expected;
	return ratio < 0 ? 0 : ratio > 1 ? 1 : ratio;
}

size_t ghost_stats(struct ghost *g, struct ghost_stats out[GHOSTS_MAX])
{
	uint64_t references = 0;
	mutex_lock(&g->mutex);
	for (unsigned i = 0; i < STRIPES; i++)
		references += atomic_load_explicit(&g->stripe[i].refs, memory_order_relaxed);
	double rate = (double)atomic_load_explicit(&g->threshold, memory_order_relaxed) * 0x1p-64;
	for (size_t i = 0; i < g->count; i++) {
		uint64_t hits = cachesim_stats(g->sims.sim[i]).hits - g->sims.hits_before[i];
		out[i] = (struct ghost_stats){
			.policy = g->policy[i]->name,
			.references = references,
			.hit_ratio = ratio_of(hits, g->sims.sampled, references, rate),
		};
	}
	mutex_unlock(&g->mutex);
	return g->count;
}

void ghost_reset(struct ghost *g)
{
	mutex_lock(&g->mutex);
	for (size_t i = 0; i < g->count; i++)
		g->sims.hits_before[i] = cachesim_stats(g->sims.sim[i]).hits;
	g->sims.sampled = 0;
	zero_refs(g);
	mutex_unlock(&g->mutex);
}

char *ghost_render_json(struct ghost *g)
{
	struct ghost_stats stats[GHOSTS_MAX];
	char *text = NULL;
	size_t len;
	size_t count = ghost_stats(g, stats);
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	for (size_t i = 0; i < count; i++)
		fprintf(f, "%s{\"policy\": \"%s\", \"references\": %" PRIu64 ", \"hit_ratio\": %.4f}",
			i ? ", " : "[", stats[i].policy, stats[i].references, stats[i].hit_ratio);
	fputs(count ? "]" : "[]", f);
	bool is_whole = !ferror(f);
	if (fclose(f) == 0 && is_whole)
		return text;
	free(text);
	return NULL;
}
