#!/usr/bin/env bash
# Once, while Gradescope builds the image: Python, what the checks import, and what wrong ideas answer.
set -euo pipefail
root="${GRADER_ROOT:-/autograder}"
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y python3 python3-venv
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: choose a newer base image.")'
python3 -m venv "$root/venv"
"$root/venv/bin/python" -m pip install --no-cache-dir --extra-index-url @CPU_WHEELS@ \
    --requirement "$root/source/requirements.txt" --constraint "$root/source/constraints.txt"
chmod 700 "$root/source"
"$root/venv/bin/python" -I "$root/source/grade.py" "$root" --record
