#!/usr/bin/env bats
# The command itself: finding subcommands, help, refusing what it does not know.
load ../helper

commands() { sed -n 's/^commands = \[\(.*\)\]/\1/p' "$ZCFS_SRC/meson.build" | tr -d "',"; }

@test "without arguments it prints its usage on stderr and fails" {
	run --separate-stderr zcfs
	[ "$status" -eq 2 ]
	[ -z "$output" ]
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == 'usage: zcfs '* ]]
}

@test "help lists every command with its summary" {
	run zcfs --help
	[ "$status" -eq 0 ]
	local name
	for name in $(commands); do
		grep -qE "^  $name +[a-z]+ " <<<"$output"
	done
	[ "$(zcfs help)" = "$output" ]
}

@test "every command has a help, by --help, -h and zcfs help COMMAND" {
	local name help
	for name in $(commands); do
		help=$(zcfs "$name" --help)
		[[ $help == "usage: zcfs $name"* ]]
		[ "$(zcfs "$name" -h)" = "$help" ]
		[ "$(zcfs help "$name")" = "$help" ]
	done
}

@test "the version is meson's" {
	run zcfs --version
	[ "$status" -eq 0 ]
	[[ $output =~ ^zcfs\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	grep -q "version: '${output#zcfs }'" "$ZCFS_SRC/meson.build"
}

@test "unknown commands and options are refused" {
	fails_with 2 "zcfs: unknown command 'mout'*" zcfs mout
	fails_with 2 "zcfs: unknown command 'mout'*" zcfs mout a b
	fails_with 2 "zcfs: unknown command 'mout'*" zcfs help mout
	fails_with 2 "zcfs: unknown option '--nonsense'*" zcfs --nonsense
	local name
	for name in $(commands); do
		fails_with 2 "zcfs $name: unknown option --nonsense: *" zcfs "$name" --nonsense
		fails_with 2 "zcfs $name: unknown option -X: *" zcfs "$name" -X
	done
}

@test "a message stays one line whatever the path" {
	fails_with 2 "zcfs stat: *a?b*" zcfs stat $'/nonexistent/a\nb'
	fails_with 2 "zcfs stat: *a?b*" zcfs stat $'/nonexistent/a\eb'
}
