"""Secrets in files: read only if nobody but the owner could have read them. A leaf."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sluice.errors import SecretMissing

_MOST_BYTES = 65_536


def read_secret_file(path: Path) -> str:
    """The text of a file whose mode is 0600 or stricter, without the spaces around it.

    Raises:
        SecretMissing: it cannot be read, others can read it, it is no text or empty; says where, never what.
    """
    try:
        # Opened first, so that what is looked at is what is read.
        with path.expanduser().open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SecretMissing(f"{path} can be read by others", f"chmod 600 {path}")
            text = file.read(_MOST_BYTES).decode("utf-8").strip()
    except UnicodeDecodeError:
        raise SecretMissing(f"{path} is no text", "write it as text in UTF-8") from None
    except OSError as error:
        raise SecretMissing(f"cannot read {path}: {error.strerror}", "mend the path or the file") from None
    if not text:
        raise SecretMissing(f"{path} is empty", "put the secret there, then start again")
    return text
