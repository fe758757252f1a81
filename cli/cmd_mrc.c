/*
 * zcfs mrc: what LRU pools of other sizes would hit, as a table and a plot, as JSON, and as an SVG. Owns the table and the
 * words; the plot is plot.c's, the SVG svg.c's.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "control.h"
#include "curve.h"
#include "fs/wire.h"
#include "json.h"
#include "plot.h"
#include "svg.h"
#include "table.h"

const char cmd_mrc_summary[] = "show what a buffer pool of any size would hit";

static void print_help(void)
{
	puts("usage: zcfs mrc [--json] [--svg FILE] MOUNTPOINT|FILE\n"
	     "Shows the miss-ratio curve: which part of all references to pages an LRU buffer pool of any\n"
	     "size would have hit, of the whole mount or of one file. It is estimated from a sample of the\n"
	     "pages of every READ and WRITE that reached the daemon since the mount, or since `zcfs reset`,\n"
	     "whatever the data path. What the kernel's page cache answered does not reach the daemon.\n"
	     "Only the most active files have a curve of their own.\n\n"
	     "  -j, --json      one JSON object: {\"file\", \"mrc\": {\"points\": [[bytes, hit_ratio], ...], ...}}\n"
	     "  -s, --svg FILE  write the plot to FILE as well, as an SVG\n"
	     "  -h, --help      this text");
}

/* Why the file has no curve, err being what asking for it gave. The exit status. */
static int complain(const char *path, int fd, char *buf, int err)
{
	struct control_ledger ledger;
	if (err != -ENODATA)
		return control_complain("mrc", path, err);
	ssize_t len = control_get(fd, ZCFS_XATTR_JSON, buf);
	err = len < 0 ? (int)len : control_parse(buf, &ledger);
	if (err)
		return control_complain("mrc", path, err);
	if (strcmp(ledger.title, "directory") == 0) {
		cli_error("mrc", "%s is a directory: it takes a file, or the root of the mount", path);
		return STATUS_BAD_INPUT;
	}
	if (strcmp(ledger.title, "mount") == 0)
		cli_error("mrc", "%s: nothing has been read or written through the mount yet", path);
	else
		cli_error("mrc",
			  "%s has no curve of its own, only the most active files have: "
			  "'zcfs mrc MOUNTPOINT' shows the whole mount's",
			  path);
	return STATUS_FAILED;
}

/* A curve as the daemon wrote it, and read. */
struct answer {
	char json[CONTROL_VALUE_BYTES];
	struct curve curve;
};

/* The curve of path. STATUS_OK, or it has been told why not. */
static int get_curve(const char *path, struct answer *out)
{
	int AUTO_FD fd = open(path, O_PATH | O_CLOEXEC);
	ssize_t len = fd < 0 ? -errno : control_get(fd, ZCFS_XATTR_MRC, out->json);
	if (len < 0)
		return complain(path, fd, out->json, (int)len);
	int err = curve_parse(out->json, &out->curve);
	if (!err)
		return STATUS_OK;
	cli_error("mrc", "%s: its daemon answers with something else than a curve: is it another version?",
		  path);
	return STATUS_FAILED;
}

/* ---- the table ---- */

static void print_row(const struct curve *c, double bytes, const char *note)
{
	char size[32];
	units_format_size((uint64_t)bytes, size, sizeof(size));
	printf("%10s  %7.1f %%%s%s\n", size, 100 * curve_at(c, bytes), *note ? "  " : "", note);
}

/* Doublings, the pool's size now among them, and the size that hits all there is to hit. */
static void print_table(const struct curve *c)
{
	double pool = (double)c->pool_bytes, most = curve_most(c);
	int power = (int)ceil(log2(curve_least(c)) - 1e-9);
	bool has_now = pool >= curve_least(c) && pool < most;
	puts(" A POOL OF  WOULD HIT");
	for (; exp2(power) < most; power++) {
		double next = exp2(power);
		if (has_now && pool <= next) {
			print_row(c, pool, "the pool now");
			has_now = false;
		}
		if (pool != next)
			print_row(c, next, "");
	}
	if (has_now)
		print_row(c, pool, "the pool now");
	print_row(c, most,
		  pool < most ? "a larger one hits no more" : "the pool now is larger, and hits no more");
}

