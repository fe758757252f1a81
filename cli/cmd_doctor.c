/*
 * zcfs doctor: says what this machine and a backing directory allow, then tries a mount. Owns the order and the
 * verdict: the probes explain, the trial alone decides.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/auto.h"
#include "doctor.h"

const char cmd_doctor_summary[] = "say whether a mount would work here, and what would be better";

/* Text behind the 26 columns of verdict and subject; on a terminal broken at its width, for a pipe one line. */
static void print_text(const char *text)
{
	enum { INDENT = 26, WIDTH_MIN = 60 };
	struct winsize size;
	bool is_wide = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
		       size.ws_col >= WIDTH_MIN;
	size_t room = is_wide ? (size_t)size.ws_col - INDENT : SIZE_MAX;
	while (strlen(text) > room) {
		size_t len = room;
		while (len > 0 && text[len] != ' ')
			len--;
		if (len == 0)
			break;
		printf("%.*s\n%*s", (int)len, text, INDENT, "");
		text += len + 1;
	}
	puts(text);
}

void doctor_say(enum doctor_verdict verdict, const char *subject, const char *fmt, ...)
{
	static const char *const names[] = {
		[DOCTOR_OK] = "ok",
		[DOCTOR_DEGRADED] = "degraded",
		[DOCTOR_MISSING] = "missing",
		[DOCTOR_SKIPPED] = "skipped",
	};
	char AUTO_FREE *text = NULL;
	va_list args;
	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	printf("%-9s %-15s ", names[verdict], subject);
	print_text(text ? text : "(out of memory)");
	fflush(stdout);
}

static void print_help(void)
{
	puts("usage: zcfs doctor [BACKING]\n"
	     "Probes the kernel, libfuse, privileges and limits, and the filesystem of the directory\n"
	     "BACKING; then mounts BACKING (or a temporary directory) read-only, reads a file and\n"
	     "unmounts. Changes nothing. A line each: ok, degraded (works, with less), missing or skipped,\n"
	     "what it means and how to mend it. Exit status 0 if a mount works, 1 if not.\n\n"
	     "  -h, --help  this text");
}

/* 0, or an exit status with the reason told. */
static int check_backing(const char *backing)
{
	int AUTO_FD fd = open(backing, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return STATUS_OK;
	cli_error("doctor", "cannot open the directory %s: %s: name one that exists and can be read",
		  backing, strerror(errno));
	return STATUS_BAD_INPUT;
}

static int examine(const char *backing)
{
	probe_system();
	probe_user();
	if (backing)
		probe_backing(backing);
	else
		doctor_say(DOCTOR_SKIPPED, "backing",
			   "no directory given: 'zcfs doctor BACKING' looks at its filesystem");
	int err = trial_mount(backing);
	puts(err ? "A mount does not work here: mend what is missing." : "A mount works here.");
	return err ? STATUS_FAILED : STATUS_OK;
}

int cmd_doctor(int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	for (int opt; (opt = cli_getopt("doctor", argc, argv, ":h", longs)) != -1;) {
		if (opt != 'h')
			return STATUS_BAD_INPUT;
		print_help();
		return STATUS_OK;
	}
	if (argc - optind > 1) {
		cli_error("doctor", "it takes one BACKING at most: 'zcfs doctor --help' shows how");
		return STATUS_BAD_INPUT;
	}
	const char *backing = argv[optind];
	int status = backing ? check_backing(backing) : STATUS_OK;
	return status ? status : examine(backing);
}
