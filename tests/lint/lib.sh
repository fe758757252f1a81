# shellcheck shell=bash
# What the lint tests share: TAP, and the tree's files by kind. Sourced; runs in the tree's root.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
n_checks=0 n_bad=0

# check NAME COMMAND...: one TAP line; it passes if COMMAND prints nothing and returns 0.
check() {
	local name=$1 words status=0
	shift
	words=$("$@" 2>&1) || status=$?
	n_checks=$((n_checks + 1))
	if [[ -z $words && $status -eq 0 ]]; then
		printf 'ok %d - %s\n' "$n_checks" "$name"
		return
	fi
	n_bad=$((n_bad + 1))
	printf 'not ok %d - %s\n' "$n_checks" "$name"
	head -n 40 <<<"${words:-exit status $status}" | sed 's/^/# /'
}

# need TOOL: ends the test as skipped where a tool is missing.
need() {
	command -v "$1" >/dev/null && return
	printf '1..0 # SKIP no %s here (packaging/check installs it)\n' "$1"
	exit 0
}

done_checking() {
	printf '1..%d\n' "$n_checks"
	exit $((n_bad > 0))
}

# tree_files FIND-EXPRESSION...: files of ours, in git or to be; nothing built or downloaded.
tree_files() {
	find . -type d \( -name .git -o -name 'build*' -o -path ./packaging/subprojects/packagecache \
		-o -path './packaging/subprojects/*' \) -prune -o -type f \( "$@" \) -printf '%P\n' | sort
}

c_files() { tree_files -name '*.c' -o -name '*.h'; }

# is_shell FILE: by name or by first line.
is_shell() {
	local line=''
	case $1 in
	*.sh | *.bash | *.bats) return 0 ;;
	esac
	IFS= read -r line <"$1" || true
	[[ $line == '#!'*sh || $line == '#!'*bats ]]
}

shell_files() {
	local file
	tree_files ! -name '*.c' ! -name '*.h' | while IFS= read -r file; do
		if is_shell "$file"; then printf '%s\n' "$file"; fi
	done
}
