#!/bin/sh
# run CARD OUT: one run of the Python program of this image.
set -eu
work=$(dirname "$1")
mkdir -p "$2" "$work/scratch"
# Proof, from inside, of which image ran.
cp /opt/concordia/build_opts.yml "$2/"
export HOME="$work/scratch" TMPDIR="$work/scratch" NUMBA_CACHE_DIR="$work/scratch/numba"
export MPLCONFIGDIR="$work/scratch/matplotlib" XDG_CACHE_HOME="$work/scratch" OMP_NUM_THREADS=1
cd "$work/scratch"
exec /opt/venv/bin/python -I /opt/concordia/program.py "$1" "$2"
