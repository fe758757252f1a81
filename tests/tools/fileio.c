/*
 * fileio STEP...: one process that opens, reads, writes, maps and checks files step by step; each STEP is one argument, and
 * the first that does not do what it should ends the program with its number, what was wrong, and status 1.
 *
 *   fileio 'open A file rdwr,direct' 'w A 0 4K 1' 'open B file rdonly' 'r B 0 4K 1' '!EINVAL w A 1 511 1'
 *
 *   open A PATH FLAGS,...     close A        setfl A FLAGS,... (or 0)
 *   w A OFF LEN SEED          pwrite of the pattern (pattern.h); SEED 0: zeros
 *   w A OFF LEN SEED HOW      the same by pwritev2 with RWF_SYNC or RWF_DSYNC, HOW being sync or dsync
 *   wv A OFF LEN SEED         the same in one pwritev of odd pieces          a A OFF LEN SEED   write(2), meant for OFF
 *   r A OFF LEN SEED          pread, must be all there and the pattern       until A OFF LEN SEED   r, tried for 10 s
 *   r A OFF LEN SEED N        the same where the file ends N bytes on        eof A OFF              pread there gives nothing
 *   size A N
 *   map A LEN shared|private  ms A OFF LEN SEED: store    mr A OFF LEN SEED: check    msync A    unmap A
 *   trunc A N   fsync A   fdatasync A   data A OFF WANT   hole A OFF WANT (lseek)
 *   falloc A keep|punch|zero|collapse|insert|plain OFF LEN       cfr A OFF B OFF LEN (copy_file_range)
 *   sh COMMAND                a shell command in between
 *
 * '!ERRNO step' must fail so. Numbers take K and M.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

#define WORDS     8
#define VEC_PIECE 1237

static struct file {
	int fd;
	unsigned char *map;
	size_t map_len;
} files[26];

static char *word[WORDS]; /* of the present step; those it lacks are "" */
static char why[256];

static struct file *file(int i)
{
	return &files[(word[i][0] - 'A') % 26];
}

static uint64_t number(int i)
{
	char *end;
	uint64_t n = strtoull(word[i], &end, 0);
	return *end == 'K' ? n << 10 : *end == 'M' ? n << 20 : n;
}

static int flags(int i)
{
	static const struct {
		const char *name;
		int flag;
	} names[] = {{"rdonly", O_RDONLY}, {"wronly", O_WRONLY},   {"rdwr", O_RDWR},
		     {"creat", O_CREAT},   {"excl", O_EXCL},       {"trunc", O_TRUNC},
		     {"append", O_APPEND}, {"direct", O_DIRECT},   {"sync", O_SYNC},
		     {"dsync", O_DSYNC},   {"tmpfile", O_TMPFILE}, {"0", 0}};
	int all = 0;
	for (char *save, *f = strtok_r(word[i], ",", &save); f; f = strtok_r(NULL, ",", &save)) {
		bool is_known = false;
		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
			if (strcmp(f, names[n].name) == 0) {
				all |= names[n].flag;
				is_known = true;
			}
		if (!is_known) {
			fprintf(stderr, "fileio: no flag '%s'\n", f);
			exit(2);
		}
	}
	return all;
}

/* Each step: 0, -errno of its call, or 1 with `why` set. */

static int wrong_amount(ssize_t n, size_t len)
{
	snprintf(why, sizeof(why), "moved %zd of %zu bytes", n, len);
	return n < 0 ? -errno : n == (ssize_t)len ? 0 : 1;
}

static int compare(const unsigned char *mem, size_t len, uint64_t off, uint64_t seed)
{
	size_t at = pattern_differs(mem, len, off, seed);
	if (at == len)
		return 0;
	snprintf(why, sizeof(why), "byte %llu is %02x, should be %02x",
		 (unsigned long long)(off + at), mem[at], seed ? pattern_byte(off + at, seed) : 0);
	return 1;
}

