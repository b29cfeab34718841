#!/bin/sh
# Installs the packages of uv.lock into .venv; silent and quick if they are installed. All output goes to stderr.
# The script may be interrupted at any moment: it writes the stamp last, and uv does not repeat the steps already done.
set -eu
cd "$(dirname "$0")/.."
exec >&2

needed_kilobytes=2000000 # for .venv; on the same disk, uv's cache shares its files with .venv
pythons="Python 3.11, 3.12 or 3.13"

fail() {
    echo "error: $1"
    exit 1
}

# botocore, apt and others read /dev/null as an empty file, and fail if programs have written to a regular file there.
[ -c /dev/null ] || fail "/dev/null is no device (a program run as root has replaced it). As root: rm -f /dev/null && mknod -m 666 /dev/null c 1 3"

stamp=.venv/.installed
wanted="$(pwd) $(cat pyproject.toml uv.lock | cksum)"
if [ -x .venv/bin/python ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

free_kilobytes=$(df -Pk . | awk 'NR == 2 { print $4 }')
if ! [ -x .venv/bin/python ] && [ "$free_kilobytes" -lt $needed_kilobytes ]; then
    fail "the disk of $(pwd) is too full: .venv needs $((needed_kilobytes / 1000)) MB, and $((free_kilobytes / 1000)) MB are free"
fi

tools="$(pwd)/.sandbox/tools"
if ! [ -d "${HOME:-}" ] || ! [ -w "$HOME" ]; then # by default uv keeps downloads and Pythons there
    export UV_CACHE_DIR="${UV_CACHE_DIR:-$tools/cache}" UV_PYTHON_INSTALL_DIR="${UV_PYTHON_INSTALL_DIR:-$tools/python}"
fi
uv=
for candidate in uv "$tools/bin/uv"; do
    # Older versions do not support default-groups = "all".
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
    [ -n "$uv" ] || fail "neither uv nor a Python on PATH. Install $pythons (Debian: apt-get install python3)."
fi

if ! "$uv" python find --no-python-downloads >/dev/null 2>&1; then
    echo "Fetching a Python from GitHub, since there is no $pythons here"
    if ! answer=$("$uv" python install 3.13 2>&1); then
        echo "$answer"
        fail "there is no $pythons here, and none can be fetched. Install one (Debian: apt-get install python3.13), or name one that is not on PATH: UV_PYTHON=/where/python3.13 make …"
    fi
fi

echo "Installing into .venv what uv.lock lists (about 1.5 GB, some minutes the first time)"
# Compile now: a run starts dozens of processes, and if PYTHONDONTWRITEBYTECODE is set, each would compile again.
"$uv" sync --frozen --compile-bytecode
printf '%s' "$wanted" >$stamp
