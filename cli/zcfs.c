/*
 * zcfs: finds the subcommand and calls it. Owns what all of them share: messages, option errors, where the
 * daemon is. Knows no command by name but mount, which mount(8) calls under other names.
 */
#include "cli.h"

#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

static const struct command commands[] = {
#define COMMAND(name) {#name, cmd_##name, cmd_##name##_summary},
#include "commands.def"
#undef COMMAND
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

void cli_error(const char *cmd, const char *fmt, ...)
{
	char AUTO_FREE *text = NULL;
	va_list args;
	va_start(args, fmt);
	int len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0) {
		text = NULL;
		fputs("zcfs: out of memory\n", stderr);
		return;
	}
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	if (cmd)
		fprintf(stderr, "zcfs %s: %s\n", cmd, text);
	else
		fprintf(stderr, "zcfs: %s\n", text);
}

int cli_getopt(const char *cmd, int argc, char **argv, const char *shorts, const struct option *longs)
{
	opterr = 0;
	int opt = getopt_long(argc, argv, shorts, longs, NULL);
	if (opt == ':') {
		cli_error(cmd, "%s needs an argument: 'zcfs %s --help' shows which",
			  argv[optind - 1], cmd);
		return '?';
	}
	if (opt == '?' && optopt > 0 && optopt < 0x7f)
		cli_error(cmd, "unknown option -%c: 'zcfs %s --help' lists them", optopt, cmd);
	else if (opt == '?')
		cli_error(cmd, "unknown option %s: 'zcfs %s --help' lists them", argv[optind - 1], cmd);
	return opt;
}

/* $PATH's first executable zcfsd. */
static int find_in_path(char out[PATH_MAX])
{
	const char *dir = getenv("PATH");
	while (dir && *dir) {
		size_t len = strcspn(dir, ":");
		int n = snprintf(out, PATH_MAX, "%.*s/zcfsd", (int)len, dir);
		if (len > 0 && n > 0 && n < PATH_MAX && access(out, X_OK) == 0)
			return 0;
		dir += len + (dir[len] == ':');
	}
	return -ENOENT;
}

int cli_find_daemon(char out[PATH_MAX])
{
	char exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (len > 0) {
		exe[len] = '\0';
		char *slash = strrchr(exe, '/');
		if (slash)
			*slash = '\0';
		int n = snprintf(out, PATH_MAX, "%s/../fs/zcfsd", exe);
		if (n > 0 && n < PATH_MAX && access(out, X_OK) == 0)
			return 0;
	}
	static const char installed[] = ZCFS_LIBEXECDIR "/zcfsd";
	memcpy(out, installed, sizeof(installed));
	return access(out, X_OK) == 0 ? 0 : find_in_path(out);
}

static void print_usage(FILE *out)
{
	fputs("usage: zcfs COMMAND [ARGUMENTS]\n"
	      "Mounts a directory through FUSE and shows how every byte travels.\n\n",
	      out);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fputs("\n'zcfs COMMAND --help' says more; zcfs --version prints the version.\n"
	      "Try: zcfs doctor DIRECTORY, then zcfs mount DIRECTORY MOUNTPOINT\n",
	      out);
}

static int run_command(int argc, char **argv)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(argv[0], commands[i].name) == 0)
			return commands[i].run(argc, argv);
	return -1;
}

/* `zcfs help COMMAND` is `zcfs COMMAND --help`. */
static int run_help(int argc, char **argv)
{
	char help[] = "--help";
	if (argc < 2) {
		print_usage(stdout);
		return STATUS_OK;
	}
	char *words[] = {argv[1], help, NULL};
	int status = run_command(2, words);
	if (status >= 0)
		return status;
	cli_error(NULL, "unknown command '%s': 'zcfs --help' lists them", argv[1]);
	return STATUS_BAD_INPUT;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* mount.fuse3 calls a filesystem's program as `zcfs BACKING MOUNTPOINT -o OPTIONS`. */
static bool is_mount_form(int argc, char **argv)
{
	struct stat st;
	if (argc < 3 || argv[1][0] == '-')
		return false;
	return strchr(argv[1], '/') || (stat(argv[1], &st) == 0 && S_ISDIR(st.st_mode));
}

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, "");
	const char *name = argc > 0 ? base_name(argv[0]) : "zcfs";
	if (strcmp(name, "mount.fuse.zcfs") == 0 || strcmp(name, "mount.zcfs") == 0)
		return mount_as_helper(argc, argv, true);
	if (argc < 2) {
		print_usage(stderr);
		return STATUS_BAD_INPUT;
	}
	const char *word = argv[1];
	if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return run_help(argc - 1, argv + 1);
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		puts("zcfs " ZCFS_CLI_VERSION);
		return STATUS_OK;
	}
	int status = run_command(argc - 1, argv + 1);
	if (status >= 0)
		return status;
	if (is_mount_form(argc, argv))
		return mount_as_helper(argc, argv, false);
	cli_error(NULL, "unknown %s '%s': 'zcfs --help' lists the commands",
		  word[0] == '-' ? "option" : "command", word);
	return STATUS_BAD_INPUT;
}
