# shellcheck shell=bash
# What packaging/build, quickstart and check share: packages, libfuse's source, one build. Sourced.
# Rule: nothing here downloads or installs when everything is there already.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
me=packaging/$(basename "$0")
subprojects=$root/packaging/subprojects
fuse_tarball=fuse-3.18.3.tar.gz
fuse_min=3.18

# shellcheck disable=SC2034 # the scripts that source this use it
build_packages=(gcc libc6-dev meson ninja-build pkgconf fuse3 liblzma-dev libxxhash-dev libzstd-dev liburing-dev
	libnuma-dev)

say() { printf '%s: %s\n' "$me" "$*"; }

# die STATUS MESSAGE: one line to the person, and the end.
die() {
	local status=$1
	shift
	printf '%s: %s\n' "$me" "$*" >&2
	exit "$status"
}

# A private directory that the script's own exit trap removes: scratch_dir is its name.
make_scratch_dir() {
	scratch_dir=$(mktemp -d "${TMPDIR:-/tmp}/zcfs-XXXXXXXX") ||
		die 2 "cannot make a temporary directory in ${TMPDIR:-/tmp}; set TMPDIR to one that can be written"
	chmod 1777 "$scratch_dir" # like /tmp: apt reads it as another user, tests write there as one
}

remove_scratch_dir() {
	[[ -z ${scratch_dir:-} ]] || rm -rf --one-file-system -- "$scratch_dir"
}

# missing_packages NAME...: those that are not installed, one a line.
missing_packages() {
	local installed
	# dpkg-query fails where it knows one of them not at all
	installed=" $({ dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null || true; } |
		sed -n 's/^.i. *//p' | tr '\n' ' ')"
	local package
	for package in "$@"; do
		[[ $installed == *" $package "* ]] || printf '%s\n' "$package"
	done
}

as_root() {
	if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

apt_install() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=120 \
		install --no-install-recommends "$@"
}

# install_packages NAME...: installs what is missing; silent and quick when nothing is.
install_packages() {
	command -v dpkg-query >/dev/null || {
		say "no dpkg here: please see yourself that you have $*"
		return
	}
	local missing
	mapfile -t missing < <(missing_packages "$@")
	((${#missing[@]})) || return 0
	if ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
		die 2 "missing packages, and neither root nor sudo without a password to install them: ${missing[*]}"
	fi
	say "installing ${#missing[@]} packages: ${missing[*]}"
	local log=$scratch_dir/apt.log
	apt_install "${missing[@]}" >"$log" 2>&1 && return
	{ as_root apt-get -q update && apt_install "${missing[@]}"; } >"$log" 2>&1 && return
	tail -n 5 "$log" >&2
	die 2 "apt-get could not install ${missing[*]} (its last lines stand above)"
}

# The address from which apt has Debian itself (not its security updates).
debian_mirror() {
	# shellcheck disable=SC2016 # apt expands these
	apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' |
		awk '$1 !~ /security/ && ($2 == "Debian" || NF == 1) { print $1; exit }'
}

# fetch_fuse_from SUITE: libfuse's release tarball out of Debian's source package, into scratch_dir.
fetch_fuse_from() {
	local suite=$1 dir=$scratch_dir/apt-$1 mirror keyring=/usr/share/keyrings/debian-archive-keyring
	mirror=$(debian_mirror)
	[[ -n $mirror ]] || return 1
	[[ -e $keyring.gpg ]] && keyring+=.gpg || keyring+=.pgp
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	printf 'deb-src [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" >"$dir/source.list"
	# A mirror may be frozen: what is trusted is the tarball's own checksum, not the list's age.
	local apt=(apt-get -q -o Acquire::Check-Valid-Until=false
		-o "Dir::Etc::SourceList=$dir/source.list" -o Dir::Etc::SourceParts=/dev/null
		-o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache" -o APT::Sandbox::User=root)
	cd "$dir" && "${apt[@]}" update && "${apt[@]}" source --download-only fuse3
}

# Puts the tarball into meson's package cache if its checksum is the wrap's.
keep_fuse_tarball() {
	local sum file
	sum=$(sed -n 's/^source_hash = //p' "$subprojects/fuse3.wrap")
	for file in "$scratch_dir"/apt-*/fuse3_*.orig.tar.gz; do
		[[ -e $file ]] || continue
		sha256sum --check --status <<<"$sum  $file" || continue
		mkdir -p "$subprojects/packagecache"
		cp "$file" "$subprojects/packagecache/$fuse_tarball.$$"
		mv "$subprojects/packagecache/$fuse_tarball.$$" "$subprojects/packagecache/$fuse_tarball"
		return 0
	done
	return 1
}

has_fuse() {
	pkg-config --atleast-version="$fuse_min" fuse3 ||
		[[ -e $subprojects/${fuse_tarball%.tar.gz}/meson.build ]] ||
		[[ -e $subprojects/packagecache/$fuse_tarball ]]
}

# Sees that meson will find a libfuse that is new enough: the system's, or the pinned source.
provide_fuse() {
	has_fuse && return
	local candidate suite
	candidate=$(apt-cache policy libfuse3-dev 2>/dev/null | sed -n 's/^ *Candidate: //p')
	if [[ -n $candidate ]] && dpkg --compare-versions "$candidate" ge "$fuse_min"; then
		install_packages libfuse3-dev
		return
	fi
	say "the system's libfuse is older than $fuse_min: getting the source of ${fuse_tarball%.tar.gz} by apt"
	for suite in forky sid trixie-backports; do
		(fetch_fuse_from "$suite") >"$scratch_dir/fuse-$suite.log" 2>&1 || continue
		keep_fuse_tarball && return
	done
	say "apt has no such source: meson will download it"
}

# configure DIR LOG [MESON OPTION]...: once for each DIR.
configure() {
	local dir=$1 log=$2
	shift 2
	[[ -e $dir/build.ninja ]] && return
	if [[ -e $dir && ! -e $dir/meson-private ]] && [[ -n $(ls -A "$dir" 2>/dev/null) ]]; then
		die 2 "$dir is there and is not a build directory; name another or remove it"
	fi
	mkdir -p "$dir" 2>/dev/null || die 2 "cannot make the directory $dir"
	say "configuring $dir"
	if ! (cd "$root" && meson setup "$@" "$dir") >"$log" 2>&1; then
		tail -n 15 "$log" >&2
		grep -q 'WrapException\|download' "$log" &&
			say "libfuse $fuse_min or newer is missing and could not be downloaded: put $fuse_tarball into packaging/subprojects/packagecache" >&2
		return 1
	fi
}

# build_into DIR [MESON OPTION]...: configures if need be and compiles; 1 if that failed, with the
# compiler's words shown and kept in DIR/build.log.
build_into() {
	local dir=$1 log=$scratch_dir/build.log status=0
	shift
	configure "$dir" "$log" "$@" || return 1
	ninja -C "$dir" -n 2>/dev/null | grep -q 'no work to do' && return
	say "building $dir"
	ninja -C "$dir" >>"$log" 2>&1 || status=1
	cp "$log" "$dir/build.log"
	if ((status)); then
		grep -A 12 -m 1 '^FAILED' "$log" >&2 || tail -n 20 "$log" >&2
		say "the build failed: all of its output is in $dir/build.log" >&2
	fi
	return "$status"
}
