/*
 * A buffer pool over files that are arrays in memory, with faults on demand, for unit tests of fs/pool.
 *
 *	struct pool_rig POOL_RIG g;
 *	REQUIRE(pool_rig_init(&g, &(struct pool_config){.size_bytes = ..}));	// zero fields get usual values
 *	REQUIRE(pool_rig_read(&g, 0, 100, out) == 100);
 */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/lock.h"
#include "check.h"
#include "gate.h"
#include "pool/pool.h"

#define DISK_CAP (1UL << 20)

/* A file's bytes underneath. */
struct disk {
	struct pool_io io;
	struct mutex mutex;
	unsigned char bytes[DISK_CAP];
	uint64_t size_bytes;
	_Atomic unsigned reads, writes; /* calls */
	_Atomic uint64_t read_bytes, write_bytes;
	_Atomic unsigned sizes, reserves, mtimes; /* calls */
	_Atomic unsigned read_delay_us; /* a slow disk */
	struct gate read_gate, write_gate, mtime_gate; /* calls pass them first; writes do at their end */
	/* the next calls fail so, as long as the count lasts; 0: none */
	_Atomic int read_faults, write_faults, reserve_faults;
	_Atomic unsigned fault_one_in; /* else one call in so many fails with EIO; 0: none */
	_Atomic unsigned calls;
	_Atomic int64_t mtime_ns;
	_Atomic bool is_freed;
	uint64_t bad_page_off; /* reads that touch it fail; UINT64_MAX: none */
};

struct pool_rig {
	struct ledger_table *ledgers;
	struct ledger *ledger;
	struct pool *pool;
	struct pool_file *file;
	struct disk *disk;
	struct pool_stream stream;
};

#define POOL_RIG __attribute__((cleanup(pool_rig_fini)))

static inline struct disk *disk_of(struct pool_io *io)
{
	return (struct disk *)(void *)io;
}

static inline bool disk_fails(struct disk *d, _Atomic int *faults)
{
	unsigned one_in = atomic_load(&d->fault_one_in);
	if (atomic_load(faults) > 0) {
		atomic_fetch_sub(faults, 1);
		return true;
	}
	return one_in > 0 && atomic_fetch_add(&d->calls, 1) % one_in == one_in - 1;
}

static inline ssize_t disk_read(struct pool_io *io, const struct iovec *iov, int count, uint64_t off_bytes)
{
	struct disk *d = disk_of(io);
	ssize_t done = 0;
	atomic_fetch_add(&d->reads, 1);
	gate_pass(&d->read_gate);
	if (atomic_load(&d->read_delay_us) > 0)
		usleep(atomic_load(&d->read_delay_us));
	if (disk_fails(d, &d->read_faults))
		return -EIO;
	mutex_lock(&d->mutex);
	for (int i = 0; i < count; i++) {
		uint64_t at = off_bytes + (uint64_t)done;
		size_t n = at < d->size_bytes ? (size_t)(d->size_bytes - at) : 0;
		n = n < iov[i].iov_len ? n : iov[i].iov_len;
		if (d->bad_page_off >= at && d->bad_page_off < at + n) {
			done = -EIO;
			break;
		}
		memcpy(iov[i].iov_base, d->bytes + at, n);
		done += (ssize_t)n;
		if (n < iov[i].iov_len)
			break;
	}
	mutex_unlock(&d->mutex);
	atomic_fetch_add(&d->read_bytes, done > 0 ? (uint64_t)done : 0);
	return done;
}

static inline int disk_write(struct pool_io *io, const unsigned char *mem, size_t len_bytes,
			     uint64_t off_bytes)
{
	struct disk *d = disk_of(io);
	atomic_fetch_add(&d->writes, 1);
	if (disk_fails(d, &d->write_faults)) {
		gate_pass(&d->write_gate);
		return -EIO;
	}
	mutex_lock(&d->mutex);
	CHECK(off_bytes + len_bytes <= d->size_bytes); /* pages are written to where the file already is */
	memcpy(d->bytes + off_bytes, mem, len_bytes);
	mutex_unlock(&d->mutex);
	atomic_fetch_add(&d->write_bytes, len_bytes);
	gate_pass(&d->write_gate);
	return 0;
}

static inline int disk_reserve(struct pool_io *io, uint64_t off_bytes, uint64_t len_bytes, bool keep_size)
{
	struct disk *d = disk_of(io);
	atomic_fetch_add(&d->reserves, 1);
	if (disk_fails(d, &d->reserve_faults))
		return -ENOSPC;
	mutex_lock(&d->mutex);
	if (!keep_size && d->size_bytes < off_bytes + len_bytes)
		d->size_bytes = off_bytes + len_bytes;
	mutex_unlock(&d->mutex);
	return 0;
}

