/*
 * The buffer pool: pages of files in one arena of frames, as a database's (path=pool). It knows files by their ledger's identity
 * and reaches their bytes through struct pool_io, so it is tested without a mount. Layer: pool; no nodes, no libfuse. How it
 * works inside (frame states, pins, locks): fs/README.md, "The buffer pool".
 *
 * Every function is thread-safe. Blocking ones say so. Unless said otherwise errors are -errno.
 */
#ifndef ZCFS_POOL_POOL_H
#define ZCFS_POOL_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/auto.h"
#include "pool/evict.h"
#include "pool/range_lock.h"
#include "stats/ledger.h"

#define POOL_PAGE_MIN 4096U
#define POOL_PAGE_MAX 65536U
/* A request of 1 MiB touches at most so many of the smallest pages. */
#define POOL_SPANS_MAX 257

enum pool_verify { POOL_VERIFY_OFF, POOL_VERIFY_EVICT, POOL_VERIFY_ALWAYS };

struct mrc; /* pool/mrc.h */
struct pool;
struct pool_file;

struct pool_config {
	uint64_t size_bytes; /* at least one page; rounded down to pages */
	uint32_t page_bytes; /* a power of two, POOL_PAGE_MIN..MAX */
	const struct evict_ops *policy;
	bool is_write_back; /* pool_write=back */
	unsigned dirty_max_percent; /* 1..90: of the frames; beyond, writes go through */
	double flush_interval_s; /* a page is dirty about so long at most */
	uint64_t readahead_bytes; /* the largest window; 0: none */
	enum pool_verify verify;
	struct mrc *mrc; /* is told of deleted files; NULL: nobody is */
};

/* 0, -ENOMEM, or -EINVAL for a size below one page or beyond the memory of the machine. Starts no thread. */
int pool_new(const struct pool_config *config, struct pool **out) MUST_CHECK;
/*
 * Starts the flusher and read-ahead threads, in the process that serves, before anybody does. 0 or -errno: without the ones that could
 * not be started there is no read-ahead, and writes go through.
 */
int pool_start(struct pool *p) MUST_CHECK;
/* Ends the threads, writing what is dirty (what cannot be written is logged), and frees all. No other thread uses it; NULL is nothing. */
void pool_free(struct pool *p);

uint32_t pool_page_bytes(const struct pool *p);
bool pool_is_write_back(const struct pool *p);

/* How a file's bytes are reached. Counted references: read-ahead and flushing outlive the open that brought it. */
struct pool_io;
struct pool_io_ops {
	/* Whole pages at a page's offset, into iov; bytes, short only where the file ends. Blocks. */
	ssize_t (*read)(struct pool_io *io, const struct iovec *iov, int count, uint64_t off_bytes);
	/* All of mem (aligned to 4096) or -errno. The file is at least off + len long, and stays exactly as long as it is. Blocks. */
	int (*write)(struct pool_io *io, const unsigned char *mem, size_t len_bytes, uint64_t off_bytes);
	/*
	 * Space for the range, and the file's size at least its end unless keep_size. 0; 1 (with keep_size): the whole file has its
	 * space, so there is no need to ask again; -EOPNOTSUPP: write through instead.
	 */
	int (*reserve)(struct pool_io *io, uint64_t off_bytes, uint64_t len_bytes, bool keep_size);
	int (*size)(struct pool_io *io, uint64_t *size_bytes);
	/* Sets the modification time: what a program wrote then was written to the file later. */
	int (*set_mtime)(struct pool_io *io, int64_t mtime_ns);
	void (*free)(struct pool_io *io); /* the last reference is gone */
	/* The later of the file's mtime and ctime. NULL: changes underneath are noticed less well. */
	int (*changed)(struct pool_io *io, int64_t *changed_ns);
};
struct pool_io {
	const struct pool_io_ops *ops;
	bool is_writable; /* write, reserve and set_mtime work */
	_Atomic unsigned refs;
};

/* ---- files ---- */

/*
 * The pool's file of a ledger's identity, made if there is none, with a reference; NULL when memory is short. It takes a
 * reference of the ledger, from `ledgers`, while it lives, which is until it has neither references nor frames.
 */
struct pool_file *pool_file_get(struct pool *p, struct ledger_table *ledgers,
				struct ledger *ledger) MUST_CHECK;
