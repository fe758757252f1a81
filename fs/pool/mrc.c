/*
 * The mount's sample, the files' samples, and which file has one. Samples have a mutex each. The files' mutex guards who has
 * which, and may be held while a sample's is taken. Looking a file up takes none: a sample that is just going over to another
 * file is noticed under its mutex, where the key is compared again.
 *
 * References are counted exactly, in counters that few CPUs share. By the count, every NOTE_EVERYth reference to a file without
 * a sample is noted (topk.h); every REVIEW_NOTES notes, those that came most are compared with the least active of the others.
 */
#include "pool/mrc.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/lock.h"
#include "pool/sample.h"
#include "pool/topk.h"

#define FILES        16U /* with a sample of their own */
#define OTHERS       FILES /* where references to the rest are counted */
#define STRIPES      8U
#define NOTE_EVERY   64U /* a power of two */
#define REVIEW_NOTES 64U
#define NOTED_LEAST  4U /* fewer notes are chance */
#define GONE_MAX     32U
#define BATCH        64U

struct stripe {
	alignas(64) _Atomic uint64_t refs[FILES + 1]; /* relaxed */
};

struct guarded {
	alignas(64) struct mutex mutex; /* a leaf */
	struct sample sample GUARDED_BY(mutex); /* but for the threshold */
};

/* Files deleted whose pages the mount's sample still has, by 16 bits of their keys: taken out together, as that goes over the whole sample. */
struct gone {
	unsigned count;
	uint16_t tag[GONE_MAX];
};

struct mrc {
	struct stripe stripe[STRIPES];
	struct guarded whole;
	struct guarded file[FILES];
	alignas(64) _Atomic uint64_t key[FILES]; /* whose samples they are, 0: nobody's. Relaxed; written under files_mutex and the sample's */
	_Atomic unsigned free_files;
	uint32_t page_shift; /* immutable */
	struct mutex files_mutex;
	struct gone gone GUARDED_BY(files_mutex);
	struct topk candidates GUARDED_BY(files_mutex);
	unsigned notes GUARDED_BY(files_mutex); /* since the last review */
	uint64_t seen[FILES] GUARDED_BY(files_mutex); /* references at the last review */
	uint64_t activity[FILES] GUARDED_BY(files_mutex); /* references of late: at each review the past counts half */
};

/* ---- life ---- */

/* The largest sample that fits. */
static uint32_t limit_within(size_t bytes, bool has_tags)
{
	uint32_t limit = SAMPLE_LIMIT_MAX;
	while (limit > 64 && sample_bytes(limit, has_tags) > bytes)
		limit /= 2;
	return limit;
}

struct mrc *mrc_new(size_t budget_bytes, uint32_t page_bytes)
{
	assert(budget_bytes >= MRC_BYTES_MIN && page_bytes && (page_bytes & (page_bytes - 1)) == 0);
	struct mrc *m = aligned_alloc(alignof(struct mrc), sizeof(*m));
	if (!m)
		return NULL;
	memset(m, 0, sizeof(*m));
	m->page_shift = (uint32_t)__builtin_ctz(page_bytes);
	atomic_store_explicit(&m->free_files, FILES, memory_order_relaxed);
	mutex_init(&m->files_mutex);
	mutex_init(&m->whole.mutex);
	/* a part for the allocator's own */
	size_t left = budget_bytes - budget_bytes / 32 - sizeof(*m);
	uint32_t limit = limit_within(left / 2, true);
	uint32_t file_limit = limit_within((left - sample_bytes(limit, true)) / FILES, false);
	int err = sample_init(&m->whole.sample, limit, limit / 4, true);
	for (unsigned i = 0; i < FILES; i++) {
		mutex_init(&m->file[i].mutex);
		if (!err)
			err = sample_init(&m->file[i].sample, file_limit, file_limit / 4, false);
	}
	if (!err)
		return m;
	mrc_free(m);
	return NULL;
}

