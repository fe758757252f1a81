/*
 * What the operations of storm.c share: the names they play with, what is in the files, and the judgement of what a system
 * call returned. For storm.c alone.
 */
#ifndef ZCFS_TEST_STORM_FS_H
#define ZCFS_TEST_STORM_FS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "random.h"

#define NAME_BYTES 32
#define DIRS       4
#define NAMES      12

static int root_fd;
static uint64_t seed, op_number;
static const char *op_name = "start";
static bool is_success; /* of the operation's last call */

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
	int err = errno;
	char line[400];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "storm --seed %llu: operation %llu of process %d, %s: %s (errno %s)\n",
		(unsigned long long)seed, (unsigned long long)op_number, (int)getpid(), op_name,
		line, err ? strerrorname_np(err) : "none");
	_exit(1);
}

/* Whether the call succeeded; otherwise its errno must be among those that are allowed, in words. */
static inline bool came_to_pass(int rc, const char *name, const char *other, const char *allowed)
{
	is_success = rc >= 0;
	if (is_success)
		return true;
	const char *err = strerrorname_np(errno);
	const char *found = err ? strstr(allowed, err) : NULL;
	if (!found || (found[strlen(err)] != ' ' && found[strlen(err)] != '\0'))
		fail("%s%s%s", name, other ? ", " : "", other ? other : "");
	return false;
}

/* The call succeeds, or (err not 0) fails so. */
static inline void expect(int rc, const char *name, int err)
{
	if (err ? rc >= 0 || errno != err : rc < 0)
		fail("%s: %d, not %s", name, rc, err ? strerrorname_np(err) : "success");
}

/* A directory of the tree: none, one or two levels down; some are no directories, or not there. */
static inline const char *pick_dir(char name[NAME_BYTES])
{
	size_t first = below(DIRS), second = below(DIRS);
	switch (below(3)) {
	case 0:
		snprintf(name, NAME_BYTES, ".");
		break;
	case 1:
		snprintf(name, NAME_BYTES, "d%zu", first);
		break;
	default:
		snprintf(name, NAME_BYTES, "d%zu/d%zu", first, second);
	}
	return name;
}

/* A name in one: of a file mostly, but those of directories may be files too and the other way round. */
static inline const char *pick_name(char name[NAME_BYTES])
{
	char dir[NAME_BYTES];
	bool is_dir_name = one_in(8);
	size_t number = below(is_dir_name ? DIRS : NAMES);
	pick_dir(dir);
	snprintf(name, NAME_BYTES, "%.12s/%c%zu", dir, is_dir_name ? 'd' : 'n', number);
	return name;
}

/* Files hold words of this kind, or zeros, at offsets of whole words. */
#define WORD_MARK 0x5a43465300000000U
#define WORD_MASK 0xffffffff00000000U
#define WORDS     4096

static uint64_t words[WORDS];

/* How many bytes of words there are now. */
static inline size_t fill_words(void)
{
	size_t count = 1 + below(one_in(4) ? WORDS : 64);
	for (size_t i = 0; i < count; i++)
		words[i] = WORD_MARK | (next_random() & ~WORD_MASK);
	return count * 8;
}

static inline void check_words(size_t len, const char *name)
{
	errno = 0;
	if (len % 8 != 0)
		fail("%s: a read gave %zu bytes", name, len);
	for (size_t i = 0; i < len / 8; i++)
		if (words[i] != 0 && (words[i] & WORD_MASK) != WORD_MARK)
			fail("%s has %016llx, which nobody wrote", name, (unsigned long long)words[i]);
}

static inline bool is_regular(int fd, const char *name)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		fail("fstat %s", name);
	return S_ISREG(st.st_mode);
}

#endif
