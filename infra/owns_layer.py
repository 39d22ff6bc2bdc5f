"""Health check of a job's container: exit 0 while a process of this container owns the layer, else 1."""

from __future__ import annotations

import socket
import sys

from sluice.settings import load_settings
from sluice.tables.lake import Lake, layer_owner


def main(layer: str) -> int:
    """0 if the layer is owned from this host."""
    owner = layer_owner(Lake(load_settings().lake.path), layer)
    return 0 if owner is not None and owner.host == socket.gethostname() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
