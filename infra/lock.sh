#!/bin/sh
# Remakes requirements.lock from setup.cfg, and infra/jars.sha256 from infra/ivy.xml.
# uv resolves once for all systems and all Pythons from 3.10 on, which pip-compile does not; pip reads the result.
# Versions already locked stay unless setup.cfg forbids them, or --upgrade is given.
set -eu
cd "$(dirname "$0")/.."

build=build/lock
[ -x "$build/bin/uv" ] || { .venv/bin/python -m venv "$build" && "$build/bin/pip" install --quiet uv; }
# setuptools builds the editable install, without a download of its own.
echo 'setuptools >=77' | "$build/bin/uv" pip compile --quiet pyproject.toml - \
    --universal --python-version 3.10 --generate-hashes \
    --extra test --extra lint --extra notebooks --extra serving --extra bench \
    --no-emit-index-url --no-emit-find-links --no-emit-build-options \
    --custom-compile-command 'make lock' --output-file requirements.lock "$@"
infra/setup.sh --lock-jars
