/*
 * zcfs mount: hands over to zcfsd, which checks, mounts and goes to the background. Owns the command line in its
 * three forms (zcfs mount, mount(8)'s helper, mount.fuse3's call) and the help made from options.def.
 */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"

const char cmd_mount_summary[] = "mount BACKING on MOUNTPOINT";

struct option_row {
	const char *name;
	const char *metavar; /* "" for a flag */
	const char *value, *least, *most; /* "" where there is none */
	const char *help;
};

static const struct option_row option_rows[] = {
#define OPTION(type, field, name, metavar, value, least, most, help) \
	{name, metavar, value, least, most, help},
#include "fs/options.def"
};

/* The words of mount(8) and FUSE that are handed on. */
static const char usual_words[] = "handed on to FUSE and the kernel: "
#define USUAL_PASS(word) word " "
#define USUAL_DROP(word)
#define USUAL_REFUSE(word)
#define USUAL(fate, word, why) USUAL_##fate(word)
#include "fs/options.def"
	;

#define OPTION_ROW_COUNT (sizeof(option_rows) / sizeof(option_rows[0]))
#define LINE_WIDTH       80
#define LABEL_WIDTH      23

/* What a command line asks for. */
struct request {
	char *options; /* all -o joined by commas; NULL if none */
	bool is_foreground;
	bool is_fake; /* mount -f: everything but the mount */
};

/* Words of text from column `at` on, broken before column 80, further lines indented. Where it ended. */
static int print_wrapped(int at, const char *text)
{
	while (*text) {
		int len = (int)strcspn(text, " ");
		if (at + 1 + len > LINE_WIDTH) {
			printf("\n%*s", LABEL_WIDTH, "");
			at = LABEL_WIDTH;
		}
		at += printf(" %.*s", len, text);
		text += len + (text[len] == ' ');
	}
	return at;
}

/* name=METAVAR help [default; least to most] */
static void print_option(const struct option_row *row)
{
	char range[96] = "";
	int at = printf("  %s%s%s", row->name, *row->metavar ? "=" : "", row->metavar);
	if (at > LABEL_WIDTH) {
		putchar('\n');
		at = 0;
	}
	printf("%*s", LABEL_WIDTH - at, "");
	at = print_wrapped(LABEL_WIDTH, row->help);
	if (*row->least)
		snprintf(range, sizeof(range), "[%s; %s to %s]", row->value, row->least, row->most);
	else if (*row->value)
		snprintf(range, sizeof(range), "[%s]", row->value);
	print_wrapped(at, range);
	putchar('\n');
}

static void request_fini(struct request *r)
{
	free(r->options);
}

#define AUTO_REQUEST __attribute__((cleanup(request_fini)))

static void print_help(void)
{
	puts("usage: zcfs mount [-f] [-o OPTIONS] BACKING MOUNTPOINT\n"
	     "Mounts the directory BACKING on the directory MOUNTPOINT (which may be BACKING itself)\n"
	     "and returns when the mount answers. In /etc/fstab the type is fuse.zcfs.\n\n"
	     "  -f, --foreground    stay in the foreground, messages on stderr; Ctrl-C unmounts\n"
	     "  -o, --options LIST  options, separated by commas; -o may be given several times\n"
	     "  -h, --help          this text\n\n"
	     "Options [default; range]. A SIZE takes K, M or G (binary), SECONDS a decimal point;\n"
	     "'\\,' is a comma within a value:");
	for (size_t i = 0; i < OPTION_ROW_COUNT; i++)
		print_option(&option_rows[i]);
	printf("  %-*s", LABEL_WIDTH - 2, "others");
	print_wrapped(LABEL_WIDTH, usual_words);
	putchar('\n');
	puts("Unmount with 'zcfs umount MOUNTPOINT'.");
}

