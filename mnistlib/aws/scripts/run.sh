#!/bin/bash
# One unit of work from what lies in $INPUT: the library's wheel, the project, the parameters. The same on every machine in a cloud.
#   run.sh data      bring the data from $STORE to $DATA
#   run.sh install   find a Python, install the library, unpack the project
#   run.sh unit      run $NOTEBOOK to $OUT, with the data in $DATA
set -euo pipefail
home=${MNISTLIB_HOME:-/opt/mnistlib}

fits() { # what is installed there may be of use: a Python of a version that will do, with torch and torchvision
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' && "$1" -c 'import torch, torchvision'
}

find_python() {
    for python in /opt/pytorch/bin/python3 python3.13 python3.12 python3.11 python3 python; do
        if command -v "$python" && fits "$python" 2>/dev/null; then
            return
        fi
    done
    echo "No Python with torch is here; one is made, for the CPU."
    command -v python3.12 || dnf install -y -q python3.12
    python3.12 -m venv "$home/venv"
    python=$home/venv/bin/python
    mapfile -t pair < <(grep -oE '^torch(vision)?==[0-9.]+' "$home/project/requirements.txt")
    "$python" -m pip install -q --disable-pip-version-check "${pair[@]}" --index-url https://download.pytorch.org/whl/cpu
}

case $1 in
data)
    mkdir -p "$DATA"
    for wait in 5 20 60 0; do
        aws s3 cp --only-show-errors --recursive "$STORE/" "$DATA/" && exit
        sleep "$wait"
    done
    echo "The data could not be brought from $STORE."
    exit 1
    ;;
install)
    mkdir -p "$home/project"
    tar -xzf "$INPUT/project.tar.gz" -C "$home/project"
    find_python
    # What the reports were made with, but for torch, which is the image's own where it has one.
    grep -E '^[a-z]' "$home/project/requirements.txt" | grep -v '^torch' >"$home/constraints.txt"
    for wheel in "$INPUT"/mnistlib-*.whl; do
        "$python" -m pip install -q --disable-pip-version-check --no-input -c "$home/constraints.txt" "${wheel}[cloud]"
    done
    command -v "$python" >"$home/python"
    ;;
unit)
    cd "$home/project"
    export MNIST_DATA_DIR=$DATA MNISTLIB_OFFLINE=yes
    exec "$(<"$home/python")" -m mnistlib job "notebooks/$NOTEBOOK" --out "$OUT" -f "$INPUT/parameters.yaml"
    ;;
*)
    echo "run.sh install, or run.sh unit" >&2
    exit 2
    ;;
esac
