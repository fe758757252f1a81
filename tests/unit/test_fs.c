/* fs: the mount's context is made and taken down, and what the pool holds is written by then. */
#include "fs.h"

#include "backing.h"
#include "check.h"
#include "data/pool_open.h"

#include <fcntl.h>

#define FS __attribute__((cleanup(fs_close)))

static bool open_fs(struct fs *fs, const struct backing *b, const char *options)
{
	char err[256];

	*fs = (struct fs){.root_fd = dup(b->fd), .claim_fd = -1};
	return options_parse(&fs->opt, options, err, sizeof(err)) == 0 && fs_open(fs, 64) == 0;
}

/* An open of "f" by path pool, as ops has it; NULL where there is no O_DIRECT. */
static struct handle *open_file(struct fs *fs)
{
	struct node *n = NULL;
	struct handle *h = NULL;
	struct statx stx;

	if (node_lookup(fs->nodes, fs->root, "f", &n, &stx) != 0 ||
	    !pool_open_file(fs->pool, fs->ledgers, fs->nodes, n) ||
	    handle_open(fs->nodes, n, O_RDWR, true, &h) != 0)
		return NULL;
	if (pool_open_begin(fs->pool, h, &stx) == 0)
		return h;
	(void)handle_close(h);
	return NULL;
}

static void close_left(struct open_link *link)
{
	struct handle *h = (struct handle *)(void *)((char *)link - offsetof(struct handle, link));
	pool_open_end(h);
	(void)handle_close(h);
}

static bool has_text(const struct backing *b, const char *text)
{
	char now[64] = "";
	int AUTO_FD fd = openat(b->fd, "f", O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, now, sizeof(now) - 1) >= 0 && strcmp(now, text) == 0;
}

TEST(it_is_made_and_taken_down)
{
	struct backing BACKING b = backing_new();
	size_t n_fds = backing_n_fds();

	for (int i = 0; i < 2; i++) {
		struct fs fs;
		REQUIRE(open_fs(&fs, &b,
				i == 0 ? "" : "pool_write=back,path=pool,pool_size=1M,pool_page=4K"));
		CHECK(fs.nodes && fs.root && fs.ledgers && fs.pool);
		CHECK_EQ(pool_is_write_back(fs.pool), i);
		CHECK_EQ(pool_page_bytes(fs.pool), i == 0 ? 16384 : 4096);
		CHECK(i == 0 || fs.is_flush_needed); /* errors are told at close */
		fs_start(&fs);
		fs_close(&fs);
	}
	CHECK_EQ(backing_n_fds(), n_fds);
}

TEST(what_failed_is_taken_down_too)
{
	struct fs fs = {.root_fd = -1, .claim_fd = -1};
	char err[256];

	REQUIRE(options_parse(&fs.opt, "", err, sizeof(err)) == 0);
	CHECK(fs_open(&fs, 64) < 0);
	fs_close(&fs);
}

/* With the open left by its program, and with the pool's threads or without. */
TEST(dirty_pages_are_written_at_the_end)
{
	for (int is_started = 0; is_started < 2; is_started++) {
		struct backing BACKING b = backing_new();
		struct fs fs;
		uint64_t hit, miss;
		REQUIRE(backing_file(&b, "f", "old text"));
		REQUIRE(open_fs(&fs, &b, "path=pool,pool_write=back,pool_flush_interval=1000"));
		if (is_started)
			fs_start(&fs);
		struct handle *h = open_file(&fs);
		if (!h) {
			fs_close(&fs);
			SKIP("no O_DIRECT here");
		}
		opens_add(&fs.opens, &h->link, close_left);
		struct pool_file *f = node_pool_file(h->node);
		CHECK_EQ(pool_write(f, (const unsigned char *)"new", 3, 0, &hit, &miss), 3);
		CHECK(has_text(&b, "old text"));
		fs_close(&fs);
		CHECK(has_text(&b, "new text"));
	}
}

TEST(a_deleted_file_is_not_written)
{
	struct backing BACKING b = backing_new();
	struct fs FS fs;
	uint64_t hit, miss;

	REQUIRE(backing_file(&b, "f", "old text"));
	REQUIRE(open_fs(&fs, &b, "path=pool,pool_write=back,pool_flush_interval=1000"));
	struct handle *h = open_file(&fs);
	if (!h)
		SKIP("no O_DIRECT here");
	int AUTO_FD fd = openat(b.fd, "f", O_RDONLY | O_CLOEXEC);
	struct node *n = h->node;
	CHECK_EQ(pool_write(node_pool_file(n), (const unsigned char *)"new", 3, 0, &hit, &miss), 3);
	CHECK_EQ(node_mark_unlinked(fs.nodes, n), 0);
	CHECK_EQ(unlinkat(b.fd, "f", 0), 0);
	node_settle_unlinked(fs.nodes, n);
	close_left(&h->link);
	node_forget(fs.nodes, n, 1);
	struct pool_stats stats;
	pool_stat(fs.pool, &stats);
	CHECK_EQ(stats.frames_dirty, 0);
	char now[8];
	CHECK_EQ(pread(fd, now, 8, 0), 8);
	CHECK(memcmp(now, "old text", 8) == 0);
}
