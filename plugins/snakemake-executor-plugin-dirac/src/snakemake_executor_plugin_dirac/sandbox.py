"""Input sandboxes to the server, output sandboxes back."""

import asyncio
import hashlib
import io
import tarfile
from pathlib import Path

#: Largest output sandbox to unpack here, in bytes.
LARGEST_OUTPUT = 500 * 1024**2


async def upload(connection, content: bytes) -> str:
    """Store a sandbox (.tar.zst), unless the server has one with the same digest.

    Parameters
    ----------
    connection : Connection
        To the server.
    content : bytes
        The archive.

    Returns
    -------
    str
        Its PFN.
    """
    from diracx.client.models import SandboxInfo

    info = SandboxInfo(
        checksum_algorithm="sha256",
        checksum=hashlib.sha256(content).hexdigest(),
        size=len(content),
        format="tar.zst",
    )

    async def store(api):
        answer = await api.jobs.initiate_sandbox_upload(info)
        if answer.url:
            import httpx2

            async with httpx2.AsyncClient(timeout=300) as http:
                sent = await http.post(
                    answer.url, data=answer.fields, files={"file": ("file", content)}
                )
                sent.raise_for_status()
        return answer.pfn

    return await connection.call("store the input sandbox", store)


async def fetch_output(connection, job_id: int, folder: Path, wait: float = 0) -> bool:
    """Fetch and unpack the output sandbox of a job.

    Parameters
    ----------
    connection : Connection
        To the server.
    job_id : int
        DIRAC's number of the job.
    folder : pathlib.Path
        Made if there is something to put in.
    wait : float
        Seconds to wait for a sandbox that is still on its way.

    Returns
    -------
    bool
        Whether there was one.
    """
    end = asyncio.get_running_loop().time() + wait
    while True:
        names = await connection.call(
            "look for the output sandbox", lambda api: api.jobs.get_job_sandbox(job_id, "output")
        )
        if names or asyncio.get_running_loop().time() >= end:
            break
        await asyncio.sleep(1)
    for name in names or ():
        content = await connection.call(
            "fetch the output sandbox", lambda api, name=name: _download(api, name)
        )
        await asyncio.to_thread(_unpack, content, folder)
    return bool(names)


async def _download(api, pfn: str) -> bytes:
    import httpx2

    answer = await api.jobs.get_sandbox_file(pfn=pfn)
    async with httpx2.AsyncClient(timeout=300) as http:
        response = await http.get(answer.url)
        response.raise_for_status()
        return response.content


def _unpack(content: bytes, folder: Path) -> None:
    """Unpack .tar.bz2 (DIRAC's JobWrapper) or .tar.zst (DiracX)."""
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        content = zstandard.ZstdDecompressor().decompress(content, max_output_size=LARGEST_OUTPUT)
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members, size = [], 0
        for member in archive:
            # A worker is not trusted: no links, no devices, and no archive that grows without end.
            if not (member.isfile() or member.isdir()):
                raise tarfile.TarError(f"output sandbox: {member.name!r} is no file")
            size += member.size
            if size > LARGEST_OUTPUT:
                raise tarfile.TarError(f"output sandbox: more than {LARGEST_OUTPUT} bytes")
            members.append(member)
        archive.extractall(folder, members, filter="data")