static ssize_t write_pieces(int fd, unsigned char *mem, size_t len, uint64_t off)
{
	struct iovec iov[1024];
	int count = 0;
	for (size_t at = 0; at < len && count < 1024; count++) {
		size_t piece = count < 1023 && len - at > VEC_PIECE ? VEC_PIECE : len - at;
		iov[count] = (struct iovec){.iov_base = mem + at, .iov_len = piece};
		at += piece;
	}
	return pwritev(fd, iov, count, (off_t)off);
}

static ssize_t write_synced(int fd, unsigned char *mem, size_t len, uint64_t off)
{
	struct iovec iov = {.iov_base = mem, .iov_len = len};
	return pwritev2(fd, &iov, 1, (off_t)off, strcmp(word[5], "dsync") == 0 ? RWF_DSYNC : RWF_SYNC);
}

static int do_write(void)
{
	size_t len = number(3);
	unsigned char *mem = aligned_memory(len);
	pattern_fill(mem, len, number(2), number(4));
	ssize_t n = word[0][0] == 'a'   ? write(file(1)->fd, mem, len)
		    : word[0][1] == 'v' ? write_pieces(file(1)->fd, mem, len, number(2))
		    : word[5][0]        ? write_synced(file(1)->fd, mem, len, number(2))
					: pwrite(file(1)->fd, mem, len, (off_t)number(2));
	int rc = wrong_amount(n, len);
	free(mem);
	return rc;
}

static int do_read(void)
{
	size_t len = number(3);
	size_t wanted = word[5][0] ? number(5) : len;
	unsigned char *mem = aligned_memory(len);
	int rc = wrong_amount(pread(file(1)->fd, mem, len, (off_t)number(2)), wanted);
	if (rc == 0)
		rc = compare(mem, wanted, number(2), number(4));
	free(mem);
	return rc;
}

static int do_until(void)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	time_t end = time(NULL) + 10;
	int rc = do_read();
	while (rc != 0 && time(NULL) < end) {
		nanosleep(&pause, NULL);
		rc = do_read();
	}
	return rc;
}

static int do_eof(void)
{
	unsigned char *mem = aligned_memory(4096);
	int rc = wrong_amount(pread(file(1)->fd, mem, 4096, (off_t)number(2)), 0);
	free(mem);
	return rc;
}

static int do_size(void)
{
	struct stat st;
	if (fstat(file(1)->fd, &st) < 0)
		return -errno;
	snprintf(why, sizeof(why), "size is %lld", (long long)st.st_size);
	return (uint64_t)st.st_size == number(2) ? 0 : 1;
}

static int do_seek(void)
{
	off_t at = lseek(file(1)->fd, (off_t)number(2), word[0][0] == 'd' ? SEEK_DATA : SEEK_HOLE);
	snprintf(why, sizeof(why), "found %lld", (long long)at);
	return at < 0 ? -errno : (uint64_t)at == number(3) ? 0 : 1;
}

static int do_falloc(void)
{
	static const struct {
		const char *name;
		int mode;
	} modes[] = {{"plain", 0},    {"keep", 1},      {"punch", 3},    {"zero", 0x10},
		     {"collapse", 8}, {"insert", 0x20}, {"unshare", 64}, {"nonsense", 512}};
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(word[2], modes[i].name) == 0)
			return fallocate(file(1)->fd, modes[i].mode, (off_t)number(3),
					 (off_t)number(4)) < 0
				       ? -errno
				       : 0;
	return -ENOSYS;
}

static int do_copy_range(void)
{
	off_t from = (off_t)number(2), to = (off_t)number(4);
	size_t left = number(5);
	while (left > 0) {
		ssize_t n = copy_file_range(file(1)->fd, &from, file(3)->fd, &to, left, 0);
		if (n <= 0)
			return n < 0 ? -errno : wrong_amount(0, left);
		left -= (size_t)n;
	}
	return 0;
}

