"""Files that appear whole or not at all: whoever reads one never sees half of it, whatever happens to the writer."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

__all__ = ["can_replace", "write_whole"]


def can_replace(path: str | os.PathLike[str]) -> bool:
    """Return whether a file may take the place of what is at `path`: not where a folder, pipe or device is."""
    return not Path(path).exists() or Path(path).is_file()


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file beside its place and then move it there; a file that was there keeps its permissions.

    Raises:
        OSError: it names `path`; what was there is as it was.
    """
    target = Path(os.path.realpath(path))  # through symbolic links: the link stays, what it names is replaced
    beside = target.with_name(f".{target.name[:64]}.{secrets.token_hex(6)}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            beside.chmod(target.stat().st_mode & 0o7777)
        beside.replace(target)
    except BaseException as error:  # Ctrl-C included
        with contextlib.suppress(OSError):  # the first error is the one to show
            beside.unlink()
        if isinstance(error, OSError) and error.errno:  # it names the file beside, which nobody asked for
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise
    if hasattr(os, "O_DIRECTORY"):  # where a directory can be opened, make the new name last as well
        with contextlib.suppress(OSError):  # not every file system does this, and the file is in place
            directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
