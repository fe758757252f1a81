/* node/export: from an inode number to its file, and never outside the root. */
#include "node/export.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "check.h"
#include "node/node_table.h"
#include "nodes.h"

#define BUDGET 64

/* The filesystems that lead from a number to its file; the others say ESTALE, which is tested as well. */
static bool is_led(const struct backing *b)
{
	struct statfs fs;

	if (fstatfs(b->fd, &fs) < 0 || geteuid() != 0)
		return false;
	return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
	       fs.f_type == BTRFS_SUPER_MAGIC;
}

static uint64_t ino_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

TEST(a_number_leads_to_its_file_where_any_may_be_had)
{
	struct backing BACKING b = backing_new();
	struct export e;

	REQUIRE(b.fd >= 0 && export_init(&e, b.fd, true) == 0);
	uint64_t ino = backing_file(&b, "a", "x");
	int AUTO_FD fd = export_open(&e, ino);
	if (!is_led(&b)) {
		CHECK_EQ(fd, -ESTALE);
		return;
	}
	REQUIRE(fd >= 0);
	CHECK_EQ(ino_of(fd), ino);
	CHECK_EQ(unlinkat(b.fd, "a", 0), 0);
	auto_close(&fd);
	fd = export_open(&e, ino);
	CHECK_EQ(fd, -ESTALE);
}

TEST(of_a_part_only_directories_below_it)
{
	struct backing BACKING b = backing_new();
	struct export e;

	REQUIRE(b.fd >= 0 && mkdirat(b.fd, "in", 0755) == 0 && mkdirat(b.fd, "out", 0755) == 0 &&
		mkdirat(b.fd, "in/deep", 0755) == 0);
	int AUTO_FD in = openat(b.fd, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int AUTO_FD deep = openat(in, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int AUTO_FD out = openat(b.fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	REQUIRE(in >= 0 && deep >= 0 && out >= 0 && export_init(&e, in, false) == 0);
	REQUIRE(!e.is_any);
	CHECK_EQ(export_open(&e, ino_of(out)), -ESTALE);
	CHECK_EQ(export_open(&e, ino_of(b.fd)), -ESTALE);
	CHECK_EQ(export_open(&e, backing_file(&b, "in/file", "x")), -ESTALE);
	int AUTO_FD fd = export_open(&e, ino_of(deep));
	CHECK_EQ(fd >= 0 ? ino_of(fd) : 0, is_led(&b) ? ino_of(deep) : 0);
}

TEST(up_ends_at_the_root)
{
	struct backing BACKING b = backing_new();
	struct export e;

	REQUIRE(b.fd >= 0 && mkdirat(b.fd, "in", 0755) == 0 && mkdirat(b.fd, "in/deep", 0755) == 0);
	int AUTO_FD in = openat(b.fd, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int AUTO_FD deep = openat(in, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	REQUIRE(in >= 0 && deep >= 0 && export_init(&e, in, true) == 0);
	int AUTO_FD up = export_parent(&e, deep);
	CHECK_EQ(up >= 0 ? ino_of(up) : 0, ino_of(in));
	CHECK_EQ(export_parent(&e, in), -ESTALE);
	REQUIRE(renameat(in, "deep", b.fd, "moved out") == 0);
	CHECK_EQ(export_parent(&e, deep), -ESTALE);
}

TEST(a_directory_is_revived_by_its_id)
{
	struct nodes NODES f;
	struct node *n = NULL;
	struct statx stx;
	struct stat st;

	REQUIRE(nodes_init(&f, BUDGET));
	REQUIRE(mkdirat(f.b.fd, "d", 0755) == 0 && fstatat(f.b.fd, "d", &st, 0) == 0);
	CHECK_EQ(node_revive(f.t, NODE_ID_ADDRESS | 4096, &n, &stx), -ESTALE);
	CHECK_EQ(node_revive(f.t, 0, &n, &stx), -ESTALE);
	int rc = node_revive(f.t, st.st_ino, &n, &stx);
	int AUTO_FD fd = export_open(&f.t->export, st.st_ino);
	CHECK_EQ(rc, fd < 0 ? -ESTALE : 0);
	if (rc == 0) {
		CHECK_EQ(n->id, st.st_ino);
		CHECK_EQ(nodes_ino(&f, n), st.st_ino);
		node_forget(f.t, n, 1);
	}
	CHECK_EQ(node_revive(f.t, NODE_ID_ROOT, &n, &stx), 0);
	CHECK(n == f.root);
}

TEST(the_parent_is_found_within_the_root)
{
	struct nodes NODES f;
	struct node *up = NULL;
	struct statx stx;

	REQUIRE(nodes_init(&f, BUDGET));
	REQUIRE(mkdirat(f.b.fd, "d", 0755) == 0 && mkdirat(f.b.fd, "d/e", 0755) == 0);
	struct node *d = nodes_look(&f, "d"), *e = NULL;
	REQUIRE(d && node_lookup(f.t, d, "e", &e, &stx) == 0);
	CHECK_EQ(node_parent(f.t, e, &up, &stx), 0);
	CHECK(up == d);
	CHECK_EQ(node_parent(f.t, d, &up, &stx), 0);
	CHECK(up == f.root);
	CHECK_EQ(node_parent(f.t, f.root, &up, &stx), -ESTALE);
	struct node *file = nodes_make(&f, "f", "");
	REQUIRE(file);
	CHECK_EQ(node_parent(f.t, file, &up, &stx), -ESTALE);
}
