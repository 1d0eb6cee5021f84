#!/bin/sh
# Install locked Python packages into /opt/venv; every file is checked against the lock's hashes.
set -eu
context=/opt/context
# The certificates of the building machine (bound at /mnt for the build, never copied).
if [ -s /mnt/ca-certificates.crt ]; then
    export SSL_CERT_FILE=/mnt/ca-certificates.crt PIP_CERT=/mnt/ca-certificates.crt
fi
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export UV_NO_CACHE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=120
python3 -m venv /opt/uv
/opt/uv/bin/pip install -q --require-hashes -r "$context/uv.txt"
python3 -m venv --without-pip /opt/venv
/opt/uv/bin/uv pip install -q --python /opt/venv/bin/python --require-hashes --no-deps \
    --build-constraints "$context/uv.txt" -r "$context/requirements.txt"
# Test suites that no other module of their package imports (that of PyTables, for one, is imported).
for package in gammapy matplotlib pandas scipy sklearn; do
    for folder in /opt/venv/lib/python3*/site-packages/"$package"; do
        [ -d "$folder" ] && find "$folder" -type d -name tests -prune -exec rm -rf {} +
    done
done
# Solvers for other systems than this one.
for folder in /opt/venv/lib/python3*/site-packages/pulp/solverdir/cbc; do
    [ -d "$folder" ] && find "$folder" -mindepth 1 -maxdepth 1 ! -name linux -exec rm -rf {} +
done
/opt/venv/bin/python -m compileall -q -j 2 --invalidation-mode unchecked-hash /opt/venv/lib
rm -rf /opt/uv
