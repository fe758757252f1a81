/* node/node_open: real descriptors of a node, also when they have run out. */
#include "check.h"
#include "node/node.h"
#include "nodes.h"

#include <errno.h>
#include <sys/resource.h>

#define BUDGET 64

TEST(open_is_by_node_not_by_name)
{
	struct nodes NODES f;
	char buf[8] = "";

	REQUIRE(nodes_init(&f, BUDGET));
	struct node *n = nodes_make(&f, "a", "old");
	REQUIRE(n);
	CHECK_EQ(renameat(f.b.fd, "a", f.b.fd, "b"), 0);
	CHECK(backing_file(&f.b, "a", "new") != 0);
	int fd = node_open(f.t, n, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW);
	CHECK(fd >= 0);
	CHECK_EQ(read(fd, buf, sizeof(buf)), 3);
	CHECK_STR(buf, "old");
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

TEST(running_out_of_descriptors_closes_some)
{
	struct nodes NODES f;
	struct rlimit limit, low;
	struct node *nodes[BUDGET];
	char name[16];

	REQUIRE(nodes_init(&f, 1000));
	if (!node_table_has_handles(f.t))
		SKIP("no file handles here");
	for (int i = 0; i < BUDGET; i++) {
		snprintf(name, sizeof(name), "%d", i);
		nodes[i] = nodes_make(&f, name, "");
		REQUIRE(nodes[i]);
	}
	CHECK(backing_file(&f.b, "one more", "x") != 0);
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	int highest = dup(f.b.fd);
	low = (struct rlimit){.rlim_cur = (rlim_t)highest, .rlim_max = limit.rlim_max};
	close(highest);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
	int full = dup(f.b.fd);
	struct node *n = nodes_look(&f, "one more");
	int fds[48]; /* more than one relief closes */
	for (int i = 0; i < 48; i++)
		fds[i] = n ? node_open(f.t, n, O_RDONLY) : -1;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK_EQ(full, -1);
	CHECK(n);
	for (int i = 0; i < 48; i++) {
		CHECK(fds[i] >= 0);
		auto_close(&fds[i]);
	}
	for (int i = 0; i < BUDGET; i++)
		CHECK(nodes_ino(&f, nodes[i]) == nodes[i]->ino);
}

TEST(what_is_no_file_is_never_opened)
{
	struct nodes NODES f;

	REQUIRE(nodes_init(&f, BUDGET));
	REQUIRE(symlinkat("a", f.b.fd, "link") == 0 && mkfifoat(f.b.fd, "fifo", 0644) == 0);
	struct node *link = nodes_look(&f, "link"), *fifo = nodes_look(&f, "fifo");
	REQUIRE(link && fifo);
	CHECK_EQ(node_open(f.t, link, O_RDONLY), -ELOOP);
	CHECK_EQ(node_open(f.t, fifo, O_RDONLY | O_NONBLOCK), -ENXIO);
	int AUTO_FD fd = node_open(f.t, fifo, O_PATH);
	CHECK(fd >= 0);
}
