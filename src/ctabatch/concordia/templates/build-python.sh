#!/bin/sh
# Finish an image whose base holds the locked Python packages in /opt/venv: this project, manifest.
set -eu
context=/opt/context
target=/opt/concordia
if [ -s "$context/debian_release" ]; then
    wanted=$(cat "$context/debian_release")
    [ "$(cat /etc/debian_version)" = "$wanted" ] || {
        echo "base is Debian $(cat /etc/debian_version), the recipe demands $wanted" >&2; exit 1; }
fi
for wheel in "$context"/*.whl; do
    [ -f "$wheel" ] || continue
    python3 -m venv /opt/pip
    /opt/pip/bin/pip --python /opt/venv/bin/python install -q --no-deps --no-index --no-compile \
        --disable-pip-version-check --root-user-action=ignore "$wheel"
    rm -rf /opt/pip
    /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash \
        /opt/venv/lib/python3*/site-packages/ctabatch
done
mkdir -p "$target"
cp "$context/sbom.sh" "$context/build_opts.yml" "$target/"
if [ -f "$context/run" ]; then
    cp "$context/run" "$context/program.py" "$target/"
    chmod 755 "$target/run"
fi
{
    echo "software:"
    echo "  debian: \"$(cat /etc/debian_version)\""
    echo "  python: \"$(/opt/venv/bin/python -c 'import platform; print(platform.python_version())')\""
} >>"$target/build_opts.yml"
