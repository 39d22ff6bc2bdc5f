#!/bin/sh
# Finds a Python that Sluice runs on, and hands over to setup.py. Exits 3 if there is none.
set -eu
cd "$(dirname "$0")/.."

fits='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'
if [ -n "${PYTHON:-}" ]; then candidates=$PYTHON; else candidates='python3.11 python3 python3.12 python3.13 python3.10'; fi
for candidate in $candidates; do
    if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$fits" >/dev/null 2>&1; then
        exec "$candidate" infra/setup.py "$@"
    fi
done

case $(uname -s) in
    Darwin) install='brew install python@3.11' ;;
    *) install='sudo apt-get install python3.11 python3.11-venv' ;;
esac
echo "setup: Python 3.10 or later, with venv, is needed: none of these is it: $candidates" >&2
echo "  next: $install" >&2
exit 3
