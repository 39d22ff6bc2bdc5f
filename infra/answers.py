"""Health check of a container with a page: exit 0 if the address answers with success within 5 seconds, else 1."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request


def main(address: str) -> int:
    """0 if a GET succeeds."""
    try:
        with urllib.request.urlopen(address, timeout=5):  # noqa: S310 (an address of ours, on the command line)
            return 0
    except (OSError, urllib.error.URLError):
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
