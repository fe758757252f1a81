/*
 * poolhits POLICY PAGES | control PAGES | --policies: hits in the buffer pool, in process, by poolload.h's protocol: pool_read() of
 * a resident 4K page and pool_view_done(), nothing of FUSE. The file behind it is made up: each page is its number over and over,
 * which is checked when the pool is filled and at the end. tests/bench/pool compiles it against the build's libcore.a.
 *
 * `control` is no pool: one read of a thread's own table at the page's hash, each waiting for the one before. Two threads of it
 * share nothing, so they show how much of a second processor this machine really gives.
 */
#include "poolload.h"

#include "base/hash.h"
#include "pool/pool.h"

#define PAGE_BYTES  POOL_PAGE_MIN
#define FILL_PASSES 4
#define CONTROL_ROW 64U

static struct {
	struct pool *pool;
	struct pool_file *file;
	struct ledger_table *ledgers;
	struct ledger *ledger;
	uint32_t pages;
} here;

/* ---- the file ---- */

static ssize_t made_up_read(struct pool_io *io, const struct iovec *iov, int count, uint64_t off_bytes)
{
	size_t done = 0;
	(void)io;
	for (int i = 0; i < count; i++) {
		uint64_t *word = iov[i].iov_base;
		for (size_t n = 0; n < iov[i].iov_len / sizeof(*word); n++, done += sizeof(*word))
			word[n] = (off_bytes + done) / PAGE_BYTES;
	}
	return (ssize_t)done;
}

static int made_up_size(struct pool_io *io, uint64_t *size_bytes)
{
	(void)io;
	*size_bytes = (uint64_t)here.pages * PAGE_BYTES;
	return 0;
}

static int refuse_write(struct pool_io *io, const unsigned char *mem, size_t len_bytes, uint64_t off_bytes)
{
	(void)io, (void)mem, (void)len_bytes, (void)off_bytes;
	return -EROFS;
}

static int refuse_reserve(struct pool_io *io, uint64_t off_bytes, uint64_t len_bytes, bool keep_size)
{
	(void)io, (void)off_bytes, (void)len_bytes, (void)keep_size;
	return -EROFS;
}

static int refuse_mtime(struct pool_io *io, int64_t mtime_ns)
{
	(void)io, (void)mtime_ns;
	return -EROFS;
}

static const struct pool_io_ops made_up = {
	.read = made_up_read,
	.write = refuse_write,
	.reserve = refuse_reserve,
	.size = made_up_size,
	.set_mtime = refuse_mtime,
	.free = (void (*)(struct pool_io *))free,
};

/* ---- a thread of the pool ---- */

struct reader {
	struct pool_stream stream;
	struct pool_view view;
	unsigned char *scratch;
};

static void *reader_new(void)
{
	void *scratch = NULL;
	struct reader *r = calloc(1, sizeof(*r));
	if (!r || posix_memalign(&scratch, PAGE_BYTES, (size_t)3 * PAGE_BYTES) != 0) {
		free(r);
		return NULL;
	}
	r->scratch = scratch;
	return r;
}

static void reader_free(void *arg)
{
	struct reader *r = arg;
	free(r->scratch);
	free(r);
}

static uint32_t reader_lookup(void *arg, const uint32_t *page, uint32_t count)
{
	struct reader *r = arg;
	uint32_t hits = 0;
	for (uint32_t i = 0; i < count; i++) {
		ssize_t n = pool_read(here.file, (uint64_t)page[i] * PAGE_BYTES, PAGE_BYTES,
				      &r->stream, r->scratch, &r->view);
		if (n != (ssize_t)PAGE_BYTES)
			continue;
		hits += r->view.hit_bytes == PAGE_BYTES;
		pool_view_done(here.file, &r->view);
	}
	return hits;
}

/* Reads every page and looks at its bytes. How many were missing, or -1. */
static int64_t check_all(struct reader *r)
{
	int64_t misses = 0;
	for (uint32_t page = 0; page < here.pages; page++) {
		ssize_t n = pool_read(here.file, (uint64_t)page * PAGE_BYTES, PAGE_BYTES,
				      &r->stream, r->scratch, &r->view);
		if (n != (ssize_t)PAGE_BYTES)
			return -1;
		const uint64_t *word =
			(const void *)(r->view.count > 0 ? r->view.iov[1].iov_base : r->view.mem);
		bool is_right = word[0] == page && word[PAGE_BYTES / sizeof(*word) - 1] == page;
		misses += r->view.hit_bytes != PAGE_BYTES;
		pool_view_done(here.file, &r->view);
		if (!is_right)
			return -1;
	}
	return misses;
}

