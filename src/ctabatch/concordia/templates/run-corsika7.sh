#!/bin/sh
# run CARD OUT: one run of CORSIKA; it wants its tables beside it.
set -eu
card=$1
out=$2
mkdir -p "$out" "$(dirname "$card")/scratch"
# Proof, from inside, of which image ran.
cp /opt/concordia/build_opts.yml "$out/"
cd "$(dirname "$card")/scratch"
for file in /opt/concordia/corsika/*; do ln -sf "$file" .; done
./program <"$card" >"$out/corsika.log" 2>&1
# CORSIKA can stop early with exit code 0.
grep -q "END OF RUN" "$out/corsika.log" || { tail -n 5 "$out/corsika.log" >&2; exit 3; }
