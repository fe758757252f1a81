/*
 * A node table over a scratch backing directory, for unit tests.
 *
 *	struct nodes NODES f;		// freed with its directory at the scope's end
 *
 *	REQUIRE(nodes_init(&f, 64));	// also where this fails
 */
#pragma once

#include "backing.h"
#include "node/node.h"

struct nodes {
	struct backing b;
	struct ledger_table *ledgers;
	struct node_table *t;
	struct node *root;
};

#define NODES __attribute__((cleanup(nodes_fini)))

static inline bool nodes_init(struct nodes *f, size_t budget)
{
	*f = (struct nodes){.b = backing_new(), .ledgers = ledger_table_new(1024)};
	return f->b.fd >= 0 && f->ledgers &&
	       node_table_new(f->b.fd, f->ledgers, &(struct node_limits){.fd_budget = budget},
			      &f->t, &f->root) == 0;
}

static inline void nodes_fini(struct nodes *f)
{
	node_table_free(f->t);
	ledger_table_free(f->ledgers);
	backing_free(&f->b);
}

static inline size_t nodes_count(const struct nodes *f)
{
	size_t nodes, fds;

	node_table_size(f->t, &nodes, &fds);
	return nodes;
}

static inline size_t nodes_n_open(const struct nodes *f)
{
	size_t nodes, fds;

	node_table_size(f->t, &nodes, &fds);
	return fds;
}

static inline size_t nodes_n_ledgers(const struct nodes *f)
{
	size_t n_files, n_merged;

	ledger_table_size(f->ledgers, &n_files, &n_merged);
	return n_files;
}

/* The node of a name below the root, or NULL. */
static inline struct node *nodes_look(const struct nodes *f, const char *name)
{
	struct statx stx;
	struct node *n = NULL;

	return node_lookup(f->t, f->root, name, &n, &stx) == 0 ? n : NULL;
}

/* Makes a file and looks it up; NULL if either failed. */
static inline struct node *nodes_make(const struct nodes *f, const char *name, const char *content)
{
	return backing_file(&f->b, name, content) ? nodes_look(f, name) : NULL;
}

/* The inode number by the node's own descriptor, 0 if there is none. */
static inline uint64_t nodes_ino(const struct nodes *f, struct node *n)
{
	struct stat st;
	int fd = node_fd_get(f->t, n);

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		st.st_ino = 0;
	node_fd_put(f->t, n);
	return st.st_ino;
}
