#!/bin/sh
# Write a CycloneDX list of what is in this image: Debian packages, and Python packages if there are any.
set -eu
out=$1
debian() {
    dpkg-query -W -f '{"type":"library","name":"${Package}","version":"${Version}","purl":"pkg:deb/debian/${Package}@${Version}?arch=${Architecture}"}\n'
}
python() {
    [ -x /opt/venv/bin/python ] || return 0
    /opt/venv/bin/python -I - <<'P'
import json
from importlib.metadata import distributions

for name, version in sorted({(d.name, d.version) for d in distributions()}):
    purl = f"pkg:pypi/{name.lower()}@{version}"
    print(json.dumps({"type": "library", "name": name, "version": version, "purl": purl}))
P
}
{
    printf '{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,"components":[\n'
    { debian; python; } | sed '$!s/$/,/'
    printf ']}\n'
} >"$out.part"
mv "$out.part" "$out"
