/*
 * Reads a file from its beginning to its end and hashes it. Owns its buffer and its descriptor while it runs; what is shared is
 * the number of those that run (fs->hashing).
 */
#include "ops/content_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "ops/ops.h"
#include "pool/pool.h"
#include "wire.h"

#define STEP_BYTES ((size_t)1 << 20)
#define HEX_BYTES  32

bool content_hash_is(const char *name)
{
	return strcmp(name, ZCFS_XATTR_XXH3) == 0;
}

/* What the pool has not written yet is not in the backing, which is what is read. 0 or -errno. */
static int flush_pool(struct fs *fs, struct node *n)
{
	struct ledger *ledger = fs->pool ? node_ledger_find(fs->nodes, n) : NULL;
	if (!ledger)
		return 0;
	struct pool_file *file = pool_file_get(fs->pool, fs->ledgers, ledger);
	if (!file)
		return -ENOMEM;
	int rc = pool_file_flush_range(file, 0, POOL_TO_END);
	pool_file_put(file);
	return rc;
}

static int hash_fd(int fd, unsigned char *buf, XXH3_state_t *state)
{
	if (XXH3_128bits_reset(state) != XXH_OK)
		return -EIO;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	for (off_t off = 0;;) {
		if (ops_is_given_up())
			return -EINTR;
		ssize_t n = pread(fd, buf, STEP_BYTES, off);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0;
		if (n < 0)
			continue;
		if (XXH3_128bits_update(state, buf, (size_t)n) != XXH_OK)
			return -EIO;
		off += n;
	}
}

/* The digits of the canonical form: big-endian, so they are those of the number. */
static char *to_hex(XXH128_hash_t hash)
{
	static const char digits[] = "0123456789abcdef";
	XXH128_canonical_t canonical;
	char *hex = malloc(HEX_BYTES + 1);

	if (!hex)
		return NULL;
	XXH128_canonicalFromHash(&canonical, hash);
	for (size_t i = 0; i < sizeof(canonical.digest); i++) {
		hex[2 * i] = digits[canonical.digest[i] >> 4];
		hex[2 * i + 1] = digits[canonical.digest[i] & 15];
	}
	hex[HEX_BYTES] = '\0';
	return hex;
}

static int hash_node(struct fs *fs, struct node *n, char **out)
{
	int rc = flush_pool(fs, n);
	if (rc)
		return rc;
	int AUTO_FD fd = node_open(fs->nodes, n, O_RDONLY);
	if (fd < 0)
		return fd;
	unsigned char *buf = malloc(STEP_BYTES);
	XXH3_state_t *state = XXH3_createState();
	rc = buf && state ? hash_fd(fd, buf, state) : -ENOMEM;
	if (rc == 0) {
		*out = to_hex(XXH3_128bits_digest(state));
		rc = *out ? 0 : -ENOMEM;
	}
	XXH3_freeState(state);
	free(buf);
	return rc;
}

ssize_t content_hash_get(struct fs *fs, struct node *n, bool is_length_wanted, char **out)
{
	unsigned limit = fs->opt.threads > 1 ? fs->opt.threads / 2 : 1;

	if (!S_ISREG(n->type))
		return -ENODATA;
	if (is_length_wanted)
		return HEX_BYTES;
	/* relaxed: a number, nothing is published by it */
	unsigned before = atomic_fetch_add_explicit(&fs->hashing, 1, memory_order_relaxed);
	int rc = before < limit ? hash_node(fs, n, out) : -EAGAIN;
	atomic_fetch_sub_explicit(&fs->hashing, 1, memory_order_relaxed);
	return rc ? rc : HEX_BYTES;
}
