/* node/node: one node a file, whatever its name; the budget; deleted and reused files; threads. */
#include "check.h"
#include "node/node.h"
#include "nodes.h"

#include <errno.h>
#include <pthread.h>

#define MANY    20000
#define BUDGET  64
#define THREADS 4
#define ROUNDS  3000
#define FILES   40

TEST(one_node_a_file)
{
	struct nodes NODES f;
	struct statx stx;
	struct node *n = NULL;

	REQUIRE(nodes_init(&f, BUDGET));
	uint64_t ino = backing_file(&f.b, "a", "12345");
	CHECK_EQ(linkat(f.b.fd, "a", f.b.fd, "b", 0), 0);
	CHECK_EQ(node_lookup(f.t, f.root, "a", &n, &stx), 0);
	REQUIRE(n);
	CHECK_EQ(n->ino, ino);
	CHECK_EQ(n->type, S_IFREG);
	CHECK_EQ(n->nlookup, 1);
	CHECK_EQ(n->path_wanted, -1);
	CHECK_EQ(n->path_rule, -1);
	CHECK_EQ(stx.stx_size, 5);
	CHECK_EQ(stx.stx_nlink, 2);
	CHECK(nodes_look(&f, "b") == n);
	int fd = openat(f.b.fd, "b", O_RDWR | O_CLOEXEC);
	struct node *again = NULL;
	CHECK_EQ(node_from_fd(f.t, fd, &again, &stx), 0);
	close(fd);
	CHECK(again == n);
	CHECK_EQ(n->nlookup, 3);
	CHECK_EQ(nodes_count(&f), 2);
	CHECK_EQ(node_statx(f.t, n, &stx), 0);
	CHECK_EQ(stx.stx_ino, ino);
	node_forget(f.t, n, 3);
	CHECK_EQ(nodes_count(&f), 1);
	CHECK_EQ(nodes_n_open(&f), 1);
}

TEST(a_name_is_one_component)
{
	struct nodes NODES f;
	char name[300] = "";

	REQUIRE(nodes_init(&f, BUDGET));
	const char *const bad[] = {"", ".", "..", "a/b", "/", "/etc"};
	struct node *n = NULL;
	struct statx stx;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(node_lookup(f.t, f.root, bad[i], &n, &stx), -EINVAL);
	memset(name, 'x', 256);
	CHECK_EQ(node_lookup(f.t, f.root, name, &n, &stx), -ENAMETOOLONG);
	name[255] = '\0';
	CHECK_EQ(node_lookup(f.t, f.root, name, &n, &stx), -ENOENT);
	CHECK(backing_file(&f.b, name, "") != 0);
	CHECK_EQ(node_lookup(f.t, f.root, name, &n, &stx), 0);
	CHECK_EQ(node_lookup(f.t, n, "below", &n, &stx), -ENOTDIR);
	CHECK(!nodes_look(&f, "..."));
}

TEST(the_root_is_never_forgotten)
{
	struct nodes NODES f;
	struct stat st;

	REQUIRE(nodes_init(&f, BUDGET));
	node_forget(f.t, f.root, UINT64_MAX);
	CHECK_EQ(fstat(f.b.fd, &st), 0);
	CHECK_EQ(nodes_ino(&f, f.root), st.st_ino);
}

TEST(a_link_is_not_followed)
{
	struct nodes NODES f;

	REQUIRE(nodes_init(&f, BUDGET));
	CHECK(backing_file(&f.b, "target", "") != 0);
	CHECK_EQ(symlinkat("target", f.b.fd, "link"), 0);
	CHECK_EQ(mkfifoat(f.b.fd, "fifo", 0600), 0);
	struct node *link = nodes_look(&f, "link"), *fifo = nodes_look(&f, "fifo");
	REQUIRE(link && fifo);
	CHECK_EQ(link->type, S_IFLNK);
	CHECK_EQ(node_open(f.t, link, O_RDONLY), -ELOOP);
	CHECK_EQ(node_open(f.t, fifo, O_RDWR), -ENXIO);
	int fd = node_open(f.t, link, O_PATH);
	struct stat st;
	CHECK(fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode));
	struct node *again = NULL;
	struct statx stx;
	CHECK_EQ(node_from_fd(f.t, fd, &again, &stx), 0);
	CHECK(again == link);
	close(fd);
	int path_fd = node_fd_get(f.t, link);
	CHECK_EQ(node_reopen(f.t, path_fd, O_RDONLY), -ELOOP); /* the kernel agrees */
	node_fd_put(f.t, link);
}