void mrc_free(struct mrc *m)
{
	if (!m)
		return;
	sample_fini(&m->whole.sample);
	mutex_fini(&m->whole.mutex);
	for (unsigned i = 0; i < FILES; i++) {
		sample_fini(&m->file[i].sample);
		mutex_fini(&m->file[i].mutex);
	}
	mutex_fini(&m->files_mutex);
	free(m);
}

size_t mrc_bytes(const struct mrc *m)
{
	return sizeof(*m) + sample_bytes(m->whole.sample.limit, true) +
	       FILES * sample_bytes(m->file[0].sample.limit, false);
}

/* ---- who has a sample ---- */

static uint64_t key_of(const struct mrc *m, unsigned file)
{
	return atomic_load_explicit(&m->key[file], memory_order_relaxed);
}

static unsigned find_file(const struct mrc *m, uint64_t key)
{
	for (unsigned i = 0; i < FILES; i++)
		if (key_of(m, i) == key)
			return i;
	return OTHERS;
}

static uint64_t count_refs(const struct mrc *m, unsigned file)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < STRIPES; i++)
		sum += atomic_load_explicit(&m->stripe[i].refs[file], memory_order_relaxed);
	/* less than nothing: a reset came between the two halves of count_access()'s move */
	return sum <= INT64_MAX ? sum : 0;
}

/* The sample becomes that of `key` (0: nobody's); what was counted for the file is the others' from now on. */
static void give_locked(struct mrc *m, unsigned file, uint64_t key) REQUIRES(m->files_mutex)
{
	unsigned was_free = !key_of(m, file), is_free = !key;
	struct guarded *s = &m->file[file];
	mutex_lock(&s->mutex);
	atomic_store_explicit(&m->key[file], key, memory_order_relaxed);
	for (unsigned i = 0; i < STRIPES; i++) {
		struct stripe *stripe = &m->stripe[i];
		uint64_t n = atomic_exchange_explicit(&stripe->refs[file], 0, memory_order_relaxed);
		atomic_fetch_add_explicit(&stripe->refs[OTHERS], n, memory_order_relaxed);
	}
	sample_reset(&s->sample);
	mutex_unlock(&s->mutex);
	m->seen[file] = m->activity[file] = 0;
	atomic_fetch_add_explicit(&m->free_files, is_free - was_free, memory_order_relaxed);
	if (key)
		topk_drop(&m->candidates, key);
}

/* Brings the activities up to date; the least active file. */
static unsigned age_files_locked(struct mrc *m) REQUIRES(m->files_mutex)
{
	unsigned least = 0;
	for (unsigned i = 0; i < FILES; i++) {
		uint64_t refs = count_refs(m, i);
		m->activity[i] = m->activity[i] / 2 + (refs - m->seen[i]);
		m->seen[i] = refs;
		if (m->activity[i] < m->activity[least])
			least = i;
	}
	return least;
}

/* At most one file changes, so that a storm of notes changes little. */
static void review_locked(struct mrc *m) REQUIRES(m->files_mutex)
{
	uint32_t notes;
	unsigned least = age_files_locked(m);
	uint64_t key = topk_best(&m->candidates, &notes);
	uint64_t refs = (uint64_t)notes * NOTE_EVERY;
	if (notes >= NOTED_LEAST && refs > 2 * m->activity[least]) {
		give_locked(m, least, key);
		m->activity[least] = refs;
	}
	topk_halve(&m->candidates);
	m->notes = 0;
}

/* A file without a sample: notes it, or gives it a free sample. Where its references are to be counted. */
static unsigned note_file(struct mrc *m, uint64_t key)
{
	mutex_lock(&m->files_mutex);
	unsigned file = find_file(m, key), none = find_file(m, 0);
	if (file == OTHERS && none != OTHERS) {
		give_locked(m, none, key);
		file = none;
	} else if (file == OTHERS) {
		topk_note(&m->candidates, key);
		if (++m->notes >= REVIEW_NOTES)
			review_locked(m);
	}
	mutex_unlock(&m->files_mutex);
	return file;
}