static int do_map(void)
{
	struct file *f = file(1);
	f->map_len = number(2);
	int how = strcmp(word[3], "shared") == 0 ? MAP_SHARED : MAP_PRIVATE;
	int prot = PROT_READ;
	if (how == MAP_PRIVATE || (fcntl(f->fd, F_GETFL) & O_ACCMODE) == O_RDWR)
		prot |= PROT_WRITE;
	f->map = mmap(NULL, f->map_len, prot, how, f->fd, 0);
	return f->map == MAP_FAILED ? -errno : 0;
}

static int do_store(void)
{
	pattern_fill(file(1)->map + number(2), number(3), number(2), number(4));
	return 0;
}

static int do_load(void)
{
	return compare(file(1)->map + number(2), number(3), number(2), number(4));
}

static int do_msync(void)
{
	return msync(file(1)->map, file(1)->map_len, MS_SYNC) < 0 ? -errno : 0;
}

static int do_unmap(void)
{
	return munmap(file(1)->map, file(1)->map_len) < 0 ? -errno : 0;
}

static int do_open(void)
{
	int fd = open(word[2], flags(3), 0644);
	file(1)->fd = fd;
	return fd < 0 ? -errno : 0;
}

static int do_close(void)
{
	return close(file(1)->fd) < 0 ? -errno : 0;
}

static int do_setfl(void)
{
	return fcntl(file(1)->fd, F_SETFL, flags(2)) < 0 ? -errno : 0;
}

static int do_trunc(void)
{
	return ftruncate(file(1)->fd, (off_t)number(2)) < 0 ? -errno : 0;
}

static int do_fsync(void)
{
	return fsync(file(1)->fd) < 0 ? -errno : 0;
}

static int do_fdatasync(void)
{
	return fdatasync(file(1)->fd) < 0 ? -errno : 0;
}

static int step(char *text)
{
	static const struct {
		const char *name;
		int (*carry_out)(void);
	} steps[] = {
		{"open", do_open},      {"close", do_close}, {"setfl", do_setfl},
		{"w", do_write},        {"wv", do_write},    {"a", do_write},
		{"r", do_read},         {"until", do_until}, {"eof", do_eof},
		{"size", do_size},      {"map", do_map},     {"ms", do_store},
		{"mr", do_load},        {"msync", do_msync}, {"unmap", do_unmap},
		{"trunc", do_trunc},    {"fsync", do_fsync}, {"fdatasync", do_fdatasync},
		{"data", do_seek},      {"hole", do_seek},   {"falloc", do_falloc},
		{"cfr", do_copy_range},
	};
	static char none[1];
	char *save, *next = strtok_r(text, " ", &save);
	for (int i = 0; i < WORDS; i++, next = next ? strtok_r(NULL, " ", &save) : NULL)
		word[i] = next ? next : none;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (strcmp(word[0], steps[i].name) == 0)
			return steps[i].carry_out();
	fprintf(stderr, "fileio: no step '%s'\n", word[0]);
	exit(2);
}

/* One argument: 0 if it did what it should. */
static int carry_out(int i, const char *argument)
{
	static char text[8192]; /* word[] points into it */
	char wanted[32] = "";
	int skip = 0;
	if (sscanf(argument, "!%31s %n", wanted, &skip) < 1)
		skip = 0;
	snprintf(text, sizeof(text), "%s", argument + skip);
	why[0] = 0;
	int rc = strncmp(text, "sh ", 3) == 0 ? system(text + 3) != 0 : step(text);
	const char *got = rc < 0 ? strerrorname_np(-rc) : "0";
	if (wanted[0] ? rc < 0 && strcmp(got, wanted) == 0 : rc == 0)
		return 0;
	fprintf(stderr, "fileio: step %d: %s: %s\n", i, argument, rc < 0 ? got : why);
	return 1;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (carry_out(i, argv[i]) != 0)
			return 1;
	return 0;
}