TEST(many_files_in_a_small_budget)
{
	struct nodes NODES f;
	static struct node *nodes[MANY];
	static uint64_t inos[MANY];
	char name[16];

	REQUIRE(nodes_init(&f, BUDGET));
	if (!node_table_has_handles(f.t))
		SKIP("no file handles here");
	size_t n_fds = backing_n_fds();
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%d", i);
		inos[i] = backing_file(&f.b, name, "");
		nodes[i] = nodes_look(&f, name);
		REQUIRE(nodes[i] && inos[i]);
	}
	CHECK_EQ(nodes_count(&f), MANY + 1);
	CHECK(nodes_n_open(&f) <= BUDGET);
	CHECK(backing_n_fds() < n_fds + BUDGET);
	for (int i = 0; i < MANY; i++)
		CHECK_EQ(nodes_ino(&f, nodes[i]), inos[i]);
	CHECK(nodes_n_open(&f) <= BUDGET);
	CHECK(backing_n_fds() < n_fds + BUDGET);
	for (int i = 0; i < MANY; i++)
		node_forget(f.t, nodes[i], 1);
	CHECK_EQ(nodes_count(&f), 1);
	CHECK_EQ(backing_n_fds(), n_fds);
}

TEST(an_unlinked_file_lives_until_forgotten)
{
	struct nodes NODES f;
	char buf[8] = "";

	REQUIRE(nodes_init(&f, BUDGET));
	struct node *n = nodes_make(&f, "a", "alive");
	REQUIRE(n && node_ledger(f.t, n));
	CHECK(node_ledger(f.t, n) == node_ledger_peek(n));
	node_table_shrink(f.t, BUDGET);
	CHECK_EQ(node_mark_unlinked(f.t, n), 0);
	CHECK_EQ(unlinkat(f.b.fd, "a", 0), 0);
	node_settle_unlinked(f.t, n);
	node_table_shrink(f.t, BUDGET);
	int fd = node_open(f.t, n, O_RDONLY);
	CHECK_EQ(read(fd, buf, sizeof(buf)), 5);
	CHECK_STR(buf, "alive");
	close(fd);
	CHECK_EQ(nodes_n_ledgers(&f), 1);
	node_forget(f.t, n, 1);
	CHECK_EQ(nodes_n_ledgers(&f), 0); /* retired with its file */
}

TEST(a_ledger_outlives_forget)
{
	struct nodes NODES f;

	REQUIRE(nodes_init(&f, BUDGET));
	struct node *n = nodes_make(&f, "a", "");
	CHECK_EQ(linkat(f.b.fd, "a", f.b.fd, "b", 0), 0);
	REQUIRE(n);
	CHECK(!node_ledger_peek(n));
	struct ledger *l = node_ledger(f.t, n);
	CHECK_EQ(node_mark_unlinked(f.t, n), 0);
	CHECK_EQ(unlinkat(f.b.fd, "a", 0), 0); /* not its last name */
	node_settle_unlinked(f.t, n);
	node_forget(f.t, n, 1);
	n = nodes_look(&f, "b");
	REQUIRE(n);
	CHECK(node_ledger(f.t, n) == l);
}

TEST(a_mark_is_taken_back_where_a_name_is_left)
{
	struct nodes NODES f;

	REQUIRE(nodes_init(&f, BUDGET));
	if (!node_table_has_handles(f.t))
		SKIP("no file handles here");
	CHECK_EQ(mkdirat(f.b.fd, "dir", 0700), 0);
	struct node *n = nodes_look(&f, "dir");
	REQUIRE(n);
	CHECK_EQ(node_mark_unlinked(f.t, n), 0);
	CHECK_EQ(node_table_shrink(f.t, BUDGET), 0);
	CHECK_EQ(unlinkat(f.b.fd, "dir", 0), -1); /* not how directories go */
	node_settle_unlinked(f.t, n);
	CHECK_EQ(node_table_shrink(f.t, BUDGET), 1);
	CHECK_EQ(nodes_ino(&f, n), n->ino);
}

