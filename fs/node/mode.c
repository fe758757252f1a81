/*
 * What an open may be, and what is told about it. Owns the mode fields of struct node (atomics, any thread).
 *
 * Keeping the kernel's cache across opens rests on one word, node->cached_identity: a hash of the file's mtime, ctime and size
 * at a moment before which no page now cached was read. An open that finds the same identity keeps the cache; any
 * other makes the kernel drop it and starts anew. Times too fresh to tell two changes apart are never trusted (git's
 * "racily clean" rule), because before Linux 6.13 they advance in jiffies.
 */
#include "node/mode.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"

/* A change within this time of the last one might leave the same timestamp. Far above a jiffy (10 ms at HZ=100). */
#define RACY_NS (50LL * 1000 * 1000)
/* Far longer than from the kernel's filling of a page to its asking for the write. */
#define SHAKEN_NS (1000LL * 1000 * 1000)

/* Packed into node->last_mode: bit 0 valid, 1 O_DIRECT asked, 2 cached, 3 kept, 8.. path, 16.. reason, 32.. O_ACCMODE. */
enum { LAST_VALID = 1, LAST_DIRECT = 2, LAST_CACHED = 4, LAST_KEPT = 8 };

static const char *const reasons[] = {
	[MODE_AS_MOUNTED] = NULL,
	[MODE_BY_RULE] = "a rule= of the mount",
	[MODE_BY_XATTR] = "user.zcfs.path was set",
	[MODE_NO_DIO] = "the backing filesystem refuses O_DIRECT on this file",
	[MODE_NO_POOL] = "memory or descriptors are too short for the buffer pool",
};

struct open_mode mode_decide(const struct options *opt, const struct node *node, int open_flags)
{
	struct open_mode m = {.path = opt->path, .reason = MODE_AS_MOUNTED};
	int rule = atomic_load_explicit(&node->path_rule, memory_order_relaxed);
	int wanted = atomic_load_explicit(&node->path_wanted, memory_order_relaxed);
	if (rule >= 0 && rule != (int)opt->path) {
		m.path = (enum path_id)rule;
		m.reason = MODE_BY_RULE;
	}
	if (wanted >= 0) {
		m.path = (enum path_id)wanted;
		m.reason = MODE_BY_XATTR;
	}
	bool is_past_cache = m.path == PATH_ID_direct || m.path == PATH_ID_pool;
	m.is_cached = !(open_flags & O_DIRECT) && !is_past_cache && opt->cache == CACHE_KERNEL;
	return m;
}

/* Of any time that a program may set; what does not fit wraps around. */
static uint64_t timestamp_ns(const struct statx_timestamp *ts)
{
	return (uint64_t)ts->tv_sec * 1000000000U + ts->tv_nsec;
}

int64_t mode_changed_ns(const struct statx *stx)
{
	int64_t mtime_ns = (int64_t)timestamp_ns(&stx->stx_mtime);
	int64_t ctime_ns = (int64_t)timestamp_ns(&stx->stx_ctime);
	return mtime_ns > ctime_ns ? mtime_ns : ctime_ns;
}

/* Too young to be trusted, or of the future. */
static bool is_fresh(const struct statx_timestamp *ts, const struct timespec *now)
{
	if (ts->tv_sec < now->tv_sec - 1)
		return false;
	int64_t s = ts->tv_sec > now->tv_sec ? -1 : now->tv_sec - ts->tv_sec;
	return s * 1000000000LL + now->tv_nsec - ts->tv_nsec < RACY_NS;
}

uint64_t mode_identity(const struct statx *stx)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (is_fresh(&stx->stx_mtime, &now) || is_fresh(&stx->stx_ctime, &now))
		return 0;
	uint64_t times = hash_pair(timestamp_ns(&stx->stx_mtime), timestamp_ns(&stx->stx_ctime));
	uint64_t identity = hash_pair(times, stx->stx_size);
	return identity ? identity : 1;
}

void mode_shake(struct node *node)
{
	if (atomic_load_explicit(&node->opens_cached, memory_order_seq_cst) > 0)
		atomic_store_explicit(&node->shaken_until_ns, clock_coarse_ns() + SHAKEN_NS,
				      memory_order_seq_cst);
}

