# Stops what it was told of and removes the directory, once standard input ends.
# Input lines: "+ PID SIGNAL" (stop this process with that signal), "- PID" (it has ended).
directory=$1
trap '' HUP INT QUIT TERM
cd /

servers=
while read -r action pid signal; do
    case $action in
        +) servers="$servers $pid:$signal" ;;
        -)
            kept=
            for server in $servers; do
                [ "${server%%:*}" = "$pid" ] || kept="$kept $server"
            done
            servers=$kept
            ;;
    esac
done

signal_all() {
    for server in $servers; do
        kill -s "${1:-${server#*:}}" "${server%%:*}" 2>/dev/null
    done
}
any_alive() {
    for server in $servers; do
        kill -s 0 "${server%%:*}" 2>/dev/null && return 0
    done
    return 1
}

signal_all
signal_all CONT # a frozen process handles its signal only once it goes on
checks=0
while any_alive && [ "$checks" -lt 200 ]; do
    sleep 0.05
    checks=$((checks + 1))
done
signal_all KILL

# PostgreSQL killed outright leaves a System V shared memory segment, named in its lock file.
segment=$(sed -n '7s/.* //p' "$directory/postgres/data/postmaster.pid" 2>/dev/null)
[ -z "$segment" ] || ipcrm -m "$segment" 2>/dev/null

# A process that is just going away may still add a file: try again.
checks=0
until rm -rf "$directory" 2>/dev/null || [ "$checks" -ge 40 ]; do
    sleep 0.05
    checks=$((checks + 1))
done