static inline int disk_size(struct pool_io *io, uint64_t *size_bytes)
{
	struct disk *d = disk_of(io);
	atomic_fetch_add(&d->sizes, 1);
	mutex_lock(&d->mutex);
	*size_bytes = d->size_bytes;
	mutex_unlock(&d->mutex);
	return 0;
}

static inline int disk_set_mtime(struct pool_io *io, int64_t mtime_ns)
{
	gate_pass(&disk_of(io)->mtime_gate);
	atomic_fetch_add(&disk_of(io)->mtimes, 1);
	atomic_store(&disk_of(io)->mtime_ns, mtime_ns);
	return 0;
}

static inline void disk_free(struct pool_io *io)
{
	atomic_store(&disk_of(io)->is_freed, true);
}

static const struct pool_io_ops disk_ops = {
	disk_read, disk_write, disk_reserve, disk_size, disk_set_mtime, disk_free, NULL,
};

/* A byte that depends on its place and on a seed. */
static inline unsigned char disk_byte(uint64_t off_bytes, unsigned seed)
{
	return (unsigned char)(((off_bytes + 1 + ((uint64_t)seed << 32)) * 0x9e3779b97f4a7c15U) >> 56);
}

static inline void disk_fill(struct disk *d, uint64_t size_bytes, unsigned seed)
{
	memset(d->bytes, 0, DISK_CAP);
	for (uint64_t i = 0; i < size_bytes; i++)
		d->bytes[i] = disk_byte(i, seed);
	d->size_bytes = size_bytes;
}

/* A change of the file by somebody else, who tells nobody: bytes at an offset, then a size. */
static inline void disk_put(struct disk *d, uint64_t off_bytes, unsigned char byte, size_t len_bytes)
{
	mutex_lock(&d->mutex);
	memset(d->bytes + off_bytes, byte, len_bytes);
	mutex_unlock(&d->mutex);
}

static inline void disk_resize(struct disk *d, uint64_t size_bytes)
{
	mutex_lock(&d->mutex);
	if (size_bytes < d->size_bytes)
		memset(d->bytes + size_bytes, 0, d->size_bytes - size_bytes);
	d->size_bytes = size_bytes;
	mutex_unlock(&d->mutex);
}

/* What is open does not matter to the file's identity: 0 is never trusted, so only our own changes count as known. */
static inline void pool_rig_open(struct pool_rig *g, int64_t changed_ns)
{
	struct pool_check c;
	pool_file_check_begin(g->file, &c);
	pool_file_check_end(g->file, &c, g->disk->size_bytes, 0, changed_ns);
	pool_file_opened(g->file);
	if (!pool_file_has_io(g->file, true)) {
		atomic_store(&g->disk->io.refs, 1);
		atomic_store(&g->disk->is_freed, false);
		pool_file_set_io(g->file, &g->disk->io);
	}
}