bool mode_is_shaken(const struct node *node)
{
	int64_t until = atomic_load_explicit(&node->shaken_until_ns, memory_order_seq_cst);
	return until != 0 && clock_coarse_ns() < until;
}

void mode_told(struct node *node, const struct statx *stx)
{
	uint64_t told = hash_pair(timestamp_ns(&stx->stx_mtime), stx->stx_size);
	uint64_t before = atomic_load_explicit(&node->told, memory_order_relaxed);
	if (told == before)
		return;
	atomic_store_explicit(&node->told, told, memory_order_relaxed);
	if (before != 0)
		mode_shake(node);
}

void mode_opened(struct node *node, const struct handle *h, const struct statx *stx, struct open_mode *m)
{
	bool has_others = atomic_load_explicit(&node->opens_cached, memory_order_seq_cst) > 0;
	atomic_fetch_add_explicit(m->is_cached ? &node->opens_cached : &node->opens_direct, 1,
				  memory_order_seq_cst);
	if (stx) { /* an open that does not use the cache must not take it from those that do */
		uint64_t identity = mode_identity(stx);
		uint64_t before = atomic_exchange_explicit(&node->cached_identity, identity,
							   memory_order_relaxed);
		m->keep_cache = identity != 0 && identity == before;
	}
	if (has_others && !m->keep_cache)
		mode_shake(node);
	uint64_t last = LAST_VALID | (h->open_flags & O_DIRECT ? LAST_DIRECT : 0) |
			(m->is_cached ? LAST_CACHED : 0) | (m->keep_cache ? LAST_KEPT : 0) |
			(uint64_t)m->path << 8 | (uint64_t)m->reason << 16 |
			(uint64_t)(h->open_flags & O_ACCMODE) << 32;
	atomic_store_explicit(&node->last_mode, last, memory_order_relaxed);
}

void mode_closed(struct node *node, const struct handle *h)
{
	atomic_fetch_sub_explicit(h->is_cached ? &node->opens_cached : &node->opens_direct, 1,
				  memory_order_seq_cst);
}

void mode_mapped(struct node *node)
{
	if (!atomic_load_explicit(&node->is_mapped_direct, memory_order_seq_cst))
		atomic_store_explicit(&node->is_mapped_direct, true, memory_order_seq_cst);
}

bool mode_has_cached_opens(const struct node *node)
{
	return atomic_load_explicit(&node->opens_cached, memory_order_seq_cst) > 0 ||
	       atomic_load_explicit(&node->is_mapped_direct, memory_order_seq_cst);
}

void mode_describe(const struct node *node, char *buf, size_t len_bytes)
{
	static const char *const access[] = {
		[O_RDONLY] = "O_RDONLY", [O_WRONLY] = "O_WRONLY", [O_RDWR] = "O_RDWR", [O_ACCMODE] = "O_ACCMODE"};
	uint64_t last = atomic_load_explicit(&node->last_mode, memory_order_relaxed);
	unsigned cached = atomic_load_explicit(&node->opens_cached, memory_order_relaxed);
	unsigned direct = atomic_load_explicit(&node->opens_direct, memory_order_relaxed);
	if (!(last & LAST_VALID)) {
		snprintf(buf, len_bytes, "never opened");
		return;
	}
	enum path_id path = (enum path_id)(last >> 8 & 0xff);
	const char *effective = path_id_name(path);
	if (path == PATH_ID_AUTO)
		effective = last & LAST_DIRECT ? "auto (direct)" : "auto (splice)";
	else if (path == PATH_ID_pool && last & LAST_DIRECT)
		effective = "pool (direct)";
	const char *reason = reasons[last >> 16 & 0xff];
	snprintf(buf, len_bytes,
		 "live: %u cached, %u direct_io; last: requested=%s%s path=%s kernel_cache=%s%s%s",
		 cached, direct, access[last >> 32 & O_ACCMODE],
		 last & LAST_DIRECT ? "|O_DIRECT" : "", effective,
		 !(last & LAST_CACHED) ? "none"
		 : last & LAST_KEPT    ? "kept"
				       : "fresh",
		 reason ? " reason=" : "", reason ? reason : "");
}