TEST(a_nameless_file_keeps_its_descriptor)
{
	struct nodes NODES f;
	struct statx stx;
	struct node *n = NULL;
	char path[64];

	REQUIRE(nodes_init(&f, BUDGET));
	if (!node_table_has_handles(f.t))
		SKIP("no file handles here");
	int fd = openat(f.b.fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		SKIP("no O_TMPFILE here");
	CHECK_EQ(node_from_fd(f.t, fd, &n, &stx), 0);
	close(fd);
	REQUIRE(n);
	CHECK_EQ(node_table_shrink(f.t, BUDGET), 0);
	fd = node_open(f.t, n, O_RDWR);
	CHECK_EQ(write(fd, "x", 1), 1);
	snprintf(path, sizeof(path), "%d", fd);
	CHECK_EQ(linkat(node_proc_fd(f.t), path, f.b.fd, "named", AT_SYMLINK_FOLLOW), 0);
	close(fd);
	node_settle_unlinked(f.t, n);
	CHECK_EQ(node_table_shrink(f.t, BUDGET), 1);
	CHECK(nodes_look(&f, "named") == n);
	node_forget(f.t, n, 2);
}

TEST(a_reused_inode_number_is_another_file)
{
	struct nodes NODES f;

	REQUIRE(nodes_init(&f, BUDGET));
	uint64_t ino = backing_file(&f.b, "a", "old");
	struct node *old = nodes_look(&f, "a");
	REQUIRE(old);
	if (!old->btime_ns || node_table_shrink(f.t, BUDGET) == 0)
		SKIP("no birth times or file handles here");
	if (!backing_reuse_inode(&f.b, "a", ino))
		SKIP("this filesystem does not reuse inode numbers soon");
	struct node *young = nodes_look(&f, "a");
	REQUIRE(young);
	CHECK(young != old);
	CHECK(young->generation != old->generation);
	CHECK(young->id != old->id);
	CHECK(node_by_id(f.t, young->id) == young);
	CHECK_EQ(node_fd_get(f.t, old), -ESTALE);
	CHECK_EQ(nodes_ino(&f, young), ino);
	CHECK(nodes_look(&f, "a") == young);
	CHECK_EQ(nodes_count(&f), 3);
	node_forget(f.t, old, 1);
	CHECK_EQ(nodes_count(&f), 2);
	CHECK(nodes_look(&f, "a") == young);
}

struct worker {
	const struct nodes *f;
	const uint64_t *inos;
	unsigned seed;
	pthread_t thread;
};

/* What the kernel may do with a file that others know too. */
static void visit(const struct worker *w, int i)
{
	char name[16];
	struct statx stx;

	snprintf(name, sizeof(name), "%d", i);
	struct node *n = nodes_look(w->f, name);
	CHECK(n);
	if (!n)
		return;
	CHECK_EQ(n->ino, w->inos[i]);
	CHECK_EQ(nodes_ino(w->f, n), w->inos[i]);
	CHECK_EQ(node_statx(w->f->t, n, &stx), 0);
	struct ledger *l = node_ledger(w->f->t, n);
	CHECK(l);
	int AUTO_FD fd = node_open(w->f->t, n, O_RDONLY);
	CHECK(fd >= 0);
	if (l)
		counters_add(&l->counters, CTR_READ_OPS, 1);
	node_forget(w->f->t, n, 1);
}

/* Makes a file of this thread's own, deletes it as an op would, and uses it after. */
static void make_and_unlink(const struct worker *w, unsigned number)
{
	char name[32];
	struct statx stx;

	snprintf(name, sizeof(name), "own-%u", number);
	uint64_t ino = backing_file(&w->f->b, name, "x");
	struct node *n = nodes_look(w->f, name);
	CHECK(n && node_ledger(w->f->t, n));
	if (!n)
		return;
	CHECK_EQ(node_mark_unlinked(w->f->t, n), 0);
	CHECK_EQ(unlinkat(w->f->b.fd, name, 0), 0);
	node_settle_unlinked(w->f->t, n);
	CHECK_EQ(node_statx(w->f->t, n, &stx), 0);
	CHECK_EQ(stx.stx_ino, ino);
	CHECK_EQ(stx.stx_nlink, 0);
	node_forget(w->f->t, n, 1);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned number = w->seed;

	for (int round = 0; round < ROUNDS; round++) {
		visit(w, rand_r(&w->seed) % FILES);
		if (round % 4 == 0)
			make_and_unlink(w, number);
		if (round % 32 == 0)
			(void)node_table_shrink(w->f->t, 3);
	}
	return NULL;
}

TEST(an_id_is_the_inode_number)
{
	struct nodes NODES f;

	REQUIRE(nodes_init(&f, BUDGET));
	struct node *n = nodes_make(&f, "a", "x");
	REQUIRE(n);
	CHECK_EQ(n->id, n->ino);
	CHECK(node_by_id(f.t, n->id) == n);
	CHECK(node_by_id(f.t, NODE_ID_ROOT) == f.root);
	CHECK(node_by_id(f.t, f.root->ino) == NULL || f.root->ino == NODE_ID_ROOT);
	uint64_t id = n->id;
	node_forget(f.t, n, 1);
	CHECK(!node_by_id(f.t, id));
}

TEST(threads_share_the_table)
{
	struct nodes NODES f;
	struct worker workers[THREADS];
	uint64_t inos[FILES];
	char name[16];

	REQUIRE(nodes_init(&f, 4));
	size_t n_fds = backing_n_fds();
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "%d", i);
		inos[i] = backing_file(&f.b, name, "x");
	}
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.f = &f, .inos = inos, .seed = i + 1};
		CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(workers[i].thread, NULL), 0);
	CHECK_EQ(nodes_count(&f), 1);
	CHECK_EQ(nodes_n_open(&f), 1);
	CHECK_EQ(backing_n_fds(), n_fds);
	struct counters_snapshot total, others;
	ledger_totals(f.ledgers, &total, &others);
	CHECK_EQ(total.sum[CTR_READ_OPS], THREADS * ROUNDS);
	CHECK_EQ(nodes_n_ledgers(&f), FILES); /* the deleted ones' are retired */
}

