/*
 * treecmp A B: compares two trees to the last attribute and prints each difference: names, types, modes, owners, sizes, blocks,
 * numbers of links, mtime and ctime to the nanosecond, btime, inode numbers (so that hard links are the same ones), device
 * numbers of device files, extended attributes but user.zcfs.*, targets of symlinks, contents of files. Meant for a mount and
 * what is underneath. Status 1 if there was any; prints how many files it compared otherwise.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PIECE 131072

static unsigned long files, differences;

static void differ(const char *path, const char *what, const char *a, const char *b)
{
	differences++;
	printf("%s: %s: %s, %s\n", path, what, a, b);
}

static void differ_errno(const char *path, const char *what)
{
	differ(path, what, strerror(errno), "");
}

static void compare_numbers(const char *path, const char *what, uint64_t a, uint64_t b, const char *format)
{
	char text[2][64];
	if (a == b)
		return;
	int is_octal = strcmp(format, "o") == 0;
	snprintf(text[0], sizeof(text[0]), is_octal ? "%llo" : "%llu", (unsigned long long)a);
	snprintf(text[1], sizeof(text[1]), is_octal ? "%llo" : "%llu", (unsigned long long)b);
	differ(path, what, text[0], text[1]);
}

static void compare_times(const char *path, const char *what, struct statx_timestamp a,
			  struct statx_timestamp b)
{
	char text[2][64];
	if (a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec)
		return;
	snprintf(text[0], sizeof(text[0]), "%lld.%09u", (long long)a.tv_sec, a.tv_nsec);
	snprintf(text[1], sizeof(text[1]), "%lld.%09u", (long long)b.tv_sec, b.tv_nsec);
	differ(path, what, text[0], text[1]);
}

static void compare_attributes(const char *path, const struct statx *a, const struct statx *b)
{
	compare_numbers(path, "type and mode", a->stx_mode, b->stx_mode, "o");
	compare_numbers(path, "uid", a->stx_uid, b->stx_uid, "");
	compare_numbers(path, "gid", a->stx_gid, b->stx_gid, "");
	compare_numbers(path, "size", a->stx_size, b->stx_size, "");
	compare_numbers(path, "blocks", a->stx_blocks, b->stx_blocks, "");
	compare_numbers(path, "links", a->stx_nlink, b->stx_nlink, "");
	compare_numbers(path, "inode", a->stx_ino, b->stx_ino, "");
	compare_numbers(path, "device", makedev(a->stx_rdev_major, a->stx_rdev_minor),
			makedev(b->stx_rdev_major, b->stx_rdev_minor), "");
	compare_times(path, "mtime", a->stx_mtime, b->stx_mtime);
	compare_times(path, "ctime", a->stx_ctime, b->stx_ctime);
	compare_numbers(path, "btime is known", a->stx_mask & STATX_BTIME, b->stx_mask & STATX_BTIME, "");
	if (a->stx_mask & b->stx_mask & STATX_BTIME)
		compare_times(path, "btime", a->stx_btime, b->stx_btime);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A growing list of texts, sorted when it is complete. */
struct list {
	char **text;
	size_t count;
};

static void list_add(struct list *l, const char *text)
{
	char **longer = realloc(l->text, (l->count + 1) * sizeof(*longer));
	char *copy = strdup(text);
	if (!longer || !copy) {
		fprintf(stderr, "treecmp: out of memory\n");
		exit(2);
	}
	l->text = longer;
	l->text[l->count++] = copy;
}

static void list_sort(struct list *l)
{
	if (l->count > 0)
		qsort(l->text, l->count, sizeof(*l->text), compare_text);
}

static void list_free(struct list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->text[i]);
	free(l->text);
}

/* What is in one and not in the other differs; calls `both` for what is in both. */
static void lists_compare(const char *path, const char *what, const struct list *a, const struct list *b,
			  void (*both)(const char *path, const char *name, const void *context),
			  const void *context)
{
	size_t i = 0, j = 0;
	while (i < a->count || j < b->count) {
		int order = i == a->count ? 1 : j == b->count ? -1 : strcmp(a->text[i], b->text[j]);
		if (order == 0)
			both(path, a->text[i], context);
		else
			differ(path, what, order < 0 ? a->text[i] : "(none)",
			       order > 0 ? b->text[j] : "(none)");
		i += order <= 0;
		j += order >= 0;
	}
}

/* The two sides of what is compared. */
struct sides {
	const char *root[2];
};

static void full_name(char out[PATH_MAX], const struct sides *s, int side, const char *path)
{
	if (snprintf(out, PATH_MAX, "%s/%s", s->root[side], path) >= PATH_MAX) {
		fprintf(stderr, "treecmp: %s: too long\n", path);
		exit(2);
	}
}

