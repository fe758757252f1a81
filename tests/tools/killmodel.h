/*
 * What may be on disk once a daemon was killed. Each file has a log of what was done to it: an operation gives its range one
 * content, from its start on, surely by its end, and lasts once it is synced. A byte may have the content of any operation but
 * those that ended before one began that lasts; a size may be any that a change in flight goes through. Owns the log, the sizes
 * and the comparison; touches no file. Any thread logs; comparing takes that nobody does.
 */
#ifndef ZCFS_TEST_KILLMODEL_H
#define ZCFS_TEST_KILLMODEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "pattern.h"

#define FILE_MOST 262144U
#define OPS_MOST  4096U

struct op {
	uint64_t start, end; /* on the clock below; end 0: in flight, or how it ended is not known */
	uint32_t off, end_off;
	uint64_t seed; /* of pattern.h; 0: zeros */
	bool is_store; /* into a mapping */
	bool is_synced; /* by itself */
};

struct model {
	struct op ops[OPS_MOST];
	unsigned n_ops;
	pthread_mutex_t mutex; /* of ops and n_ops */
	_Atomic uint64_t synced; /* what ended before lasts */
	/* What the size may be; version is odd while they change. */
	atomic_uint version;
	atomic_uint least, most;
	atomic_bool is_either; /* least or most, nothing between */
	/* As the last verification found it. */
	unsigned char before[FILE_MOST];
};

/* What counts as lasting: what was synced, also what was written, also what was stored into mappings. */
enum lasting { SYNCED, WRITTEN, SEEN };

/* Why something is wrong. */
struct finding {
	char text[512];
};

static _Atomic uint64_t logical_clock = 1;

static inline uint64_t tick(void)
{
	return atomic_fetch_add(&logical_clock, 1);
}

/* Before it is done. NULL: the log is full. */
static inline struct op *op_begin(struct model *m, uint32_t off, uint32_t len, uint64_t seed)
{
	pthread_mutex_lock(&m->mutex);
	struct op *o = m->n_ops < OPS_MOST ? &m->ops[m->n_ops++] : NULL;
	if (o)
		*o = (struct op){.start = tick(), .off = off, .end_off = off + len, .seed = seed};
	pthread_mutex_unlock(&m->mutex);
	return o;
}

static inline void op_end(struct op *o)
{
	o->end = tick();
}

/* A sync that began then has succeeded. */
static inline void model_synced(struct model *m, uint64_t start)
{
	uint64_t before = atomic_load(&m->synced);
	while (before < start && !atomic_compare_exchange_weak(&m->synced, &before, start))
		;
}

/* One thread at a time. */
static inline void size_set(struct model *m, unsigned least, unsigned most, bool is_either)
{
	atomic_fetch_add(&m->version, 1);
	atomic_store(&m->least, least);
	atomic_store(&m->most, most);
	atomic_store(&m->is_either, is_either);
	atomic_fetch_add(&m->version, 1);
}

static inline bool size_may_be(const struct model *m, uint64_t size)
{
	unsigned least = atomic_load(&m->least), most = atomic_load(&m->most);
	if (atomic_load(&m->is_either))
		return size == least || size == most;
	return size >= least && size <= most;
}

/* Forgets the log: the file has this content now, zeros beyond its size. */
static inline void model_restart(struct model *m, const unsigned char *content, unsigned size)
{
	pthread_mutex_init(&m->mutex, NULL);
	m->n_ops = 0;
	atomic_store(&m->synced, 0);
	size_set(m, size, size, false);
	memcpy(m->before, content, size);
	memset(m->before + size, 0, FILE_MOST - size);
}

static inline bool is_lasting(const struct model *m, const struct op *o, enum lasting lasting)
{
	if (o->end == 0)
		return false;
	return lasting == SEEN || (lasting == WRITTEN && !o->is_store) || o->is_synced ||
	       o->end < atomic_load(&m->synced);
}

/* Those whose content the bytes of a range may have: all cover it whole. NULL is what was there before. */
struct candidates {
	const struct op *op[OPS_MOST + 1];
	unsigned n;
};

static inline void find_candidates(const struct model *m, unsigned off, enum lasting lasting,
				   struct candidates *c)
{
	uint64_t last_start = 0;
	c->n = 0;
	for (unsigned i = 0; i < m->n_ops; i++) {
		const struct op *o = &m->ops[i];
		if (o->off <= off && off < o->end_off && is_lasting(m, o, lasting) && o->start > last_start)
			last_start = o->start;
	}
	/* The latest first: it is the likeliest. */
	for (unsigned i = m->n_ops; i > 0; i--) {
		const struct op *o = &m->ops[i - 1];
		if (o->off <= off && off < o->end_off && (o->end == 0 || o->end >= last_start))
			c->op[c->n++] = o;
	}
	if (last_start == 0)
		c->op[c->n++] = NULL;
}

static inline unsigned char candidate_byte(const struct model *m, const struct op *o, unsigned off)
{
	if (!o)
		return m->before[off];
	return o->seed ? pattern_byte(off, o->seed) : 0;
}

static inline void describe(const struct model *m, const struct candidates *c, unsigned off,
			    unsigned char got, struct finding *f)
{
	int at = snprintf(f->text, sizeof(f->text), "byte %u is %02x, and may be:", off, got);
	for (unsigned i = 0; i < c->n && i < 8; i++) {
		const struct op *o = c->op[i];
		at += snprintf(f->text + at, sizeof(f->text) - (size_t)at, " %02x",
			       candidate_byte(m, o, off));
		if (!o)
			at += snprintf(f->text + at, sizeof(f->text) - (size_t)at, " (before)");
		else
			at += snprintf(f->text + at, sizeof(f->text) - (size_t)at,
				       " (%u-%u of %s, %llu-%llu)", o->off, o->end_off,
				       o->is_store ? "a store"
				       : o->seed   ? "a write"
						   : "zeros",
				       (unsigned long long)o->start, (unsigned long long)o->end);
	}
}

static inline int by_value(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
	return x < y ? -1 : x > y;
}

/* Where the sets of operations change within [off, end), sorted, from off to end. How many. */
static inline unsigned find_edges(const struct model *m, unsigned off, unsigned end, unsigned *edge)
{
	unsigned n = 0;
	edge[n++] = off;
	edge[n++] = end;
	for (unsigned i = 0; i < m->n_ops; i++) {
		if (m->ops[i].off > off && m->ops[i].off < end)
			edge[n++] = m->ops[i].off;
		if (m->ops[i].end_off > off && m->ops[i].end_off < end)
			edge[n++] = m->ops[i].end_off;
	}
	qsort(edge, n, sizeof(*edge), by_value);
	return n;
}

/* Whether the file may have this content, of which content[0] is at off; else f says why not. One thread of the program. */
static inline bool content_may_be(const struct model *m, const unsigned char *content, unsigned off,
				  unsigned end, enum lasting lasting, struct finding *f)
{
	static _Thread_local unsigned edge[2 * OPS_MOST + 2];
	static _Thread_local struct candidates c;
	if (off >= end)
		return true;
	unsigned n = find_edges(m, off, end, edge);
	for (unsigned i = 0; i + 1 < n; i++) {
		if (edge[i] == edge[i + 1])
			continue;
		find_candidates(m, edge[i], lasting, &c);
		for (unsigned at = edge[i]; at < edge[i + 1]; at++) {
			unsigned k = 0;
			while (k < c.n && candidate_byte(m, c.op[k], at) != content[at - off])
				k++;
			if (k == c.n) {
				describe(m, &c, at, content[at - off], f);
				return false;
			}
		}
	}
	return true;
}

#endif
