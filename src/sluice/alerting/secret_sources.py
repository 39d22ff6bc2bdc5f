"""Secrets of channels: named in conf/alerts.yaml, kept in the environment or in a file that only its owner reads."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pydantic import Field, model_validator

from sluice.errors import SecretMissing
from sluice.sections import Section

_MOST_BYTES = 65_536


class SecretSource(Section):
    """Where a secret is: `{env: NAME}` or `{file: /path}`; a file must have mode 0600 or stricter.

    Holds no secret, and may be printed.
    """

    env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    file: Path | None = None

    @model_validator(mode="after")
    def _one_place(self) -> SecretSource:
        if (self.env is None) == (self.file is None):
            raise ValueError("give one of env and file")
        return self

    def read(self) -> str:
        """The secret as it is now, without the line's end; what reads it anew sees that it was exchanged.

        Raises:
            SecretMissing: it is not there, is empty, or others may read the file; says where, never what.
        """
        text = self._from_file(self.file) if self.file is not None else os.environ.get(str(self.env), "")
        secret = text.strip()
        if not secret:
            where = f"the file {self.file} is empty" if self.file else f"the environment has no {self.env}"
            raise SecretMissing(where, "put the secret there, then start again")
        return secret

    def _from_file(self, path: Path) -> str:
        try:
            # Opened first, so that what is looked at is what is read.
            with path.expanduser().open("rb") as file:
                about = os.fstat(file.fileno())
                if about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise SecretMissing(f"others may read the secret in {path}", f"chmod 600 {path}")
                return file.read(_MOST_BYTES).decode()
        except UnicodeDecodeError:
            raise SecretMissing(f"the secret in {path} is no text", "write it as text") from None
        except OSError as error:
            raise SecretMissing(f"the secret in {path} cannot be read: {error.strerror}", "check the path") from None