static void attribute_names(const char *name, struct list *out)
{
	static char names[XATTR_LIST_MAX];
	ssize_t n = llistxattr(name, names, sizeof(names));
	if (n < 0)
		differ_errno(name, "listxattr");
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1)
		if (strncmp(names + at, "user.zcfs.", 10) != 0)
			list_add(out, names + at);
	list_sort(out);
}

static void compare_value(const char *path, const char *attr, const void *context)
{
	static char value[2][XATTR_SIZE_MAX];
	char name[PATH_MAX];
	ssize_t n[2];
	for (int side = 0; side < 2; side++) {
		full_name(name, context, side, path);
		n[side] = lgetxattr(name, attr, value[side], sizeof(value[side]));
		if (n[side] < 0)
			differ_errno(name, attr);
	}
	if (n[0] != n[1] || (n[0] > 0 && memcmp(value[0], value[1], (size_t)n[0]) != 0))
		differ(path, "the values differ of", attr, attr);
}

static void compare_xattrs(const struct sides *s, const char *path)
{
	struct list names[2] = {{0}, {0}};
	char name[PATH_MAX];
	for (int side = 0; side < 2; side++) {
		full_name(name, s, side, path);
		attribute_names(name, &names[side]);
	}
	lists_compare(path, "extended attribute", &names[0], &names[1], compare_value, s);
	list_free(&names[0]);
	list_free(&names[1]);
}

static void compare_targets(const struct sides *s, const char *path)
{
	char name[PATH_MAX], target[2][PATH_MAX];
	for (int side = 0; side < 2; side++) {
		full_name(name, s, side, path);
		ssize_t n = readlink(name, target[side], PATH_MAX - 1);
		if (n < 0)
			differ_errno(name, "readlink");
		target[side][n < 0 ? 0 : n] = '\0';
	}
	if (strcmp(target[0], target[1]) != 0)
		differ(path, "target", target[0], target[1]);
}

static void compare_contents(const struct sides *s, const char *path)
{
	static char mem[2][PIECE];
	char name[PATH_MAX];
	int fd[2];
	for (int side = 0; side < 2; side++) {
		full_name(name, s, side, path);
		fd[side] = open(name, O_RDONLY | O_NOFOLLOW);
		if (fd[side] < 0)
			differ_errno(name, "open");
	}
	for (off_t at = 0; fd[0] >= 0 && fd[1] >= 0; at += PIECE) {
		ssize_t n = pread(fd[0], mem[0], PIECE, at), m = pread(fd[1], mem[1], PIECE, at);
		if (n < 0 || m < 0)
			differ_errno(path, "read");
		if (n != m || (n > 0 && memcmp(mem[0], mem[1], (size_t)n) != 0)) {
			compare_numbers(path, "contents, bytes read", (uint64_t)n, (uint64_t)m, "");
			differ(path, "contents", "not", "the same");
			break;
		}
		if (n < PIECE)
			break;
	}
	for (int side = 0; side < 2; side++)
		if (fd[side] >= 0)
			close(fd[side]);
}

static void read_names(const char *name, struct list *out)
{
	DIR *dir = opendir(name);
	if (!dir) {
		differ_errno(name, "opendir");
		return;
	}
	errno = 0;
	for (struct dirent *e; (e = readdir(dir)); errno = 0)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			list_add(out, e->d_name);
	if (errno)
		differ_errno(name, "readdir");
	closedir(dir);
	list_sort(out);
}

static void compare_entry(const char *dir, const char *name, const void *context);

static void compare_files(const struct sides *s, const char *path)
{
	char name[PATH_MAX];
	struct statx stx[2];
	for (int side = 0; side < 2; side++) {
		full_name(name, s, side, path);
		if (statx(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME,
			  &stx[side]) < 0) {
			differ_errno(name, "statx");
			return;
		}
	}
	files++;
	compare_attributes(path, &stx[0], &stx[1]);
	if ((stx[0].stx_mode & S_IFMT) != (stx[1].stx_mode & S_IFMT))
		return;
	compare_xattrs(s, path);
	if (S_ISLNK(stx[0].stx_mode))
		compare_targets(s, path);
	else if (S_ISREG(stx[0].stx_mode))
		compare_contents(s, path);
	if (!S_ISDIR(stx[0].stx_mode))
		return;
	struct list names[2] = {{0}, {0}};
	for (int side = 0; side < 2; side++) {
		full_name(name, s, side, path);
		read_names(name, &names[side]);
	}
	lists_compare(path, "name", &names[0], &names[1], compare_entry, s);
	list_free(&names[0]);
	list_free(&names[1]);
}

static void compare_entry(const char *dir, const char *name, const void *context)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path))
		compare_files(context, path);
	else
		differ(dir, "too long below", name, name);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	const struct sides s = {{argv[1], argv[2]}};
	compare_files(&s, ".");
	if (differences)
		printf("%lu differences in %lu files\n", differences, files);
	else
		printf("%lu files are the same\n", files);
	return differences > 0;
}