/* Drops the reference. Frames stay; dirty ones are written in their time. */
void pool_file_put(struct pool_file *f);
/* The same, for a file that is deleted and that nobody can read any more: its frames go, dirty ones unwritten. */
void pool_file_put_deleted(struct pool_file *f);

/*
 * Around an open's statx(): what the backing says the file is. If that is not what the pool left it as, somebody changed it
 * underneath, and clean pages are dropped. Each first change of ours in a while looks as well, so that a later time of ours hides
 * none of others'. begin waits for changes in flight. identity: a hash of mtime, ctime and size, or 0
 * where it cannot be trusted (node/mode.h); changed_ns: the later of mtime and ctime, CLOCK_REALTIME.
 */
struct pool_check {
	struct range_hold hold;
};
void pool_file_check_begin(struct pool_file *f, struct pool_check *c);
void pool_file_check_end(struct pool_file *f, struct pool_check *c, uint64_t size_bytes,
			 uint64_t identity, int64_t changed_ns);

/* What the pool takes the file's size for: less than the backing's where somebody appended underneath, until a read meets it. */
uint64_t pool_file_size(struct pool_file *f);

/* Whether misses (and, if for_writing, dirty pages) of f have an io already. */
bool pool_file_has_io(struct pool_file *f, bool for_writing);
/* Gives it one: takes the caller's reference (refs is 1), and frees it at once if f has as good a one. Kept until the last close. */
void pool_file_set_io(struct pool_file *f, struct pool_io *io);
/* An open that uses the pool, and its end. At the last end the io goes, as soon as nothing is dirty. */
void pool_file_opened(struct pool_file *f);
void pool_file_closed(struct pool_file *f);

/* ---- reading ---- */

/* What one open reads, for read-ahead and the policy. Zeroed at first; shared by the open's requests (relaxed atomics: a hint). */
struct pool_stream {
	_Atomic uint64_t next_off; /* where a sequential reader goes on */
	_Atomic uint64_t ahead_off; /* read ahead up to here */
	_Atomic uint32_t window_pages; /* 0: not sequential */
	_Atomic uint32_t wasted_seen; /* the file's wasted pages, modulo 2^32, when last looked */
	_Atomic uint64_t last_page; /* that was touched, + 1: touching it again at once is the same use */
};

/* A request's result: spans of pinned frames, or bytes in its scratch memory. */
struct pool_view {
	size_t count; /* spans in iov[1..count]; 0: the bytes are in scratch, at `mem` */
	struct iovec iov[POOL_SPANS_MAX + 1]; /* iov[0] is free for a header */
	uint32_t frame[POOL_SPANS_MAX]; /* pool_view_done()'s */
	unsigned char *mem;
	/* what happened; pages are the caller's to count (CTR_POOL_HITS, CTR_POOL_MISSES), with the rest of the request */
	uint64_t hit_bytes, miss_bytes;
	uint64_t hit_pages, miss_pages;
	uint64_t dma_bytes; /* read from the backing for this request */
	unsigned syscalls; /* calls of the io */
};

/*
 * Reads [off, off + len), len <= 1 MiB. scratch: aligned to 4096, of at least len + 2 pages (used where pages cannot all be
 * pinned at once). Bytes (fewer only at the file's end) or -errno. On success pool_view_done() is due, after the bytes were used;
 * until then no pool function may be called by this thread. Blocks on the backing for what is missing.
 */
ssize_t pool_read(struct pool_file *f, uint64_t off_bytes, size_t len_bytes, struct pool_stream *stream,
		  unsigned char *scratch, struct pool_view *view) MUST_CHECK;
void pool_view_done(struct pool_file *f, struct pool_view *view);

/* ---- writing ---- */

/*
 * Write-back: takes mem into the pool as dirty pages. Bytes taken, perhaps 0: the rest the caller writes through
 * (pool_change_begin()): the pool is not in write-back mode, too much is dirty, no frame is free, the io is not writable. -errno:
 * nothing was taken (-ENOSPC, -EDQUOT: no space to reserve; or what reading the rest of a page failed with). Blocks on the backing
 * where a page is missing. *hit_bytes, *miss_bytes: into pages that were resident, and that were not.
 */
ssize_t pool_write(struct pool_file *f, const unsigned char *mem, size_t len_bytes,
		   uint64_t off_bytes, uint64_t *hit_bytes, uint64_t *miss_bytes) MUST_CHECK;

