/*
 * What the subcommands share: the table of commands, one-line messages, exit statuses. A command's file
 * cmd_<name>.c exports cmd_<name>() and cmd_<name>_summary; zcfs.c finds both by the generated rows.
 */
#ifndef ZCFS_CLI_H
#define ZCFS_CLI_H

#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define ZCFS_CLI_VERSION "0.1.0"

/* Exit statuses, 0 is success. */
enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_BAD_INPUT = 2 };

/* argv[0] is the command's name. Returns the exit status. */
#define COMMAND(name)                          \
	int cmd_##name(int argc, char **argv); \
	extern const char cmd_##name##_summary[];
#include "commands.def"
#undef COMMAND

/*
 * `zcfs mount` as mount(8) and mount.fuse3 call it: operands first, -n -s -v -r -w -N -t accepted.
 * is_mount8: called as mount.fuse.zcfs, where -f is "fake".
 */
int mount_as_helper(int argc, char **argv, bool is_mount8);

/* One line on stderr: "zcfs CMD: ...". Control characters in it (from a path) become '?'. */
void cli_error(const char *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * getopt_long() whose complaints are ours: on an unknown option or a missing argument it prints one line
 * and returns '?'. shorts begins with ':'. -1 at the end, as getopt.
 */
int cli_getopt(const char *cmd, int argc, char **argv, const char *shorts, const struct option *longs);

/*
 * The daemon to start: ../fs/zcfsd from this program in a build tree, else the installed one, else the first
 * in PATH. Writes its path into out. 0, or -ENOENT.
 */
int cli_find_daemon(char out[PATH_MAX]) __attribute__((warn_unused_result));

#endif
