"""A transfer tool that copies files itself, in the place of the grid's FTS.

It takes the slot of Rucio's ``mock`` tool, which moves nothing. Between folders it copies, to and
from XRootD it calls ``xrdcp``; size and adler32 are checked, and a file appears under its name
when it is complete. Failures can be asked for in a JSON file::

    {"fail": {"<part of a name>": <times, -1 for ever>}, "delay_s": <seconds of each transfer>}
"""

import datetime
import json
import subprocess
import time
import uuid
import zlib
from pathlib import Path
from urllib.parse import urlsplit

from rucio.core import transfer
from rucio.db.sqla.constants import RequestState
from rucio.transfertool.mock import MockTransfertool
from rucio.transfertool.transfertool import TransferStatusReport

BLOCK = 1 << 20


class Report(TransferStatusReport):
    """State of a transfer in Rucio's terms."""

    supported_db_fields = ("state", "external_id", "started_at", "transferred_at", "err_msg")

    def __init__(self, request_id, external_id, error):
        super().__init__(request_id)
        self.external_id = external_id
        self.state = RequestState.FAILED if error else RequestState.DONE
        self.started_at = self.transferred_at = datetime.datetime.utcnow()
        self.err_msg = error

    def initialize(self, session, logger=None):
        """Nothing more to be asked for."""

    def get_monitor_msg_fields(self, session, logger=None):
        """No monitoring here."""
        return {}


class CopyingTransfertool(MockTransfertool):
    """Copies on submission; the poller reads the outcome from a file a job."""

    external_name = "mock"
    supported_schemes = ("file", "root")
    folder = None
    faults = None

    def submit(self, transfers, job_params, timeout=None):
        """Copy the files of a job; returns its number."""
        results, delay = {}, self._faults().get("delay_s", 0)
        for item in transfers:
            time.sleep(delay)
            results[item.rws.request_id] = self._transfer(item)
        number = str(uuid.uuid4())
        (Path(self.folder) / number).write_text(json.dumps(results))
        return number

    def bulk_query(self, requests_by_eid, timeout=None):
        """Report the outcome of jobs."""
        answer = {}
        for number, requests in requests_by_eid.items():
            results = json.loads((Path(self.folder) / number).read_text())
            answer[number] = {
                request: Report(request, number, results.get(request)) for request in requests
            }
        return answer

    def _faults(self):
        try:
            return json.loads(Path(self.faults).read_text())
        except FileNotFoundError:
            return {}

    def _transfer(self, item):
        """Copy from the first source that works; returns the error of the last one, or None."""
        if self._injected(item.rws.name):
            return "TRANSFER injected failure"
        error = "TRANSFER no source"
        for source in item.sources:
            try:
                copy(item.source_url(source), item.dest_url, item.rws.adler32)
                return None
            except (OSError, subprocess.SubprocessError) as failure:
                error = str(failure)[:200]
        return error

    def _injected(self, name):
        faults = self._faults()
        for part, times in faults.get("fail", {}).items():
            if part in name and times != 0:
                if times > 0:
                    faults["fail"][part] = times - 1
                    temporary = Path(f"{self.faults}.used")
                    temporary.write_text(json.dumps(faults))
                    temporary.replace(self.faults)
                return True
        return False


def copy(source, target, adler32):
    """Copy a file between two URLs (``file`` or ``root``) and check its adler32."""
    remote = [url for url in (source, target) if urlsplit(url).scheme == "root"]
    if remote:
        local = [item if item in remote else urlsplit(item).path for item in (source, target)]
        if local[1] == urlsplit(target).path:
            Path(local[1]).parent.mkdir(parents=True, exist_ok=True)
        checksum = ["--cksum", f"adler32:{adler32}"] if adler32 else []
        options = ["--force", "--nopbar", "--posc", "--path", *checksum]
        done = subprocess.run(
            ["xrdcp", *options, *local], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(f"TRANSFER xrdcp: {done.stderr.strip() or done.stdout.strip()}")
        return
    path = Path(urlsplit(target).path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, value = path.with_name(path.name + ".part"), 1
    try:
        with Path(urlsplit(source).path).open("rb") as reading, temporary.open("wb") as writing:
            while block := reading.read(BLOCK):
                value = zlib.adler32(block, value)
                writing.write(block)
        if adler32 and f"{value:08x}" != adler32:
            raise OSError(f"CHECKSUM of the source is {value:08x}, registered is {adler32}")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def install(folder, faults):
    """Make Rucio use this tool; `folder` keeps outcomes, `faults` is the file to ask for failures."""
    CopyingTransfertool.folder = folder
    CopyingTransfertool.faults = faults
    transfer.TRANSFERTOOL_CLASSES_BY_NAME["mock"] = CopyingTransfertool
