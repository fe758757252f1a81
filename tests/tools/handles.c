/*
 * handles OPERATION ARGUMENT...: file handles, as programs and NFS servers keep them. A handle is printed, and taken, as
 * TYPE:HEX. On failure the errno's name on stderr, and status 1.
 *
 *   take FILE...             name_to_handle_at, symlinks not followed: one line each
 *   connectable FILE...      the same with AT_HANDLE_CONNECTABLE (the handle has the parent's identity in it)
 *   words HANDLE             its 32-bit words in decimal
 *   forge TYPE WORD...       a handle of those
 * open_by_handle_at on the filesystem of the directory MNT:
 *   stat MNT HANDLE...       O_PATH: inode number and type (file, dir, link, other), one line each
 *   path MNT HANDLE          O_PATH: where it is, as /proc/self/fd says
 *   readlink MNT HANDLE      O_PATH: a symlink's target
 *   cat MNT HANDLE           a file's content
 *   ls MNT HANDLE            the names in a directory, but . and .., in its order
 *   write MNT HANDLE TEXT    appends TEXT
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
#include <unistd.h>

#ifndef AT_HANDLE_CONNECTABLE
#define AT_HANDLE_CONNECTABLE 0x002
#endif

union handle {
	struct file_handle head;
	unsigned char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static int failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerrorname_np(errno));
	return 1;
}

static void print(const union handle *h)
{
	printf("%d:", h->head.handle_type);
	for (unsigned i = 0; i < h->head.handle_bytes; i++)
		printf("%02x", h->head.f_handle[i]);
	putchar('\n');
}

static void parse(const char *text, union handle *h)
{
	int at = 0;
	unsigned byte, n = 0;
	if (sscanf(text, "%d:%n", &h->head.handle_type, &at) < 1) {
		fprintf(stderr, "handles: '%s' is no handle\n", text);
		exit(2);
	}
	for (const char *p = text + at; n < MAX_HANDLE_SZ && sscanf(p, "%2x", &byte) == 1; p += 2)
		h->head.f_handle[n++] = (unsigned char)byte;
	h->head.handle_bytes = n;
}

static int take_all(char **file, int flags)
{
	union handle h;
	int mount_id;
	for (; *file; file++) {
		h.head.handle_bytes = MAX_HANDLE_SZ;
		if (name_to_handle_at(AT_FDCWD, *file, &h.head, &mount_id, flags) < 0)
			return failed(*file);
		print(&h);
	}
	return 0;
}

static int op_take(char **arg)
{
	return take_all(arg, 0);
}

static int op_connectable(char **arg)
{
	return take_all(arg, AT_HANDLE_CONNECTABLE);
}

static int op_words(char **arg)
{
	union handle h;
	parse(arg[0], &h);
	for (unsigned i = 0; i + 4 <= h.head.handle_bytes; i += 4) {
		uint32_t word;
		memcpy(&word, h.head.f_handle + i, 4);
		printf("%s%u", i ? " " : "", word);
	}
	putchar('\n');
	return 0;
}

static int op_forge(char **arg)
{
	union handle h = {.head = {.handle_type = atoi(arg[0])}};
	for (char **p = arg + 1; *p && h.head.handle_bytes < MAX_HANDLE_SZ; p++) {
		uint32_t word = (uint32_t)strtoul(*p, NULL, 0);
		memcpy(h.head.f_handle + h.head.handle_bytes, &word, 4);
		h.head.handle_bytes += 4;
	}
	print(&h);
	return 0;
}

/* The descriptor, or -1 after it has said why. */
static int open_handle(const char *mnt, const char *text, int flags)
{
	union handle h;
	parse(text, &h);
	int mnt_fd = open(mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mnt_fd < 0)
		return failed(mnt), -1;
	int fd = open_by_handle_at(mnt_fd, &h.head, flags | O_CLOEXEC);
	if (fd < 0)
		failed("open_by_handle_at");
	close(mnt_fd);
	return fd;
}

static int op_stat(char **arg)
{
	for (char **text = arg + 1; *text; text++) {
		struct stat st;
		int fd = open_handle(arg[0], *text, O_PATH);
		if (fd < 0)
			return 1;
		if (fstat(fd, &st) < 0)
			return failed("fstat");
		printf("%llu %s\n", (unsigned long long)st.st_ino,
		       S_ISREG(st.st_mode)   ? "file"
		       : S_ISDIR(st.st_mode) ? "dir"
		       : S_ISLNK(st.st_mode) ? "link"
					     : "other");
		close(fd);
	}
	return 0;
}

static int op_path(char **arg)
{
	char proc[64], path[PATH_MAX];
	int fd = open_handle(arg[0], arg[1], O_PATH);
	if (fd < 0)
		return 1;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(proc, path, sizeof(path));
	return n < 0 ? failed(proc) : printf("%.*s\n", (int)n, path) < 0;
}

static int op_readlink(char **arg)
{
	char target[PATH_MAX];
	int fd = open_handle(arg[0], arg[1], O_PATH);
	if (fd < 0)
		return 1;
	ssize_t n = readlinkat(fd, "", target, sizeof(target));
	return n < 0 ? failed("readlinkat") : printf("%.*s\n", (int)n, target) < 0;
}

static int op_cat(char **arg)
{
	static char mem[65536];
	ssize_t n;
	int fd = open_handle(arg[0], arg[1], O_RDONLY);
	if (fd < 0)
		return 1;
	while ((n = read(fd, mem, sizeof(mem))) > 0)
		fwrite(mem, 1, (size_t)n, stdout);
	return n < 0 ? failed("read") : 0;
}

static int op_ls(char **arg)
{
	int fd = open_handle(arg[0], arg[1], O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return fd < 0 ? 1 : failed("fdopendir");
	struct dirent *entry;
	while (errno = 0, (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			puts(entry->d_name);
	return errno ? failed("readdir") : 0;
}

static int op_write(char **arg)
{
	ssize_t len = (ssize_t)strlen(arg[2]);
	int fd = open_handle(arg[0], arg[1], O_WRONLY | O_APPEND);
	if (fd < 0)
		return 1;
	return write(fd, arg[2], (size_t)len) != len || close(fd) < 0 ? failed("write") : 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		int (*carry_out)(char **arg);
	} operations[] = {
		{"take", 1, op_take},   {"connectable", 1, op_connectable},
		{"words", 1, op_words}, {"forge", 2, op_forge},
		{"stat", 2, op_stat},   {"path", 2, op_path},
		{"cat", 2, op_cat},     {"ls", 2, op_ls},
		{"write", 3, op_write}, {"readlink", 2, op_readlink},
	};
	for (size_t i = 0; argc > 1 && i < sizeof(operations) / sizeof(operations[0]); i++)
		if (strcmp(argv[1], operations[i].name) == 0 && argc - 2 >= operations[i].args)
			return operations[i].carry_out(argv + 2);
	fprintf(stderr, "handles: no such operation, or too few arguments\n");
	return 2;
}