/* ---- references ---- */

/* Where the file is counted; counts n references there. */
static unsigned count_access(struct mrc *m, uint64_t key, uint64_t n)
{
	const memory_order relaxed = memory_order_relaxed;
	unsigned file = find_file(m, key);
	struct stripe *stripe = &m->stripe[(unsigned)sched_getcpu() % STRIPES];
	uint64_t before = atomic_fetch_add_explicit(&stripe->refs[file], n, relaxed);
	if (file != OTHERS)
		return file;
	bool is_noted = before / NOTE_EVERY != (before + n) / NOTE_EVERY;
	if (!is_noted && !atomic_load_explicit(&m->free_files, relaxed))
		return OTHERS;
	file = note_file(m, key);
	if (file != OTHERS) {
		atomic_fetch_sub_explicit(&stripe->refs[OTHERS], n, relaxed);
		atomic_fetch_add_explicit(&stripe->refs[file], n, relaxed);
	}
	return file;
}

/* Pages below the mount's or the file's threshold. */
static void sample_pages(struct mrc *m, unsigned file, uint64_t key, const uint64_t *hash, unsigned n)
{
	mutex_lock(&m->whole.mutex);
	for (unsigned i = 0; i < n; i++)
		sample_access(&m->whole.sample, hash[i], (uint16_t)key);
	mutex_unlock(&m->whole.mutex);
	if (file == OTHERS)
		return;
	struct guarded *s = &m->file[file];
	mutex_lock(&s->mutex);
	if (key_of(m, file) == key)
		for (unsigned i = 0; i < n; i++)
			sample_access(&s->sample, hash[i], 0);
	mutex_unlock(&s->mutex);
}

void mrc_access(struct mrc *m, uint64_t file_key, uint64_t off_bytes, uint64_t len_bytes)
{
	uint64_t hashes[BATCH];
	unsigned n = 0;
	if (!len_bytes)
		return;
	uint64_t page = off_bytes >> m->page_shift;
	uint64_t last = (off_bytes + len_bytes - 1) >> m->page_shift;
	unsigned file = count_access(m, file_key, last - page + 1);
	for (; page <= last; page++) {
		uint64_t hash = hash_pair(file_key, page);
		if (!sample_wants(&m->whole.sample, hash) &&
		    (file == OTHERS || !sample_wants(&m->file[file].sample, hash)))
			continue;
		hashes[n++] = hash;
		if (n == BATCH) {
			sample_pages(m, file, file_key, hashes, n);
			n = 0;
		}
	}
	if (n)
		sample_pages(m, file, file_key, hashes, n);
}

static bool is_gone(uint16_t tag, const void *ctx)
{
	const struct gone *gone = ctx;
	for (unsigned i = 0; i < gone->count; i++)
		if (gone->tag[i] == tag)
			return true;
	return false;
}

static void remove_gone_locked(struct mrc *m) REQUIRES(m->files_mutex)
{
	if (!m->gone.count)
		return;
	mutex_lock(&m->whole.mutex);
	sample_remove(&m->whole.sample, is_gone, &m->gone);
	mutex_unlock(&m->whole.mutex);
	m->gone.count = 0;
}

void mrc_forget(struct mrc *m, uint64_t file_key)
{
	mutex_lock(&m->files_mutex);
	unsigned file = find_file(m, file_key);
	if (file != OTHERS)
		give_locked(m, file, 0);
	topk_drop(&m->candidates, file_key);
	m->gone.tag[m->gone.count++] = (uint16_t)file_key;
	if (m->gone.count == GONE_MAX)
		remove_gone_locked(m);
	mutex_unlock(&m->files_mutex);
}

