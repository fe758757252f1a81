/*
 * zcfs reset: zeroes the ledger of files, or of a whole mount.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "control.h"

const char cmd_reset_summary[] = "zero the ledger of files, or of a mount";

static void print_help(void)
{
	puts("usage: zcfs reset PATH...\n"
	     "Zeroes the counters of each PATH; on a mount's root, those of every file.\n\n"
	     "  -h, --help  this text");
}

static int reset_path(const char *path)
{
	int AUTO_FD fd = open(path, O_PATH | O_CLOEXEC);
	int err = fd < 0 ? -errno : control_reset(fd);
	return err ? control_complain("reset", path, err) : STATUS_OK;
}

int cmd_reset(int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	int worst = STATUS_OK;
	for (int opt; (opt = cli_getopt("reset", argc, argv, ":h", longs)) != -1;) {
		if (opt != 'h')
			return STATUS_BAD_INPUT;
		print_help();
		return STATUS_OK;
	}
	if (optind == argc) {
		cli_error("reset", "it takes at least one PATH: 'zcfs reset --help' shows how");
		return STATUS_BAD_INPUT;
	}
	for (int i = optind; i < argc; i++) {
		int status = reset_path(argv[i]);
		worst = status > worst ? status : worst;
	}
	return worst;
}