static int print_curve(const struct curve *c, const char *path)
{
	char page[32], distinct[32];
	struct table head = {.columns = 1}; /* for what a terminal would act on in the path */
	int err = table_add(&head, path);
	if (!err)
		table_print(&head);
	table_fini(&head);
	if (err)
		return err;
	printf("%" PRIu64 " references to %s of pages of %s, estimated from %.3g %% of the pages\n\n",
	       c->references, units_format_size(c->distinct_bytes, distinct, sizeof(distinct)),
	       units_format_size(c->page_bytes, page, sizeof(page)), 100 * c->rate);
	print_table(c);
	if (c->count > 1)
		putchar('\n');
	return plot_print(c, plot_columns());
}

/* ---- JSON and SVG ---- */

static void print_json(const char *path, const char *json)
{
	fputs("{\"file\": ", stdout);
	json_write_string(stdout, path);
	if (!json_is_utf8(path)) {
		fputs(", \"file_hex\": \"", stdout);
		for (const char *c = path; *c; c++)
			printf("%02x", (unsigned)(unsigned char)*c);
		putchar('"');
	}
	printf(", \"mrc\": %.*s}\n", (int)(strrchr(json, '}') + 1 - json), json);
}

static int write_svg(const char *file, const struct curve *c, const char *path)
{
	FILE *out = fopen(file, "we");
	if (!out) {
		int err = errno;
		cli_error("mrc", "cannot write %s: %s", file, strerror(err));
		bool is_input = err == ENOENT || err == ENOTDIR || err == EISDIR ||
				err == ENAMETOOLONG || err == ELOOP;
		return is_input ? STATUS_BAD_INPUT : STATUS_FAILED;
	}
	svg_write(out, c, path);
	bool is_written = fflush(out) == 0 && !ferror(out);
	int err = errno;
	if (fclose(out) != 0 && is_written) {
		is_written = false;
		err = errno;
	}
	if (is_written)
		return STATUS_OK;
	cli_error("mrc", "cannot write %s: %s", file, strerror(err));
	return STATUS_FAILED;
}

static int show(const char *path, const char *svg, bool is_json, struct answer *a)
{
	int status = get_curve(path, a), err = 0;
	if (status == STATUS_OK && svg)
		status = write_svg(svg, &a->curve, path);
	if (status != STATUS_OK)
		return status;
	if (is_json)
		print_json(path, a->json);
	else
		err = print_curve(&a->curve, path);
	if (!err && (fflush(stdout) || ferror(stdout)))
		err = -errno;
	if (!err)
		return STATUS_OK;
	cli_error("mrc", "cannot write the result: %s", strerror(-err));
	return STATUS_FAILED;
}

int cmd_mrc(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{"svg", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *svg = NULL;
	bool is_json = false;
	for (int opt; (opt = cli_getopt("mrc", argc, argv, ":js:h", longs)) != -1;) {
		switch (opt) {
		case 'j':
			is_json = true;
			break;
		case 's':
			svg = optarg;
			break;
		case 'h':
			print_help();
			return STATUS_OK;
		default:
			return STATUS_BAD_INPUT;
		}
	}
	if (argc - optind != 1) {
		cli_error("mrc", "it takes one MOUNTPOINT or FILE: 'zcfs mrc --help' shows how");
		return STATUS_BAD_INPUT;
	}
	struct answer *a = calloc(1, sizeof(*a));
	if (!a) {
		cli_error("mrc", "out of memory");
		return STATUS_FAILED;
	}
	int status = show(argv[optind], svg, is_json, a);
	free(a);
	return status;
}
