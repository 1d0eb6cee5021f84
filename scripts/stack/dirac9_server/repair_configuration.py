"""Put back what DiracX's conversion of DIRAC's configuration loses.

    repair_configuration.py FILE PLATFORMS

`FILE` is the YAML that ``dirac internal legacy cs-sync`` wrote, `PLATFORMS` the JSON of
/Resources/Computing/OSCompatibility, which diracx-core 0.7 looks for one level too deep.
"""

import json
import sys
from pathlib import Path

import yaml

path = Path(sys.argv[1])
content = yaml.safe_load(path.read_text())
content["Resources"].setdefault("Computing", {})["OSCompatibility"] = json.loads(sys.argv[2])
path.write_text(yaml.safe_dump(content, sort_keys=False))