static inline bool pool_rig_init(struct pool_rig *g, const struct pool_config *wanted, uint64_t size_bytes)
{
	const struct ledger_key key = {.dev = 1, .ino = 2, .btime_ns = 3};
	struct pool_config c = *wanted;
	memset(g, 0, sizeof(*g));
	c.page_bytes = c.page_bytes ? c.page_bytes : 4096;
	c.size_bytes = c.size_bytes ? c.size_bytes : 16UL * c.page_bytes;
	c.policy = c.policy ? c.policy : evict_find("clock");
	c.dirty_max_percent = c.dirty_max_percent ? c.dirty_max_percent : 50;
	c.flush_interval_s = c.flush_interval_s > 0 ? c.flush_interval_s : 3600;
	g->disk = mmap(NULL, sizeof(*g->disk), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	g->disk = g->disk == MAP_FAILED ? NULL : g->disk;
	g->ledgers = ledger_table_new(100);
	if (!g->disk || !g->ledgers || pool_new(&c, &g->pool) < 0)
		return false;
	g->disk->io = (struct pool_io){.ops = &disk_ops, .is_writable = true, .refs = 1};
	g->disk->bad_page_off = UINT64_MAX;
	mutex_init(&g->disk->mutex);
	gate_init(&g->disk->read_gate);
	gate_init(&g->disk->write_gate);
	gate_init(&g->disk->mtime_gate);
	disk_fill(g->disk, size_bytes, 1);
	g->ledger = ledger_get(g->ledgers, &key);
	g->file = g->ledger ? pool_file_get(g->pool, g->ledgers, g->ledger) : NULL;
	if (!g->file)
		return false;
	pool_rig_open(g, 0);
	return true;
}

static inline void pool_rig_fini(struct pool_rig *g)
{
	if (g->file) {
		pool_file_closed(g->file);
		pool_file_put(g->file);
	}
	pool_free(g->pool);
	if (g->ledger)
		ledger_put(g->ledgers, g->ledger);
	ledger_table_free(g->ledgers);
	if (g->disk) {
		CHECK(atomic_load(&g->disk->is_freed));
		gate_fini(&g->disk->read_gate);
		gate_fini(&g->disk->write_gate);
		gate_fini(&g->disk->mtime_gate);
		mutex_fini(&g->disk->mutex);
	}
	if (g->disk)
		munmap(g->disk, sizeof(*g->disk));
}

/* As path pool does it; scratch of its own. Bytes or -errno, into out. */
static inline ssize_t pool_rig_read_view(struct pool_rig *g, uint64_t off_bytes, size_t len_bytes,
					 unsigned char *out, struct pool_view *view)
{
	unsigned char *scratch = aligned_alloc(4096, (len_bytes + 3UL * 65536) / 4096 * 4096);
	ssize_t n = scratch ? pool_read(g->file, off_bytes, len_bytes, &g->stream, scratch, view)
			    : -ENOMEM;
	if (n > 0 && view->count == 0)
		memcpy(out, view->mem, (size_t)n);
	for (size_t i = 0, at = 0; n > 0 && i < view->count; at += view->iov[++i].iov_len)
		memcpy(out + at, view->iov[i + 1].iov_base, view->iov[i + 1].iov_len);
	if (n >= 0)
		pool_view_done(g->file, view);
	free(scratch);
	return n;
}

static inline ssize_t pool_rig_read(struct pool_rig *g, uint64_t off_bytes, size_t len_bytes,
				    unsigned char *out)
{
	struct pool_view view;
	return pool_rig_read_view(g, off_bytes, len_bytes, out, &view);
}

/* Reads the range and compares it with what the disk was filled with. True if all is right, and as long as wanted. */
static inline bool pool_rig_reads_right(struct pool_rig *g, uint64_t off_bytes, size_t len_bytes,
					unsigned seed)
{
	unsigned char *out = malloc(len_bytes + 1);
	bool is_right = out && pool_rig_read(g, off_bytes, len_bytes, out) == (ssize_t)len_bytes;
	for (size_t i = 0; is_right && i < len_bytes; i++)
		is_right = out[i] == disk_byte(off_bytes + i, seed);
	free(out);
	return is_right;
}

/* To the disk, as a write by path direct would be. */
static inline int pool_rig_write_disk(struct pool_rig *g, const unsigned char *mem,
				      size_t len_bytes, uint64_t off_bytes)
{
	struct disk *d = g->disk;
	if (disk_fails(d, &d->write_faults))
		return -EIO;
	mutex_lock(&d->mutex);
	memcpy(d->bytes + off_bytes, mem, len_bytes);
	if (d->size_bytes < off_bytes + len_bytes)
		d->size_bytes = off_bytes + len_bytes;
	mutex_unlock(&d->mutex);
	return 0;
}

/* A write through (is_bypass: by another path, that gives the pool nothing). 0 or -errno. */
static inline int pool_rig_write_through(struct pool_rig *g, const unsigned char *mem,
					 size_t len_bytes, uint64_t off_bytes, bool is_bypass)
{
	struct pool_change c;
	int err = pool_change_begin(g->file, &c, off_bytes, len_bytes, false);
	if (err < 0)
		return err;
	err = pool_rig_write_disk(g, mem, len_bytes, off_bytes);
	pool_change_end(g->file, &c, is_bypass || err < 0 ? NULL : mem, off_bytes,
			err < 0 ? 0 : len_bytes, POOL_SIZE_GREW);
	return err;
}

/* As path pool does it: into the pool, what it does not take through. 0 or -errno (then bytes before *taken are written). */
static inline int pool_rig_write(struct pool_rig *g, const unsigned char *mem, size_t len_bytes,
				 uint64_t off_bytes, size_t *taken)
{
	uint64_t hit, miss;
	ssize_t n = pool_write(g->file, mem, len_bytes, off_bytes, &hit, &miss);
	*taken = n > 0 ? (size_t)n : 0;
	if (n < 0)
		return (int)n;
	CHECK_EQ(hit + miss, n);
	if ((size_t)n == len_bytes)
		return 0;
	return pool_rig_write_through(g, mem + n, len_bytes - (size_t)n, off_bytes + (uint64_t)n, false);
}

static inline uint64_t pool_rig_counter(struct pool_rig *g, enum counter id)
{
	return atomic_load(&g->ledger->counters.sum[id]);
}

/* ftruncate(2), as path pool does it. 0 or -errno. */
static inline int pool_rig_truncate(struct pool_rig *g, uint64_t size_bytes)
{
	struct pool_change c;
	uint64_t old = g->disk->size_bytes;
	int err = pool_change_begin(g->file, &c, size_bytes < old ? size_bytes : old, POOL_TO_END, true);
	if (err < 0)
		return err;
	disk_resize(g->disk, size_bytes);
	pool_change_end(g->file, &c, NULL, 0, 0, size_bytes);
	return 0;
}

static inline struct pool_stats pool_rig_stat(struct pool_rig *g)
{
	struct pool_stats s;
	pool_stat(g->pool, &s);
	return s;
}
