"""The password of the dashboard: where it comes from, and how a guess is judged. Nothing of it is ever printed."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

from sluice.errors import SecretMissing, SettingsInvalid
from sluice.secret_files import read_secret_file
from sluice.settings import DASHBOARD_PASSWORD

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 30.0


def find_password(path: Path | None, environment: Mapping[str, str]) -> str | None:
    """The password that the environment gives, else the one in a file; None where there is neither.

    Args:
        path: a file that its owner alone may read; its first line counts.

    Raises:
        SettingsInvalid: the file cannot be read, others may read it, or the password is empty.
    """
    if (given := environment.get(DASHBOARD_PASSWORD)) is not None:
        return _checked(given, f"the environment variable {DASHBOARD_PASSWORD}")
    if path is None:
        return None
    try:
        return read_secret_file(path).splitlines()[0]
    except SecretMissing as error:
        raise SettingsInvalid(f"dashboard.password_path: {error.message}", error.hint) from None


def _checked(text: str, origin: str) -> str:
    if not text.strip():
        raise SettingsInvalid(f"the password in {origin} is empty", "write one, or take the setting away")
    return text


class Guard:
    """Judges guesses at one password, for all visitors together; may be shared between threads.

    After a wrong guess no further one is looked at for a second, after the next for two, and so on up to thirty; the
    right password ends that.

    Args:
        clock: seconds that only rise.
    """

    def __init__(self, password: str, clock: Callable[[], float]) -> None:
        self._digest = sha256(password.encode()).digest()
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong_in_row = 0
        self._closed_until = float("-inf")

    def wait_seconds(self) -> float:
        """How long no guess will be looked at; 0 where one may be made."""
        return max(0.0, self._closed_until - self._clock())

    def accepts(self, guess: str) -> bool:
        """Whether this is the password; takes as long whichever of its characters are wrong."""
        with self._lock:
            if self.wait_seconds() > 0:
                return False
            # Digests are of one length, so that not even the password's own can be measured.
            right = hmac.compare_digest(sha256(guess.encode("utf-8", "surrogatepass")).digest(), self._digest)
            self._wrong_in_row = 0 if right else self._wrong_in_row + 1
            if not right:
                wait = min(_FIRST_WAIT_SECONDS * 2 ** (self._wrong_in_row - 1), _LONGEST_WAIT_SECONDS)
                self._closed_until = self._clock() + wait
            return right
