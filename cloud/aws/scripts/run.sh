#!/bin/bash
# Run a job from the files in $INPUT: the library's wheel, the project and the parameters. The same on EC2 and SageMaker.
#   run.sh install   find a Python, install the library, unpack the project
#   run.sh job       run $NOTEBOOK and leave everything in $OUT
set -euo pipefail
home=${MNISTLIB_HOME:-/opt/mnistlib}

fits() { # a Python of a supported version, with torch
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' && "$1" -c 'import torch'
}

find_python() {
    for python in /opt/pytorch/bin/python3 python3.13 python3.12 python3.11 python3 python; do
        if command -v "$python" && fits "$python" 2>/dev/null; then
            return
        fi
    done
    echo "No Python with torch was found; creating one for the CPU."
    command -v python3.12 || dnf install -y -q python3.12
    python3.12 -m venv "$home/venv"
    python=$home/venv/bin/python
    torch=$(grep -oE '^torch==[0-9.]+' "$home/project/requirements.txt")
    "$python" -m pip install -q --disable-pip-version-check "$torch" --index-url https://download.pytorch.org/whl/cpu
}

case $1 in
install)
    mkdir -p "$home/project"
    tar -xzf "$INPUT/project.tar.gz" -C "$home/project"
    find_python
    # The versions that the reports were made with, except torch, which the image may bring.
    grep -E '^[a-z]' "$home/project/requirements.txt" | grep -vE '^torch(vision)?==' >"$home/constraints.txt"
    for wheel in "$INPUT"/*.whl; do
        "$python" -m pip install -q --disable-pip-version-check --no-input -c "$home/constraints.txt" "${wheel}[cloud]"
    done
    command -v "$python" >"$home/python"
    ;;
job)
    cd "$home/project"
    exec "$(<"$home/python")" -m mnistlib job "notebooks/$NOTEBOOK" --out "$OUT" -f "$INPUT/parameters.yaml"
    ;;
*)
    echo "run.sh install, or run.sh job" >&2
    exit 2
    ;;
esac