/* Until all pages are there. */
static bool is_filled(void)
{
	struct reader *r = reader_new();
	int64_t misses = r ? 1 : -1;
	for (int i = 0; misses > 0 && i < FILL_PASSES; i++)
		misses = check_all(r);
	if (r)
		reader_free(r);
	return misses == 0;
}

static int begin_pool(const struct evict_ops *policy)
{
	const struct pool_config config = {
		.size_bytes = (uint64_t)here.pages * PAGE_BYTES / 100 * LOAD_ROOM_PERCENT,
		.page_bytes = PAGE_BYTES,
		.policy = policy,
		.dirty_max_percent = 50,
		.flush_interval_s = 1,
	};
	const struct ledger_key key = {.dev = 1, .ino = 1};
	struct pool_check check;
	int err = pool_new(&config, &here.pool);
	if (err == 0)
		err = pool_start(here.pool);
	if (err < 0)
		return err;
	here.ledgers = ledger_table_new(1);
	here.ledger = here.ledgers ? ledger_get(here.ledgers, &key) : NULL;
	here.file = here.ledger ? pool_file_get(here.pool, here.ledgers, here.ledger) : NULL;
	struct pool_io *io = calloc(1, sizeof(*io));
	if (!here.file || !io) {
		free(io);
		return -ENOMEM;
	}
	io->ops = &made_up;
	io->refs = 1;
	pool_file_check_begin(here.file, &check);
	pool_file_check_end(here.file, &check, (uint64_t)here.pages * PAGE_BYTES, 1, 0);
	pool_file_opened(here.file);
	pool_file_set_io(here.file, io);
	return 0;
}

static void end_pool(void)
{
	pool_file_closed(here.file);
	pool_file_put(here.file);
	ledger_put(here.ledgers, here.ledger);
	pool_free(here.pool);
	ledger_table_free(here.ledgers);
}

static int run_pool(const char *name)
{
	const struct evict_ops *policy = evict_find(name);
	if (!policy) {
		fprintf(stderr, "poolhits: there is no policy '%s'\n", name);
		return 2;
	}
	int err = begin_pool(policy);
	if (err < 0) {
		fprintf(stderr, "poolhits: cannot make the pool: %s\n", strerror(-err));
		return 1;
	}
	const struct load_cache load = {
		.pages = here.pages, .begin = reader_new, .lookup = reader_lookup, .end = reader_free};
	int status = is_filled() ? load_serve(&load) : 1;
	if (status == 1 || !is_filled()) {
		fprintf(stderr, "poolhits: %s: a page is missing, or has another's bytes\n", name);
		status = 1;
	}
	end_pool();
	return status;
}

/* ---- the control ---- */

static void *control_begin(void)
{
	size_t bytes = (size_t)here.pages * CONTROL_ROW;
	unsigned char *table = malloc(bytes);
	if (table)
		memset(table, 1, bytes);
	return table;
}

static uint32_t control_lookup(void *arg, const uint32_t *page, uint32_t count)
{
	const unsigned char *table = arg;
	uint32_t hits = 0;
	unsigned char found = 1;
	for (uint32_t i = 0; i < count; i++) {
		found = table[hash_pair(found, page[i]) % here.pages * CONTROL_ROW];
		hits += found;
	}
	return hits;
}

static int run_control(void)
{
	const struct load_cache load = {
		.pages = here.pages, .begin = control_begin, .lookup = control_lookup, .end = free};
	return load_serve(&load);
}

static int print_policies(void)
{
	for (size_t i = 0; evict_at(i); i++)
		printf("%s\n", evict_at(i)->name);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--policies") == 0)
		return print_policies();
	here.pages = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
	if (here.pages == 0) {
		fprintf(stderr, "usage: poolhits POLICY PAGES | control PAGES | --policies\n");
		return 2;
	}
	return strcmp(argv[1], "control") == 0 ? run_control() : run_pool(argv[1]);
}
