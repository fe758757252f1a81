/*
 * Belady's optimum: what a cache would hit that always evicts the page whose next use is the farthest away. It knows the future, so
 * the whole trace is kept: 4 bytes a reference and up to 64 a page. (L. A. Belady, "A study of replacement algorithms for a
 * virtual-storage computer", IBM Systems Journal 5(2), 1966.)
 */
#ifndef ZCFS_OPT_H
#define ZCFS_OPT_H

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct opt;

int opt_new(struct opt **out) MUST_CHECK; /* 0 or -ENOMEM */
void opt_free(struct opt *o); /* NULL is fine */

/* The next references of the trace. 0, -ENOMEM, or -EFBIG beyond 2^32 - 2 of them. */
int opt_add(struct opt *o, const uint64_t *keys, size_t count) MUST_CHECK;

/* How many of those added hit in a cache of so many pages, > 0, that is empty at first. 0 or -ENOMEM. */
int opt_hits(const struct opt *o, uint32_t pages, uint64_t *hits) MUST_CHECK;

#endif
