"""Secrets of channels: named in conf/alerts.yaml, kept in the environment or in a file that only its owner reads."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, model_validator

from sluice.errors import SecretMissing
from sluice.secret_files import read_secret_file
from sluice.sections import Section


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
        if self.file is not None:
            return read_secret_file(self.file)
        if not (secret := os.environ.get(str(self.env), "").strip()):
            raise SecretMissing(f"the environment has no {self.env}", "put the secret there, then start again")
        return secret
