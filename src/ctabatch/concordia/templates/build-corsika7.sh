#!/bin/sh
# Compile CORSIKA 7 from the archive in the context. Nothing here is made of a person's text:
# options arrive as include/config.h, flags as one word a line, each checked before.
set -eu
context=/opt/context
target=/opt/concordia
say() { echo "corsika7: $*" >&2; }

if [ -s "$context/debian_release" ]; then
    wanted=$(cat "$context/debian_release")
    [ "$(cat /etc/debian_version)" = "$wanted" ] || {
        say "base is Debian $(cat /etc/debian_version), the recipe demands $wanted"; exit 1; }
fi
mkdir -p /opt/source "$target/corsika"
tar -xf "$context/source.archive" -C /opt/source --no-same-owner --strip-components=1
cd /opt/source
[ -f coconut ] || { say "the archive has no coconut in its top folder"; exit 1; }
mkdir -p include
cp "$context/config.h" include/config.h
flags=$(tr '\n' ' ' <"$context/flags")
export CFLAGS="$flags" CXXFLAGS="$flags" FFLAGS="$flags" FCFLAGS="$flags"
# Without input coconut takes its answers from include/config.h.
chmod +x coconut
./coconut --expert --without-root --without-COASTUSERLIB --without-conex </dev/null
found=
count=0
for file in run/corsika*; do
    if [ -f "$file" ] && [ -x "$file" ]; then found=$file; count=$((count + 1)); fi
done
[ "$count" = 1 ] || { say "expected exactly one executable run/corsika*, found $count"; exit 1; }
cp -a run/. "$target/corsika/"
ln -s "$(basename "$found")" "$target/corsika/program"
cp "$context/run" "$context/sbom.sh" "$context/build_opts.yml" "$target/"
chmod 755 "$target/run"
{
    echo "software:"
    echo "  debian: \"$(cat /etc/debian_version)\""
    echo "  gfortran: \"$(gfortran -dumpfullversion)\""
    echo "  executable: \"$(basename "$found")\""
    echo "  executable_sha256: $(sha256sum "$found" | cut -d' ' -f1)"
} >>"$target/build_opts.yml"
