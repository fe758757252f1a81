/* node/node_hash: what is found, what is stale, growing with threads in it. */
#include "check.h"
#include "node/node.h"
#include "node/node_hash.h"

#include <pthread.h>

#define THREADS 4
#define NODES   5000 /* more than the table begins with, so that it grows twice */

static struct node *node_make(uint64_t ino, int64_t btime_ns, mode_t type)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		abort();
	n->dev = 7;
	n->ino = ino;
	n->btime_ns = btime_ns;
	n->type = type;
	n->nlookup = 1;
	return n;
}

static struct node *find(struct node_hash *h, uint64_t ino, int64_t btime_ns, mode_t type)
{
	return node_hash_find(h, &(struct node_key){7, ino, btime_ns, type});
}

static size_t drain_and_free(struct node_hash *h)
{
	size_t n_freed = 0;
	struct node *next;

	for (struct node *n = node_hash_drain(h); n; n = next) {
		next = n->hash_next;
		free(n);
		n_freed++;
	}
	node_hash_fini(h);
	return n_freed;
}

TEST(lookups_are_counted)
{
	struct node_hash h;

	REQUIRE(node_hash_init(&h) == 0);
	CHECK(!find(&h, 1, 5, S_IFREG));
	struct node *n = node_make(1, 5, S_IFREG);
	CHECK(node_hash_insert(&h, n) == n);
	CHECK(find(&h, 1, 5, S_IFREG) == n);
	CHECK(find(&h, 1, 0, S_IFREG) == n); /* birth time not known this time */
	CHECK_EQ(n->nlookup, 3);
	CHECK(!node_hash_release(&h, n, 2));
	CHECK(node_hash_release(&h, n, 9)); /* too many, but the last */
	CHECK(!find(&h, 1, 5, S_IFREG));
	CHECK_EQ(node_hash_size(&h), 0);
	free(n);
	CHECK_EQ(drain_and_free(&h), 0);
}

TEST(the_second_to_insert_gets_the_first)
{
	struct node_hash h;

	REQUIRE(node_hash_init(&h) == 0);
	struct node *first = node_make(1, 5, S_IFREG), *second = node_make(1, 5, S_IFREG);
	CHECK(node_hash_insert(&h, first) == first);
	CHECK(node_hash_insert(&h, second) == first);
	CHECK_EQ(first->nlookup, 2);
	free(second);
	CHECK_EQ(drain_and_free(&h), 1);
}

TEST(a_reused_inode_number_is_another_node)
{
	struct node_hash h;

	REQUIRE(node_hash_init(&h) == 0);
	struct node *n[3] = {node_make(1, 5, S_IFREG), node_make(1, 6, S_IFREG),
			     node_make(1, 0, S_IFDIR)};
	CHECK(node_hash_insert(&h, n[0]) == n[0]);
	CHECK(!find(&h, 1, 6, S_IFREG));
	CHECK(!find(&h, 1, 5, S_IFREG)); /* stale for good */
	CHECK(node_hash_insert(&h, n[1]) == n[1]);
	CHECK(n[0]->generation != n[1]->generation);
	CHECK(n[0]->id != n[1]->id);
	CHECK(!find(&h, 1, 0, S_IFDIR)); /* no birth time, but another type */
	CHECK(node_hash_insert(&h, n[2]) == n[2]);
	CHECK_EQ(node_hash_size(&h), 3);
	CHECK(node_hash_release(&h, n[0], 1)); /* stale ones are forgotten like any other */
	CHECK(find(&h, 1, 0, S_IFDIR) == n[2]);
	free(n[0]);
	CHECK_EQ(drain_and_free(&h), 2);
}

TEST(ids_are_the_numbers_that_are_free)
{
	struct node_hash h;

	REQUIRE(node_hash_init(&h) == 0);
	h.id_dev = 7;
	struct node *first = node_make(9, 5, S_IFREG), *second = node_make(9, 6, S_IFREG);
	struct node *one = node_make(1, 5, S_IFREG), *large = node_make(1ULL << 63, 5, S_IFREG);
	struct node *elsewhere = node_make(10, 5, S_IFREG);
	elsewhere->dev = 8;
	struct node *const all[] = {first, second, one, large, elsewhere};
	for (size_t i = 0; i < 5; i++)
		CHECK(node_hash_insert(&h, all[i]) == all[i]);
	CHECK_EQ(first->id, 9);
	for (size_t i = 1; i < 5; i++) /* taken, the root's, no room for the mark, another device */
		CHECK_EQ(all[i]->id, NODE_ID_ADDRESS | (uintptr_t)all[i]);
	CHECK(node_hash_by_id(&h, 7, 9) == first);
	CHECK(!node_hash_by_id(&h, 7, 10));
	CHECK(!node_hash_by_id(&h, 8, 10));
	CHECK(node_hash_release(&h, first, 1));
	CHECK(!node_hash_by_id(&h, 7, 9));
	free(first);
	struct node *third = node_make(9, 7, S_IFREG);
	CHECK(node_hash_insert(&h, third) == third);
	CHECK_EQ(third->id, 9); /* free again */
	CHECK_EQ(drain_and_free(&h), 5);
}

struct worker {
	struct node_hash *h;
	pthread_t thread;
};

/* Looks every number up, brings in what is missing, and gives all but one lookup back. */
static void *work(void *arg)
{
	struct worker *w = arg;

	for (uint64_t ino = 1; ino <= NODES; ino++) {
		struct node *n = find(w->h, ino, 1, S_IFREG);
		if (!n) {
			struct node *fresh = node_make(ino, 1, S_IFREG);
			n = node_hash_insert(w->h, fresh);
			if (n != fresh)
				free(fresh);
		}
		CHECK_EQ(n->ino, ino);
		CHECK(find(w->h, ino, 1, S_IFREG) == n);
		CHECK(!node_hash_release(w->h, n, 1));
	}
	return NULL;
}

TEST(threads_grow_it_and_lose_nothing)
{
	struct node_hash h;
	struct worker workers[THREADS];

	REQUIRE(node_hash_init(&h) == 0);
	for (int i = 0; i < THREADS; i++) {
		workers[i].h = &h;
		CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(workers[i].thread, NULL), 0);
	CHECK_EQ(node_hash_size(&h), NODES);
	CHECK(h.n_buckets >= NODES);
	for (uint64_t ino = 1; ino <= NODES; ino++) {
		struct node *n = find(&h, ino, 1, S_IFREG);
		CHECK(n && n->nlookup == THREADS + 1);
	}
	CHECK_EQ(drain_and_free(&h), NODES);
}

static void count_numbers(void *ctx, struct node *n)
{
	*(uint64_t *)ctx += n->ino;
}

TEST(each_is_visited_once_stale_ones_too)
{
	struct node_hash h;
	uint64_t sum = 0;

	REQUIRE(node_hash_init(&h) == 0);
	node_hash_each(&h, count_numbers, &sum);
	CHECK_EQ(sum, 0);
	for (uint64_t i = 1; i <= 100; i++)
		node_hash_insert(&h, node_make(i, 5, S_IFREG));
	node_hash_insert(&h, node_make(1, 6, S_IFREG)); /* another file of that number */
	node_hash_each(&h, count_numbers, &sum);
	CHECK_EQ(sum, 5050 + 1);
	CHECK_EQ(drain_and_free(&h), 101);
}
