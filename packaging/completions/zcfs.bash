# shellcheck shell=bash
# Completion of zcfs(1) for bash.

# The word that is being typed, whole: bash itself breaks words at = and : as well.
_zcfs_word() {
	local line=${COMP_LINE:0:COMP_POINT}
	printf '%s' "${line##*[[:space:]]}"
}

# Replies with what of the candidates after $1 (already typed, kept) begins with $2. $3...: candidates.
_zcfs_reply() {
	local kept=$1 word=$2 whole=$1$2 candidate
	shift 2
	local broken=${whole%"${whole##*[=:]}"}
	while IFS= read -r candidate; do
		candidate=$kept$candidate
		COMPREPLY+=("${candidate#"$broken"}")
	done < <(compgen -W "$*" -- "$word")
	compopt -o nospace
}

# Options after -o: names after a comma, the words a name takes after its =.
_zcfs_options() {
	local typed=$1 kept=''
	local names='path= rule= cache= max_io= threads= attr_timeout= entry_timeout= readahead=
		list_stats ledger_files= pool_size= pool_page= pool_policy= pool_ghosts= pool_write= pool_dirty_max=
		pool_flush_interval= pool_readahead= pool_verify= xdev nfs_export ro allow_other dev nodev suid nosuid exec noexec sync
		async dirsync noatime nodiratime symfollow nosymfollow allow_root auto_unmount debug fsname= subtype=
		context= fscontext= defcontext= rootcontext='
	[[ $typed == *,* ]] && kept=${typed%,*}, typed=${typed##*,}
	case $typed in
	path=*) _zcfs_reply "${kept}path=" "${typed#path=}" auto splice copy direct pool ;;
	cache=*) _zcfs_reply "${kept}cache=" "${typed#cache=}" kernel none ;;
	pool_policy=*) _zcfs_reply "${kept}pool_policy=" "${typed#*=}" clock lru innodb pg sieve s3fifo arc ;;
	pool_ghosts=*) _zcfs_reply "${kept}pool_ghosts=" "${typed#*=}" clock lru innodb pg sieve s3fifo arc ;;
	pool_write=*) _zcfs_reply "${kept}pool_write=" "${typed#*=}" through back ;;
	pool_verify=*) _zcfs_reply "${kept}pool_verify=" "${typed#*=}" off evict always ;;
	rule=*:*) _zcfs_reply "$kept${typed%:*}:" "${typed##*:}" auto splice copy direct pool ;;
	*=*) ;;
	*) _zcfs_reply "$kept" "$typed" "$names" ;;
	esac
}

_zcfs_flags() {
	case $1 in
	mount) echo '-f --foreground -o --options -h --help' ;;
	umount) echo '-l --lazy -h --help' ;;
	stat) echo '-n --top -b --bytes -j --json -h --help' ;;
	mrc) echo '-j --json -s --svg -h --help' ;;
	sim) echo '-p --policy -n --pages -s --page-size -j --json -h --help' ;;
	pool) echo '-j --json -h --help' ;;
	*) echo '-h --help' ;;
	esac
}

# The names in a list with commas.
_zcfs_policies() {
	local typed=$1 kept=''
	[[ $typed == *,* ]] && kept=${typed%,*}, typed=${typed##*,}
	_zcfs_reply "$kept" "$typed" clock lru innodb pg sieve s3fifo arc opt
}

_zcfs() {
	local commands='mount umount stat reset pool mrc doctor sim help' word command=${COMP_WORDS[1]}
	COMPREPLY=()
	word=$(_zcfs_word)
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$word")
		return
	fi
	local line=${COMP_LINE:0:COMP_POINT}
	line=${line%"$word"}
	if [[ $command == help ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
	elif [[ $command == mount && $line =~ [[:space:]](-o|--options)[[:space:]]+$ ]]; then
		_zcfs_options "$word"
	elif [[ $command == sim && $line =~ [[:space:]](-p|--policy)[[:space:]]+$ ]]; then
		_zcfs_policies "$word"
	elif [[ $command == pool && $word != -* ]] && ((COMP_CWORD == 2)); then
		mapfile -t COMPREPLY < <(compgen -W 'stat flush drop resize' -- "$word")
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_zcfs_flags "$command")" -- "$word")
	elif [[ $command == umount || ($command == pool && ${COMP_WORDS[2]} =~ ^(stat|resize)$) ]]; then
		mapfile -t COMPREPLY < <(compgen -W \
			"$(awk '$3 == "fuse.zcfs" { print $2 }' /proc/mounts)" -- "$word")
		((${#COMPREPLY[@]})) || compopt -o default
	else
		compopt -o default
	fi
}

complete -F _zcfs zcfs
