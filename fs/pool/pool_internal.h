/*
 * What the pool's files share; nobody else includes it. Layer: pool.
 *
 *   table:   bucket -> frame -> frame ..      hash of (file, page); a bucket belongs to the shard of its number
 *   shards:  a mutex, a policy, the frames whose number modulo the shards is theirs
 *   arena:   page of frame 0 | page of frame 1 | ...
 *
 * Locks, none held over I/O, an allocation or each other, but for: a range hold (a lock by itself, held over I/O; first), EXCL or
 * pins of frames (second), and under either one of the leaves: a shard's mutex, a file's mutex, the files' mutex.
 */
#ifndef ZCFS_POOL_POOL_INTERNAL_H
#define ZCFS_POOL_POOL_INTERNAL_H

#include <pthread.h>
#include <stdalign.h>

#include "base/lock.h"
#include "pool/frame.h"
#include "pool/pool.h"

#define POOL_SHARDS_MAX   64U
#define SHARD_FRAMES_MIN  1024U /* fewer would make the policy's view too narrow */
#define FLUSH_CHUNK_BYTES (1024UL * 1024) /* written at once, at most */

struct shard {
	alignas(64) struct mutex mutex; /* a leaf */
	struct pool *pool;
	/* replaced by a resize, under the mutex; the old one is kept until the end, as a lock-free hit() may still use it */
	_Atomic(struct evict *) evict;
	uint32_t free_head GUARDED_BY(mutex); /* FRAME_NONE: none */
	uint32_t free_count GUARDED_BY(mutex);
	uint32_t frames GUARDED_BY(mutex); /* of its own: numbers number + i * shards, i < frames */
	uint32_t number; /* immutable */
	uint32_t victim_word GUARDED_BY(mutex); /* the state of what can_evict claimed last */
};

/* The last fills of a file that failed, for those who waited for them. */
#define FAILED_KEPT 8U
struct failed_fill {
	uint64_t page;
	int err; /* -errno */
};

struct pool_file {
	struct pool *pool;
	struct ledger_table *ledgers;
	struct ledger *ledger; /* referenced */
	uint64_t hash; /* of the ledger's key */
	struct pool_file *hash_next; /* guarded by the files' mutex */
	unsigned refs; /* guarded by the files' mutex */
	bool is_deleted; /* guarded by the files' mutex: nobody finds it any more */
	_Atomic uint64_t frames; /* of its pages, in whatever state */
	_Atomic uint64_t size_bytes; /* what reads are cut to; changed under a CHANGE hold that covers the end */
	_Atomic bool is_doomed; /* deleted and unreadable: dirty pages need not be written */
	_Atomic bool may_be_sparse; /* space may have to be reserved before a page becomes dirty */
	_Atomic uint32_t wasted_pages; /* read ahead in vain; read-ahead's hint */
	_Atomic uint64_t last_written; /* page, + 1; the policy's hint */
	_Atomic uint64_t dirty_count; /* pages DIRTY, and those WRITING */
	_Atomic unsigned batches; /* being written */
	struct range_lock ranges;

	struct mutex mutex; /* a leaf */
	struct pool_io *io GUARDED_BY(mutex);
	unsigned opens GUARDED_BY(mutex);
	uint32_t dirty_head GUARDED_BY(mutex); /* ring through the frames; FRAME_NONE: nothing is dirty */
	_Atomic int64_t dirty_since_ms; /* since when there always was something dirty; written under the mutex */
	uint64_t due; /* pages the flusher still has to write in this interval; its own */
	/* time of the last write while some pages are dirty, whose flushing would leave a later one; 0: nothing to mend */
	int64_t mtime_ns GUARDED_BY(mutex);
	bool is_mtime_told GUARDED_BY(mutex); /* the backing has it just now */
	int error GUARDED_BY(mutex); /* -errno of the last failed write-back */
	uint32_t error_seq GUARDED_BY(mutex); /* counts them */
	struct failed_fill failed[FAILED_KEPT] GUARDED_BY(mutex);
	uint32_t failed_seq GUARDED_BY(mutex); /* counts them; the next one's place */
	/* what the backing was when last looked at, and until when our own changes may have altered it (CLOCK_REALTIME) */
	uint64_t identity GUARDED_BY(mutex);
	int64_t own_until_ns GUARDED_BY(mutex);
	int64_t known_changed_ns GUARDED_BY(mutex); /* later of mtime and ctime when last looked at */
	bool is_changed_underneath GUARDED_BY(mutex); /* seen between two checks: the next one drops the clean pages */
};

struct retired; /* resize.c */
struct readahead; /* readahead.c */
struct flusher; /* flush.c */

