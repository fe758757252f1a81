/*
 * Finds out which rule= a file falls under. The kernel keeps the path of each directory (readlink
 * of its descriptor in /proc/self/fd), so a renamed directory costs nothing here: the files below
 * it follow when the kernel next looks up their names, at the latest after entry_timeout.
 *
 * Asks for the parent's path, not the file's own: a descriptor opened by file handle may not know
 * its name, and with hard links it may know another one. Where a path cannot be told the mount's
 * path= holds.
 */
#include "ops/rule.h"

#include <stdio.h>
#include <string.h>

/* The absolute path of fd's file. Its length or -errno. */
static ssize_t fd_path(struct fs *fs, int fd, char path[RULE_PATH_BYTES])
{
	char name[sizeof("-2147483648")];

	snprintf(name, sizeof(name), "%d", fd);
	ssize_t len = readlinkat(node_proc_fd(fs->nodes), name, path, RULE_PATH_BYTES - 1);
	if (len < 0)
		return -errno;
	if (len == RULE_PATH_BYTES - 1)
		return -ENAMETOOLONG;
	path[len] = '\0';
	return len;
}

int rule_dir_path(struct fs *fs, struct node *dir, char path[RULE_PATH_BYTES])
{
	char root[RULE_PATH_BYTES];

	path[0] = '\0';
	if (dir == fs->root)
		return 0;
	ssize_t root_len = fd_path(fs, fs->root_fd, root);
	if (root_len <= 0)
		return (int)root_len;
	if (root[root_len - 1] == '/') /* only "/" ends so */
		root_len--;

	int fd = node_fd_get(fs->nodes, dir);
	if (fd < 0)
		return fd;
	ssize_t len = fd_path(fs, fd, path);
	node_fd_put(fs->nodes, dir);
	if (len < 0)
		return (int)len;
	if (len <= root_len || memcmp(path, root, (size_t)root_len) != 0 || path[root_len] != '/')
		return -ENOENT;
	memmove(path, path + root_len + 1, (size_t)(len - root_len)); /* with the NUL */
	len -= root_len + 1;
	path[len] = '/'; /* there is room: "/" at least went away before */
	path[len + 1] = '\0';
	return 0;
}

void rule_apply(struct fs *fs, const char *dir_path, const char *name, struct node *n)
{
	char path[RULE_PATH_BYTES + NAME_MAX + 1];
	int len = snprintf(path, sizeof(path), "%s%s", dir_path, name);
	int rule = -1;

	if (len >= 0 && (size_t)len < sizeof(path))
		rule = (int)options_path_for(&fs->opt, path);
	atomic_store_explicit(&n->path_rule, rule, memory_order_relaxed);
}

void rule_learn(struct fs *fs, struct node *parent, const char *name, struct node *n)
{
	char dir_path[RULE_PATH_BYTES];

	if (!rule_concerns(fs, n))
		return;
	if (rule_dir_path(fs, parent, dir_path) == 0)
		rule_apply(fs, dir_path, name, n);
	else
		atomic_store_explicit(&n->path_rule, -1, memory_order_relaxed);
}