/* To the end of the file and beyond, as a length. */
#define POOL_TO_END UINT64_MAX

/*
 * Around any change of the file's bytes or size that does not go through pool_write(): a write through, a write by another data
 * path or with O_DIRECT, truncate, fallocate, copy_file_range into it. Dirty pages that it touches are written before it, no
 * page that it touches is filled during it. A write waits for others on the same pages.
 *
 *   begin -> the change -> end(moved bytes, ...)         and nothing of the pool by this thread between
 */
struct pool_change {
	struct range_hold hold;
	uint64_t off_bytes;
	uint64_t len_bytes;
	bool is_truncate;
};
/*
 * is_truncate: dirty pages of the range are not written, as they are about to go; end then drops those beyond the size it is told,
 * and keeps what is below, dirty or not. 0 (end is due), or -errno of writing. Blocks.
 */
int pool_change_begin(struct pool_file *f, struct pool_change *c, uint64_t off_bytes,
		      uint64_t len_bytes, bool is_truncate) MUST_CHECK;
/*
 * mem, at_bytes, moved_bytes: what was written, and where it went; resident pages are brought up to date by it, whole pages come
 * in. mem NULL: what is resident of the range goes. In either case size_bytes is the file's size now; POOL_SIZE_GREW: at least
 * at + moved.
 */
#define POOL_SIZE_GREW UINT64_MAX
void pool_change_end(struct pool_file *f, struct pool_change *c, const unsigned char *mem,
		     uint64_t at_bytes, size_t moved_bytes, uint64_t size_bytes);

/* Writes what is dirty in the range, so that another path reads it from the backing: nothing to do, mostly. 0 or -errno. Blocks. */
int pool_file_flush_range(struct pool_file *f, uint64_t off_bytes, uint64_t len_bytes) MUST_CHECK;

/*
 * fsync's half: writes all dirty pages, the caller syncs the backing then. 0; or the -errno of a write-back, of this one or of an
 * earlier one that *seen (the open's; pool_file_errors_seen() at open) does not know yet; *seen knows it then. Pages that could not
 * be written stay dirty. Blocks.
 */
int pool_file_sync(struct pool_file *f, uint32_t *seen) MUST_CHECK;
/* The same without writing: for close. */
int pool_file_error(struct pool_file *f, uint32_t *seen) MUST_CHECK;
uint32_t pool_file_errors_seen(struct pool_file *f);

/* The modification time that dirty pages will have been written with is brought to the backing: before its attributes are told. */
/* True: something was set, and attributes read before are out of date. */
bool pool_file_settle_times(struct pool_file *f);

/* ---- by hand ---- */

int pool_file_flush(struct pool_file *f) MUST_CHECK; /* writes all dirty pages. Blocks. */
int pool_file_drop(struct pool_file *f) MUST_CHECK; /* the same, then drops all pages that nobody uses just now. Blocks. */
int pool_flush(struct pool *p) MUST_CHECK; /* of every file */
int pool_drop(struct pool *p) MUST_CHECK;
/* 0; -EINVAL (fewer pages than shards, or beyond the memory of the machine); -EBUSY: too many pages are in use, the old size stays; -ENOMEM. */
int pool_resize(struct pool *p, uint64_t size_bytes) MUST_CHECK;

struct pool_stats {
	uint64_t page_bytes, frames, frames_free, frames_clean, frames_dirty,
		frames_busy; /* busy: being read or written */
	uint64_t frames_pinned; /* of the clean and dirty ones */
	uint64_t files, shards, bytes_huge; /* bytes_huge: of the arena in huge pages */
	uint64_t evictions, verify_failures; /* pages; hits and misses are in the ledgers */
	uint64_t flush_ops, flush_bytes, flush_errors,
		throttled_ops; /* throttled: writes that went through as too much was dirty */
	uint64_t readahead_bytes, readahead_wasted_bytes, readahead_queued; /* queued: windows waiting now */
	uint64_t oldest_dirty_ms; /* 0: nothing is dirty */
	const char *policy, *verify;
	bool is_write_back;
	struct evict_list list[EVICT_LISTS_MAX];
	size_t lists;
};
void pool_stat(struct pool *p, struct pool_stats *out);

#endif