static void reset_whole_locked(struct mrc *m) REQUIRES(m->files_mutex)
{
	mutex_lock(&m->whole.mutex);
	sample_reset(&m->whole.sample);
	for (unsigned i = 0; i < STRIPES; i++)
		atomic_store_explicit(&m->stripe[i].refs[OTHERS], 0, memory_order_relaxed);
	mutex_unlock(&m->whole.mutex);
	m->candidates = (struct topk){0};
	m->gone.count = 0;
}

void mrc_reset(struct mrc *m, uint64_t file_key)
{
	mutex_lock(&m->files_mutex);
	for (unsigned i = 0; i < FILES; i++) {
		uint64_t key = key_of(m, i);
		if (key && (file_key == MRC_WHOLE || file_key == key))
			give_locked(m, i, file_key == MRC_WHOLE ? 0 : key);
	}
	if (file_key == MRC_WHOLE)
		reset_whole_locked(m);
	mutex_unlock(&m->files_mutex);
}

/* ---- curves ---- */

static void fill_curve(const struct mrc *m, const struct sample *s, struct mrc_curve *out)
{
	uint64_t size[MRC_POINTS];
	double ratio[MRC_POINTS];
	out->page_bytes = 1U << m->page_shift;
	out->sampled = s->pages;
	out->rate = sample_rate(s);
	out->distinct_bytes = (uint64_t)sample_distinct(s) << m->page_shift;
	out->count = sample_sizes(s, size, MRC_POINTS);
	sample_hits(s, out->references, size, out->count, ratio);
	for (size_t i = 0; i < out->count; i++)
		out->point[i] = (struct mrc_point){size[i] << m->page_shift, ratio[i]};
}

int mrc_curve(struct mrc *m, uint64_t file_key, struct mrc_curve *out)
{
	uint64_t all = 0;
	mutex_lock(&m->files_mutex);
	remove_gone_locked(m);
	for (unsigned i = 0; i <= OTHERS; i++)
		all += count_refs(m, i);
	unsigned file = file_key == MRC_WHOLE ? OTHERS : find_file(m, file_key);
	bool is_known = file_key == MRC_WHOLE || file != OTHERS;
	*out = (struct mrc_curve){.references = file_key == MRC_WHOLE ? all : count_refs(m, file)};
	/* The mount's sample is the larger one, and that of a file which is the only one as well. */
	struct guarded *s = out->references == all || file == OTHERS ? &m->whole : &m->file[file];
	is_known = is_known && out->references > 0;
	mutex_lock(&s->mutex);
	if (is_known)
		fill_curve(m, &s->sample, out);
	mutex_unlock(&s->mutex);
	mutex_unlock(&m->files_mutex);
	return is_known ? 0 : -ENODATA;
}

int mrc_render_json(struct mrc *m, uint64_t file_key, uint64_t pool_bytes, char **out)
{
	struct mrc_curve c;
	char pool[32] = "null";
	size_t len;
	int err = mrc_curve(m, file_key, &c);
	if (err)
		return err;
	FILE *f = open_memstream(out, &len);
	if (!f)
		return -ENOMEM;
	if (pool_bytes)
		snprintf(pool, sizeof(pool), "%" PRIu64, pool_bytes);
	fprintf(f,
		"{\"page_bytes\": %" PRIu32 ", \"references\": %" PRIu64 ", \"sampled\": %" PRIu32
		", \"rate\": %.6g, \"distinct_bytes\": %" PRIu64 ", \"pool_bytes\": %s, \"points\": [",
		c.page_bytes, c.references, c.sampled, c.rate, c.distinct_bytes, pool);
	for (size_t i = 0; i < c.count; i++)
		fprintf(f, "%s[%" PRIu64 ", %.4f]", i ? ", " : "", c.point[i].pool_bytes,
			c.point[i].hit_ratio);
	fputs("]}\n", f);
	bool is_whole = !ferror(f);
	if (fclose(f) == 0 && is_whole)
		return 0;
	free(*out);
	return -ENOMEM;
}
