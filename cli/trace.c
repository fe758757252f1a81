/*
 * Takes traces apart line by line. Nothing of a line is kept, so that a trace may be of any length.
 */
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "cli.h"
#include "decode.h"

enum { LINE_MAX_BYTES = 4096, BATCH = 4096, FIELDS_MAX = 8, RUN_MAX = 1 << 24 };

#define CAPTURE "# zcfs capture "

enum format { UNKNOWN, NUMBERS, LIS, CAPTURED };

struct reader {
	const char *cmd, *path;
	struct trace_options *options;
	struct decode *decode;
	enum format format;
	uint64_t line; /* the number of the line at hand, from 1 */
	char text[LINE_MAX_BYTES * 2]; /* read and not yet taken: from at, len bytes */
	size_t at, len;
	bool is_at_end;
	uint64_t batch[BATCH];
	size_t count;
};

/* ---- lines ---- */

static int bad_line(const struct reader *r, const char *what)
{
	cli_error(r->cmd, "%s: line %" PRIu64 ": %s", r->path, r->line, what);
	return STATUS_BAD_INPUT;
}

static int bad_read(const struct reader *r, int err)
{
	if (err == -EBADMSG)
		cli_error(r->cmd, "%s: after line %" PRIu64 ": the file %s", r->path, r->line,
			  decode_why(r->decode));
	else
		cli_error(r->cmd, "%s: cannot be read after line %" PRIu64 ": %s", r->path, r->line,
			  decode_why(r->decode));
	return err == -EBADMSG || err == -EISDIR ? STATUS_BAD_INPUT : STATUS_FAILED;
}

/* Reads on behind what is there. STATUS_OK or what went wrong, which has been said. */
static int read_on(struct reader *r)
{
	memmove(r->text, r->text + r->at, r->len);
	r->at = 0;
	ssize_t n = decode_read(r->decode, r->text + r->len, sizeof(r->text) - r->len);
	if (n < 0)
		return bad_read(r, (int)n);
	r->is_at_end = n == 0;
	r->len += (size_t)n;
	return STATUS_OK;
}

/* The next line into *line, ended by NUL, without its newline; NULL at the end. The status as above. */
static int next_line(struct reader *r, char **line)
{
	char *end;
	*line = NULL;
	while (!(end = memchr(r->text + r->at, '\n', r->len))) {
		if (r->len >= LINE_MAX_BYTES || r->is_at_end)
			break;
		int status = read_on(r);
		if (status)
			return status;
	}
	if (!end && r->len == 0)
		return STATUS_OK;
	r->line++;
	size_t len = end ? (size_t)(end - (r->text + r->at)) : r->len;
	if (len >= LINE_MAX_BYTES)
		return bad_line(r, "it is too long for any trace");
	*line = r->text + r->at;
	if (memchr(*line, '\0', len))
		return bad_line(r, "it has a NUL byte in it: is this a trace?");
	/* At the end of the last line there is room: the buffer holds two. */
	(*line)[len] = '\0';
	r->at += len + !!end;
	r->len -= len + !!end;
	return STATUS_OK;
}

/* ---- numbers ---- */

/* Splits the line in place at blanks. How many fields; more than FIELDS_MAX are not told apart. */
static size_t split(char *line, char *fields[FIELDS_MAX])
{
	static const char blanks[] = " \t\r";
	size_t n = 0;
	for (char *at = line + strspn(line, blanks); *at && n < FIELDS_MAX; n++) {
		fields[n] = at;
		at += strcspn(at, blanks);
		if (*at)
			*at++ = '\0';
		at += strspn(at, blanks);
	}
	return n;
}

static bool parse_numbers(char *const *fields, size_t count, uint64_t *out)
{
	for (size_t i = 0; i < count; i++)
		if (units_parse_uint(fields[i], UINT64_MAX, &out[i]))
			return false;
	return true;
}

/* ---- pages ---- */

static int flush(struct reader *r)
{
	int err = r->options->take(r->options->ctx, r->batch, r->count);
	r->count = 0;
	if (err)
		cli_error(r->cmd, "%s: line %" PRIu64 ": %s", r->path, r->line, strerror(-err));
	return err ? STATUS_FAILED : STATUS_OK;
}

