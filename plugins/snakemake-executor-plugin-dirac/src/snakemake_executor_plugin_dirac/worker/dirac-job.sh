#!/bin/sh
# Runs one job of a Snakemake workflow on a worker node: looks whether the node can do it, says
# what is missing in a line that starts with "dirac-job: PROBLEM", then starts Snakemake.
# Needs a POSIX shell, coreutils, awk, gzip and tar; everything else is in the environment or image.
#
#   dirac-job NUMBER      NUMBER: line of the table of jobs in this sandbox
#
# Exit codes: 80 environment or image, 81 disk, 82 clock, 83 proxy, 84 sandbox; else Snakemake's.
set -u
number=$1
here=$PWD

say() { echo "dirac-job: $*"; }
fail() { code=$1; shift; say "PROBLEM: $*"; exit "$code"; }
value() { awk -v key="$1" '$1 == key { print $2; exit }' "$here/dirac-job.run" | base64 -d; }
free_mb() { df -Pm "$here" | awk 'NR == 2 { print $4 }'; }
has_snakemake() { $run "$1" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("snakemake") is None)' 2>/dev/null; }

say "job ${JOBID:-?} at ${DIRACSITE:-an unknown site} on $(uname -n), $(date -u +%Y-%m-%dT%H:%M:%SZ)"

# --- sandbox
row=$(gzip -dc dirac-job.table.gz | awk -v number="$number" '$1 == number { print $2, $3; exit }')
[ -n "$row" ] || fail 84 "the sandbox has no job $number"
disk=${row%% *}
arguments=$(echo "${row#* }" | base64 -d) || fail 84 "the table of jobs is damaged"

# --- disk
need=$((disk > 20 ? disk : 20))
free=$(free_mb)
[ "$free" -ge "$need" ] || fail 81 "not enough disk space: $free MB free in $here, $need MB needed"

# --- clock: against the server where curl can ask it, else against the time of submission
now=$(date +%s)
server=$(value SERVER)
header=
if command -v curl >/dev/null 2>&1; then
    header=$(curl -sI --max-time 10 "$server/.well-known/openid-configuration" | tr -d '\r' | sed -n 's/^[Dd]ate: //p')
fi
if [ -n "$header" ] && reference=$(date -d "$header" +%s 2>/dev/null); then
    off=$((now - reference))
else
    off=$((now - $(value MADE)))
    [ "$off" -gt 0 ] && off=0
fi
case $off in -*) late=${off#-} ;; *) late=$off ;; esac
[ "$late" -le 600 ] || fail 82 "the clock of the worker node is $off s off"
[ "$late" -le 60 ] || say "warning: the clock of the worker node is $off s off"

# --- proxies: of the grid, and of the web (their addresses may hold a password)
if [ -n "${X509_USER_PROXY:-}" ]; then
    [ -r "$X509_USER_PROXY" ] || fail 83 "the grid proxy $X509_USER_PROXY (X509_USER_PROXY) cannot be read"
    if command -v openssl >/dev/null 2>&1 && ! openssl x509 -noout -checkend 60 -in "$X509_USER_PROXY" >/dev/null 2>&1; then
        fail 83 "the grid proxy $X509_USER_PROXY has run out"
    fi
fi
for name in http_proxy https_proxy; do
    eval "proxy=\${$name:-}"
    [ -z "$proxy" ] || say "$name: $(echo "$proxy" | sed 's,//[^/]*@,//,')"
done

# --- environment
kind=$(value KIND)
place=$(value PLACE)
run=
say "environment: $kind $place"
case $kind in
cvmfs)
    [ -d "$place" ] || fail 80 "the environment $place is not there: is CVMFS mounted here?"
    PATH=$place/bin:$PATH
    export PATH
    ;;
apptainer)
    tool=$(command -v apptainer || command -v singularity) || fail 80 "neither apptainer nor singularity is installed here"
    case $place in
    *://*) ;;
    *) [ -r "$place" ] || fail 80 "the image $place is not there" ;;
    esac
    run="$tool exec --bind $here --pwd $here/work $(value ENVIRONMENT_ARGS) $place"
    ;;
esac
[ -w "${HOME:-/nonexistent}" ] || HOME=$here
TMPDIR=${TMPDIR:-$here/tmp}
XDG_CACHE_HOME=$here/cache
export HOME TMPDIR XDG_CACHE_HOME
mkdir -p work tmp cache || fail 81 "cannot write into $here"
if [ "$kind" = apptainer ] && ! output=$($run true 2>&1); then
    fail 80 "the image $place does not start: $(echo "$output" | tail -n 1)"
fi
python=
for candidate in python python3; do
    has_snakemake "$candidate" && python=$candidate && break
done
[ -n "$python" ] || fail 80 "no Python with Snakemake in the environment ($kind $place)"
version=$($run "$python" -c 'import importlib.metadata; print(importlib.metadata.version("snakemake"))')
wanted=$(value SNAKEMAKE_VERSION)
[ "${version%.*}" = "${wanted%.*}" ] || say "warning: Snakemake $version here, $wanted submitted the job"

# --- work
cd work || fail 81 "cannot enter $here/work"
tar -xf ../dirac-job.sources.tar || fail 81 "the sources could not be unpacked ($(free_mb) MB free)"
{
    variables=$(value VARIABLES)
    [ -z "$variables" ] || echo "export $variables"
    echo "exec $python -m snakemake $arguments $(value COMMON)"
} >../dirac-job.command
say "Snakemake $version starts, $free MB disk free"
$run sh ../dirac-job.command 2>&1
code=$?
free=$(free_mb)
if [ "$code" -ne 0 ]; then
    [ "$free" -ge 2 ] || fail 81 "the disk is full ($free MB left in $here)"
    say "Snakemake ended with exit code $code"
fi
exit "$code"