static struct {
	int n_ended, n_deleted;
	struct pool_file *last;
} ends;

static void end_pool_file(struct pool_file *file, bool is_deleted)
{
	ends.n_ended++;
	ends.n_deleted += is_deleted;
	ends.last = file;
}

TEST(a_pool_file_ends_with_its_node_or_before)
{
	struct nodes NODES f;
	static char a, b; /* nobody looks into it */

	REQUIRE(nodes_init(&f, 8));
	node_table_on_pool_file(f.t, end_pool_file);
	struct node *kept = nodes_make(&f, "kept", ""), *gone = nodes_make(&f, "gone", "");
	REQUIRE(kept && gone);
	CHECK(node_adopt_pool_file(kept, (struct pool_file *)(void *)&a));
	CHECK(!node_adopt_pool_file(kept, (struct pool_file *)(void *)&b));
	CHECK(node_pool_file(kept) == (struct pool_file *)(void *)&a);
	CHECK(node_adopt_pool_file(gone, (struct pool_file *)(void *)&b));
	CHECK_EQ(node_mark_unlinked(f.t, gone), 0);
	CHECK_EQ(unlinkat(f.b.fd, "gone", 0), 0);
	node_forget(f.t, gone, 1);
	CHECK(ends.n_ended == 1 && ends.n_deleted == 1 && ends.last == (struct pool_file *)(void *)&b);
	node_table_end_pool_files(f.t);
	CHECK(ends.n_ended == 2 && ends.n_deleted == 1 && ends.last == (struct pool_file *)(void *)&a);
	CHECK(!node_pool_file(kept));
}
