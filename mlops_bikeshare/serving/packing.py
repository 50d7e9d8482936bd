"""A model folder as the archive that SageMaker's containers unpack: MLmodel at its root.

Input    a folder; the file to write.
Output   a `.tar.gz` that depends on the folder's names and contents alone: the same version is the
         same archive, byte for byte, whoever packs it and whenever.
"""

import gzip
import tarfile
from pathlib import Path


def pack(folder: Path, into: Path) -> None:
    """Write the archive."""
    with (
        into.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                tar.add(path, arcname=path.relative_to(folder).as_posix(), filter=_bare)


def _bare(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what differs between machines."""
    member.mtime, member.mode = 0, 0o644
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
