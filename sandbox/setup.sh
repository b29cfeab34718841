#!/bin/sh
# Brings .venv to what uv.lock says; silent and quick when it is there. Everything it says goes to stderr.
set -eu
cd "$(dirname "$0")/.."
exec >&2

stamp=.venv/.installed
wanted="$(pwd) $(cat pyproject.toml uv.lock | cksum)"
if [ -x .venv/bin/python ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

tools="$(pwd)/.sandbox/tools"
uv=
for candidate in uv "$tools/bin/uv"; do
    # Older ones do not know default-groups = "all".
    if "$candidate" --version 2>/dev/null | grep -Eq '^uv (0\.([89]|[1-9][0-9])|[1-9])'; then
        uv=$candidate
        break
    fi
done
if [ -z "$uv" ]; then
    echo "Getting uv from PyPI"
    for python in python3.13 python3.12 python3.11 python3 python; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
            "$python" sandbox/get_uv.py "$tools"
            uv="$tools/bin/uv"
            break
        fi
    done
    if [ -z "$uv" ]; then
        echo "error: neither uv nor a Python on PATH. Install Python 3.11, 3.12 or 3.13 (Debian: apt-get install python3)."
        exit 1
    fi
fi

echo "Installing into .venv what uv.lock lists (about 1.5 GB, some minutes the first time)"
# Compiled at once: a run starts dozens of processes, and where PYTHONDONTWRITEBYTECODE is set each would compile anew.
"$uv" sync --frozen --quiet --compile-bytecode
echo "Archiving Spark's classes, so that each job starts faster (once)"
.venv/bin/python -m sandbox.aws.spark_classes
printf '%s' "$wanted" >$stamp