struct pool {
	struct pool_config config; /* size_bytes: at the start */
	uint32_t page_shift;
	uint32_t frames_max; /* what address space is reserved for */
	_Atomic uint32_t frames_count; /* in use now */
	_Atomic uint32_t frames_peak; /* the most that ever were: none above has been touched */
	uint32_t n_shards; /* a power of two */
	uint32_t n_buckets; /* a power of two, at least n_shards */
	_Atomic uint32_t *buckets;
	struct frame *frames;
	unsigned char *arena;
	_Atomic uint64_t *sums; /* of each frame's page, where they are verified; else NULL */
	struct shard *shards;

	struct mutex files_mutex; /* a leaf */
	struct pool_file **files GUARDED_BY(files_mutex); /* FILES_BUCKETS chains */
	size_t files_count GUARDED_BY(files_mutex);
	size_t files_sweep_at GUARDED_BY(files_mutex); /* so many files are worth a look at which are used no more */

	struct mutex resize_mutex; /* held over a resize: one at a time */
	struct retired *retired; /* guarded by it: policies of before */
	_Atomic uint64_t dirty_frames;
	_Atomic uint64_t moves_begun, moves_ended; /* of pages to other frames: see drop_by_frame() */
	_Atomic uint64_t stat_evictions, stat_verify_failures, stat_flush_ops, stat_flush_bytes,
		stat_flush_errors, stat_throttled, stat_ahead_bytes, stat_wasted_bytes;
	struct readahead *readahead; /* NULL: none */
	struct flusher *flusher; /* NULL: not started, or write-through */
};

static inline unsigned char *pool_mem(const struct pool *p, uint32_t frame)
{
	return p->arena + ((size_t)frame << p->page_shift);
}

static inline void file_count(struct pool_file *f, enum counter id, uint64_t n)
{
	if (n > 0)
		counters_add(&f->ledger->counters, id, n);
}

/* ---- shard.c ---- */

/* A free frame of the shard, FILLING now, or FRAME_NONE; under its mutex. */
uint32_t shard_pop_free(struct shard *sh);
/* A frame of it, the caller's, becomes free; under its mutex. */
void shard_push_free(struct shard *sh, uint32_t frame);

/* A policy for a shard of so many frames, none of them resident. 0 or -ENOMEM. */
int shard_policy(struct shard *sh, uint32_t frames, struct evict **out) MUST_CHECK;
/* Its slots [from, to) become free frames; under its mutex, or before anybody else knows it. */
void shard_frames_add(struct shard *sh, uint32_t from, uint32_t to);
/* An empty table and its shards, for config.size_bytes. 0 or -ENOMEM. */
int table_init(struct pool *p) MUST_CHECK;
void table_fini(struct pool *p);

/* ---- table.c ---- */

struct page_ref {
	struct pool_file *file;
	uint64_t page;
	uint64_t hash;
};
struct page_ref page_ref_of(struct pool_file *f, uint64_t page);

/* The frame of a page, pinned, if it is there, whole and unlocked; FRAME_NONE at any doubt. No lock, no wait. */
uint32_t table_try_pin(struct pool *p, const struct page_ref *r);
/* Tells the policy of a use of a pinned frame. */
void table_hit(struct pool *p, uint32_t frame);

enum claim { CLAIM_OURS, CLAIM_THERE, CLAIM_FULL };
/*
 * Makes the page's frame: CLAIM_OURS: *frame is FILLING, by the caller, who publishes it or calls table_unclaim(). CLAIM_THERE: it
 * was there, in any state but FREE; not pinned, may go at any time. CLAIM_FULL: every frame of its shard is in use.
 */
enum claim table_claim(struct pool *p, const struct page_ref *r, uint32_t *frame);
void table_unclaim(struct pool *p, uint32_t frame);

/* The frame of a page, in any state, or FRAME_NONE; without pin it may become another's at once. */
uint32_t table_find(struct pool *p, const struct page_ref *r);
/* Waits while the page's frame is FILLING or EXCL by others; pinned, or FRAME_NONE when it is not there (any more). */
uint32_t table_pin_wait(struct pool *p, const struct page_ref *r);
/* The page's frame with EXCL, waiting for it; FRAME_NONE when it is not there. */
uint32_t table_lock(struct pool *p, const struct page_ref *r);
/* Frees a frame that the caller has EXCL, clean or to be lost. */
void table_remove(struct pool *p, uint32_t frame);
/* The same for a frame by its number, if it is the file's still: for walks over all frames. False: it is not. */
bool table_lock_frame(struct pool *p, uint32_t frame, const struct pool_file *f);
/*
 * The clean page of a frame that the caller has EXCL moves to another one of its shard, below frames_count, and the frame is free.
 * Where every one of those is in use the page goes.
 */
void table_move(struct pool *p, uint32_t frame);

/* ---- pool.c, resize.c ---- */

void memory_release(struct pool *p);
void retired_free(struct pool *p);

/* ---- files.c ---- */

