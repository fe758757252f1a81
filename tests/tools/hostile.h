/*
 * The frame of hostile_data.c and hostile_names.c: HOSTILE SERVED NATIVE does what a program without rights may try on files,
 * all of it twice: in the directory SERVED of a mount, and in NATIVE of the backing directory, on files made alike. Prints each
 * attempt whose result differs (what it returned, or its errno's name), and how many there were; whoever runs it knows which
 * may differ. Status 1 if not the same was tried on both sides, 2 if it could not be tried. The includer defines attempts[].
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_BYTES  100000L
#define GIB         (1L << 30)
#define FAR         INT64_MAX
#define AREA_BYTES  (4L * GIB + 65536) /* reserved, not used: a length has to lie somewhere */
#define RESULTS_MAX 8192

static int fd, fd_from; /* the file, open for both; another */
static char path[4200], dir[4100];
static char *area;
static void *volatile nowhere = (void *)1;

/* What came of it, on the first side and then on the second. */
static struct {
	char name[80];
	long value;
} first[RESULTS_MAX];
static int n_first, n_second, n_differ;
static bool is_second;

static const char *text_of(long value, char mem[32])
{
	if (value < 0)
		snprintf(mem, 32, "%s", strerrorname_np((int)-value));
	else
		snprintf(mem, 32, "%ld", value);
	return mem;
}

__attribute__((format(printf, 2, 3))) static void note(long result, const char *fmt, ...)
{
	char name[80], a[32], b[32];
	long value = result < 0 ? -errno : result;
	va_list args;
	va_start(args, fmt);
	vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	if (!is_second) {
		if (n_first < RESULTS_MAX) {
			snprintf(first[n_first].name, sizeof(first[n_first].name), "%s", name);
			first[n_first++].value = value;
		}
		return;
	}
	if (n_second >= n_first || strcmp(first[n_second].name, name) != 0) {
		printf("%s: tried on one side only\n", name);
		n_differ++;
		return;
	}
	long on_mount = first[n_second++].value;
	if (on_mount == value)
		return;
	printf("%s: mount %s, backing %s\n", name, text_of(on_mount, a), text_of(value, b));
	n_differ++;
}

#define EACH(i, table) for (size_t i = 0; i < sizeof(table) / sizeof((table)[0]); i++)

/* What is tried, in this order; ends with NULL. */
extern void (*const attempts[])(void);

static int make(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int made = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
	if (made < 0 || write(made, area, FILE_BYTES) != FILE_BYTES) {
		perror(path);
		exit(2);
	}
	return made;
}

static void try_all(const char *directory)
{
	memset(area, 0, FILE_BYTES);
	snprintf(dir, sizeof(dir), "%s", directory);
	fd_from = make("from");
	fd = make("file");
	for (size_t i = 0; attempts[i]; i++)
		attempts[i]();
	close(fd);
	close(fd_from);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	area = mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGIO, SIG_IGN);
	try_all(argv[1]);
	is_second = true;
	try_all(argv[2]);
	printf("%d tried, %d differ\n", n_second, n_differ);
	return n_second == n_first ? 0 : 1;
}