/* The finalizer of splitmix64: one to one, and every bit hangs on every other. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
	x = (x ^ x >> 27) * 0x94d049bb133111ebU;
	return x ^ x >> 31;
}

/* `count` pages from `start`, of a file where there are files. */
static int take_run(struct reader *r, uint64_t file, uint64_t start, uint64_t count)
{
	if (count > RUN_MAX)
		return bad_line(r, "more than 16777216 pages in one request");
	if (count > 0 && start > UINT64_MAX - (count - 1))
		return bad_line(r, "the request ends beyond page 2^64");
	uint64_t salt = r->format == CAPTURED ? mix(file + 0x9e3779b97f4a7c15U) : 0;
	for (uint64_t i = 0; i < count; i++) {
		if (r->count == BATCH && flush(r))
			return STATUS_FAILED;
		r->batch[r->count++] = r->format == CAPTURED ? mix(start + i + salt) : start + i;
	}
	return STATUS_OK;
}

/* ---- the formats ---- */

static int take_captured(struct reader *r, char **fields, size_t count)
{
	uint64_t n[3];
	bool is_rw = count == 4 && (strcmp(fields[0], "R") == 0 || strcmp(fields[0], "W") == 0);
	if (!is_rw || !parse_numbers(fields + 1, 3, n))
		return bad_line(r, "not 'R FILEID OFFSET LENGTH' or 'W FILEID OFFSET LENGTH'");
	uint64_t file = n[0], off = n[1], len = n[2], page = r->options->page_bytes;
	if (len == 0)
		return STATUS_OK;
	if (off > UINT64_MAX - (len - 1))
		return bad_line(r, "the request ends beyond byte 2^64");
	return take_run(r, file, off / page, (off + len - 1) / page - off / page + 1);
}

static int take_numbers(struct reader *r, char **fields, size_t count)
{
	uint64_t n[FIELDS_MAX];
	bool is_good = parse_numbers(fields, count, n);
	if (is_good && r->format == UNKNOWN)
		r->format = count == 1 ? NUMBERS : LIS;
	if (is_good && r->format == NUMBERS && count == 1)
		return take_run(r, 0, n[0], 1);
	if (is_good && r->format == LIS && count >= 2)
		return take_run(r, 0, n[0], n[1]);
	if (r->format == NUMBERS)
		return bad_line(r, "not one page number");
	if (r->format == LIS)
		return bad_line(r, "not 'START COUNT ...' in numbers");
	return bad_line(r, "neither a page number nor 'START COUNT ...' (captures begin with '" CAPTURE
			   "1 page_size=SIZE')");
}

static bool is_page_size(uint64_t bytes)
{
	return bytes >= 512 && bytes <= 1U << 30 && (bytes & (bytes - 1)) == 0;
}

/* The first line of a capture, behind its mark: "1 page_size=16384". */
static int take_header(struct reader *r, char *line)
{
	static const char name[] = "page_size=";
	char *fields[FIELDS_MAX];
	uint64_t bytes;
	size_t count = split(line, fields);
	if (count == 0 || strcmp(fields[0], "1") != 0)
		return bad_line(r, "a capture of a version that this zcfs does not know (it knows 1)");
	if (count < 2 || strncmp(fields[1], name, strlen(name)) != 0 ||
	    units_parse_size(fields[1] + strlen(name), &bytes) || !is_page_size(bytes))
		return bad_line(r, "no page_size=SIZE after the version, a power of two from 512 to 1G");
	r->format = CAPTURED;
	if (r->options->page_bytes == 0)
		r->options->page_bytes = bytes;
	return STATUS_OK;
}

static int take_line(struct reader *r, char *line)
{
	char *fields[FIELDS_MAX];
	if (r->format == UNKNOWN && strncmp(line, CAPTURE, strlen(CAPTURE)) == 0)
		return take_header(r, line + strlen(CAPTURE));
	if (*line == '#')
		return STATUS_OK;
	size_t count = split(line, fields);
	if (count == 0)
		return STATUS_OK;
	return r->format == CAPTURED ? take_captured(r, fields, count) : take_numbers(r, fields, count);
}

static int read_lines(struct reader *r)
{
	for (;;) {
		char *line;
		int status = next_line(r, &line);
		if (!status && !line)
			return flush(r);
		if (!status)
			status = take_line(r, line);
		if (status)
			return status;
	}
}

int trace_read(const char *cmd, const char *path, struct trace_options *options)
{
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		int err = errno;
		cli_error(cmd, "cannot open %s: %s", is_stdin ? "standard input" : path, strerror(err));
		return err == EACCES ? STATUS_FAILED : STATUS_BAD_INPUT;
	}
	struct reader *r = calloc(1, sizeof(*r));
	struct decode *decode = NULL;
	int status = STATUS_FAILED;
	if (decode_new(fd, &decode) || !r) {
		cli_error(cmd, "out of memory");
	} else {
		r->cmd = cmd;
		r->path = is_stdin ? "standard input" : path;
		r->options = options;
		r->decode = decode;
		status = read_lines(r);
	}
	decode_free(decode);
	free(r);
	return status;
}