#define FILES_BUCKETS 4096U
/* One more reference, for a caller that has one. */
void file_ref(struct pool_file *f);
/* A reference of the io, or NULL; pair with io_put(). */
struct pool_io *file_io_get(struct pool_file *f);
void io_put(struct pool_io *io);
/* The io goes if the last open is closed and nothing is dirty. */
void file_io_release(struct pool_file *f);
/* Frees files that have neither references nor frames. */
void files_sweep(struct pool *p);
/* Calls visit for every file, each referenced meanwhile; the first -errno, after all were visited. */
int files_each(struct pool *p, int (*visit)(struct pool_file *f));
/* Under a CHANGE hold from there on: the file's end is another than we knew. */
void file_resized_underneath(struct pool_file *f, uint64_t from_bytes, uint64_t size_bytes);
/* Before a change of our own: if the last is a while ago, whether somebody else's came since. */
void file_look_underneath(struct pool_file *f);
/* Our own change of the backing ends now. */
void file_own_change(struct pool_file *f);
void file_size_raise(struct pool_file *f, uint64_t size_bytes);

/* ---- read.c ---- */

/* The size, learned anew from the backing, where somebody may have changed it. Under no hold. Blocks. */
uint64_t file_size_now(struct pool_file *f);

/* ---- fill.c ---- */

/* Brings [page, page + count) in, as far as frames are to be had; under a FILL or CHANGE hold. 0 or -errno. */
struct fill {
	struct pool_io *io;
	bool is_ahead;
	uint64_t dma_bytes;
	unsigned syscalls;
	uint32_t filled; /* pages */
	bool was_full; /* some page found no frame */
};
int fill_range(struct pool_file *f, struct fill *fill, uint64_t page, uint64_t count);
/* How many fills of the file have failed, and the error of one of the page since they were so many, or 0. */
uint32_t fill_failed_now(struct pool_file *f);
int fill_failed_since(struct pool_file *f, uint64_t page, uint32_t since);
/* If verification is on. */
void sum_keep(struct pool *p, uint32_t frame);
bool sum_holds(struct pool *p, uint32_t frame);
/* A frame that the caller has EXCL or pinned, before its content is used to make other content: false: told and counted, it must go. */
bool page_is_sound(struct pool_file *f, uint32_t frame);

/* ---- write.c, change.c, flush.c ---- */

/*
 * Frees the frames of the range's pages, whole pages, waiting for pins; under a CHANGE hold. Dirty ones stay (DROP_CLEAN), are
 * written first, and stay if that fails (DROP_WRITTEN), or are lost (DROP_ALL). 0, or with DROP_WRITTEN the -errno at which it stopped.
 */
enum drop { DROP_CLEAN, DROP_WRITTEN, DROP_ALL };
/* Under a CHANGE hold from there on: frees what is beyond the size, dirty or not, and zeroes the rest of the last page. */
void frames_cut(struct pool_file *f, uint64_t size_bytes);
int frames_drop(struct pool_file *f, uint64_t off_bytes, uint64_t len_bytes, enum drop which);

/* A frame that the caller has EXCL or FILLING, and that is not DIRTY, is about to become so. */
void dirty_add(struct pool_file *f, uint32_t frame);
/* A dirty frame that the caller has EXCL, under a CHANGE hold, is clean now: written, or to be lost. */
void dirty_forget(struct pool_file *f, uint32_t frame);
/* One page less is dirty or being written. */
void dirty_done(struct pool_file *f);
void ring_add(struct pool_file *f, uint32_t frame);
void ring_remove_locked(struct pool_file *f, uint32_t frame);
/* Writes what is dirty in the range; the caller has a FLUSH or CHANGE hold on it. 0 or the first -errno, noted for fsync as well. */
int flush_range_held(struct pool_file *f, uint64_t off_bytes, uint64_t len_bytes);
/* The same for a dirty frame that the caller has EXCL, under a CHANGE hold. */
int flush_locked_frame(struct pool_file *f, uint32_t frame);
/* Writes about `count` of the pages that have been dirty longest. 0 or the first -errno. */
int flush_oldest(struct pool_file *f, uint64_t count);
int flusher_start(struct pool *p);
void flusher_stop(struct pool *p);
/* Something became dirty, much is dirty, or no frame is clean: look now. */
void flusher_wake(struct pool *p);
/* The first page became dirty: its time runs. */
void flusher_begin(struct pool *p);
int64_t pool_now_ms(void);
int64_t pool_realtime_ns(void);

/* ---- readahead.c ---- */

int readahead_start(struct pool *p);
void readahead_stop(struct pool *p);
/* A read of [off, off + len) took place, or is about to: what comes next is queued if the stream is sequential. */
void readahead_after_read(struct pool_file *f, struct pool_stream *s, uint64_t off_bytes,
			  uint64_t len_bytes);
uint64_t readahead_queued(struct pool *p);

#endif
