/*
 * The miss-ratio curve: how much an LRU pool of any size would have hit, estimated while the mount is used, of the whole mount
 * and of its most active files. It sees every READ and WRITE that reaches the daemon, whatever the data path. Layer: pool.
 *
 *   reference --> counted (a counter of the CPU's) --> hash below a threshold? --no--> done: no lock, nothing shared is written
 *                                                            | yes
 *                                                            +--> the mount's sample, and the file's, each under its mutex
 *
 * How samples become curves: sample.h. Files with a sample of their own are those with the most references lately: a file
 * without one takes the place of the least active when it has had more than twice as many.
 *
 * Every function is thread-safe and does no I/O. The mutexes are leaves.
 */
#ifndef ZCFS_POOL_MRC_H
#define ZCFS_POOL_MRC_H

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/hash.h"
#include "stats/ledger.h"

/* Memory of a mount's curves, in all; and the least that mrc_new() takes. */
#define MRC_BYTES     (1024UL * 1024)
#define MRC_BYTES_MIN (512UL * 1024)
#define MRC_POINTS    64
#define MRC_WHOLE     0 /* as a file's key: the whole mount */

struct mrc;

struct mrc_point {
	uint64_t pool_bytes;
	double hit_ratio; /* 0..1 */
};

struct mrc_curve {
	uint32_t page_bytes;
	uint64_t references; /* to pages: since the start, the last reset, or since the file has its sample */
	uint32_t sampled; /* pages in the sample */
	double rate; /* of all pages, 0..1 */
	uint64_t distinct_bytes; /* of all pages referenced, estimated */
	size_t count;
	/* pool sizes in about equal ratios, from the least that the sample can tell to the least that hits all there is to hit */
	struct mrc_point point[MRC_POINTS];
};

/* budget_bytes: MRC_BYTES; what it allocates stays below. page_bytes: a power of two. NULL: ENOMEM. */
struct mrc *mrc_new(size_t budget_bytes, uint32_t page_bytes) MUST_CHECK;
void mrc_free(struct mrc *m); /* NULL is fine */

/* What it has allocated, in bytes. */
size_t mrc_bytes(const struct mrc *m);

/* A file's key, never MRC_WHOLE. */
static inline uint64_t mrc_file_key(const struct ledger *l)
{
	uint64_t key = hash_pair(l->hash, (uint64_t)l->key.btime_ns);
	return key != MRC_WHOLE ? key : 1;
}

/* A request for bytes of a file: one reference to each page that it touches. len_bytes 0 is none. */
void mrc_access(struct mrc *m, uint64_t file_key, uint64_t off_bytes, uint64_t len_bytes);

/* The curve of a file, or of MRC_WHOLE. 0, or -ENODATA: the file has no sample; nothing was referenced. */
int mrc_curve(struct mrc *m, uint64_t file_key, struct mrc_curve *out) MUST_CHECK;

/*
 * The same as one JSON object ending in a newline, malloc'd into *out:
 *
 *   {"page_bytes": 16384, "references": 914145, "sampled": 7312, "rate": 0.0391, "distinct_bytes": 3063873536,
 *    "pool_bytes": 134217728, "points": [[425984, 0.1021], ...]}
 *
 * pool_bytes: the mount's pool now, or 0 (then it is null). 0, -ENODATA or -ENOMEM.
 */
int mrc_render_json(struct mrc *m, uint64_t file_key, uint64_t pool_bytes, char **out) MUST_CHECK;

/* The file is deleted: its sample goes, and soon its pages in the mount's. */
void mrc_forget(struct mrc *m, uint64_t file_key);

/* Starts a file's curve anew, or all of them (MRC_WHOLE). */
void mrc_reset(struct mrc *m, uint64_t file_key);

#endif