/* Appends option text to what there is. 0 or -ENOMEM. */
static int add_options(struct request *r, const char *text)
{
	char *joined = NULL;
	if (!*text)
		return 0;
	if (asprintf(&joined, "%s%s%s", r->options ? r->options : "", r->options ? "," : "", text) < 0)
		return -ENOMEM;
	free(r->options);
	r->options = joined;
	return 0;
}

/* Becomes zcfsd. Returns only if it cannot. */
static int exec_daemon(const struct request *r, const char *backing, const char *mountpoint)
{
	char daemon[PATH_MAX];
	if (cli_find_daemon(daemon)) {
		cli_error("mount",
			  "the daemon zcfsd is neither beside this program, nor in %s, nor in PATH: "
			  "install zcfs again or build it with packaging/build",
			  ZCFS_LIBEXECDIR);
		return STATUS_FAILED;
	}
	const char *argv[8];
	int argc = 0;
	argv[argc++] = "zcfsd";
	if (r->is_foreground)
		argv[argc++] = "-f";
	if (r->options) {
		argv[argc++] = "-o";
		argv[argc++] = r->options;
	}
	argv[argc++] = "--"; /* a directory may be called -x */
	argv[argc++] = backing;
	argv[argc++] = mountpoint;
	argv[argc] = NULL;
	execv(daemon, (char *const *)argv); /* a type that predates const */
	cli_error("mount", "cannot start %s: %s", daemon, strerror(errno));
	return STATUS_FAILED;
}

/* The two operands getopt left over, and off to the daemon. */
static int start(const struct request *r, int argc, char **argv)
{
	if (argc != 2) {
		cli_error("mount",
			  "%s: it takes BACKING and MOUNTPOINT, the directory to serve and where: "
			  "'zcfs mount --help' shows how",
			  argc < 2 ? "too few arguments" : "too many arguments");
		return STATUS_BAD_INPUT;
	}
	for (int i = 0; i < 2; i++) {
		if (argv[i][0])
			continue;
		cli_error("mount", "%s is empty: name a directory", i ? "MOUNTPOINT" : "BACKING");
		return STATUS_BAD_INPUT;
	}
	return r->is_fake ? STATUS_OK : exec_daemon(r, argv[0], argv[1]);
}

static int out_of_memory(void)
{
	cli_error("mount", "out of memory");
	return STATUS_FAILED;
}

int cmd_mount(int argc, char **argv)
{
	static const struct option longs[] = {
		{"foreground", no_argument, NULL, 'f'},
		{"options", required_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct request AUTO_REQUEST r = {0};
	for (int opt; (opt = cli_getopt("mount", argc, argv, ":fo:h", longs)) != -1;) {
		switch (opt) {
		case 'f':
			r.is_foreground = true;
			break;
		case 'o':
			if (add_options(&r, optarg))
				return out_of_memory();
			break;
		case 'h':
			print_help();
			return STATUS_OK;
		default:
			return STATUS_BAD_INPUT;
		}
	}
	return start(&r, argc - optind, argv + optind);
}

int mount_as_helper(int argc, char **argv, bool is_mount8)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct request AUTO_REQUEST r = {0};
	int err = 0;
	for (int opt; (opt = cli_getopt("mount", argc, argv, ":fnsvrwo:t:N:h", longs)) != -1;) {
		switch (opt) {
		case 'f':
			r.is_fake = is_mount8;
			r.is_foreground = !is_mount8;
			break;
		case 'r':
			err = add_options(&r, "ro");
			break;
		case 'w':
			err = add_options(&r, "rw");
			break;
		case 'o':
			err = add_options(&r, optarg);
			break;
		case 'h':
			print_help();
			return STATUS_OK;
		case '?':
			return STATUS_BAD_INPUT;
		default: /* -n, -s, -v, -t TYPE, -N NAMESPACE mean nothing here */
			break;
		}
		if (err)
			return out_of_memory();
	}
	return start(&r, argc - optind, argv + optind);
}
