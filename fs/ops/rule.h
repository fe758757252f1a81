/*
 * rule=GLOB:PATH matches a file by its path below the mount, which nobody stores: it is asked of
 * the kernel (where is this directory?) when a name is looked up. So a node follows the name it was
 * looked up by last. Layer: ops.
 */
#ifndef ZCFS_OPS_RULE_H
#define ZCFS_OPS_RULE_H

#include <limits.h>

#include "base/auto.h"
#include "fs.h"

/* Enough for what rule_dir_path() writes. */
#define RULE_PATH_BYTES (PATH_MAX + 1)

/*
 * Where the directory `dir` is below the mount: "" for the root, else "a/b/". 0 or -errno
 * (-ENAMETOOLONG: deeper than PATH_MAX; -ENOENT: it is not below the root now).
 */
int rule_dir_path(struct fs *fs, struct node *dir, char path[RULE_PATH_BYTES]) MUST_CHECK;

/* The file `n` is called `name` in the directory that dir_path, of rule_dir_path(), names. */
void rule_apply(struct fs *fs, const char *dir_path, const char *name, struct node *n);

/*
 * Both, for one name. Nothing where the mount has no rules or n is no regular file. To be called
 * after a lookup, a creation (before the open's mode is decided) or a rename; costs two readlink().
 */
void rule_learn(struct fs *fs, struct node *parent, const char *name, struct node *n);

/* Whether there is anything to learn about n. */
static inline bool rule_concerns(const struct fs *fs, const struct node *n)
{
	return fs->opt.rules_count > 0 && S_ISREG(n->type);
}

#endif
