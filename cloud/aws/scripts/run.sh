#!/bin/bash
# Run a job from the files in $INPUT: the library's wheel, the project and the parameters. The same on EC2 and SageMaker.
#   run.sh install   find a Python, install the library, unpack the project; with GPU=yes, fail where torch cannot use the GPU
#   run.sh job       run $NOTEBOOK and leave everything in $OUT
set -euo pipefail
home=${MNISTLIB_HOME:-/opt/mnistlib}

fits() { # PYTHON: of a supported version
    command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

has_torch() { # PYTHON VERSION: any version if it is empty
    "$1" -c 'import sys, torch; sys.exit(not torch.__version__.startswith(sys.argv[1]))' "$2" 2>/dev/null
}

# With a GPU, torch is the image's, which fits its driver; without one, it is the version that the reports were made with.
find_python() {
    local pinned wanted
    pinned=$(sed -nE 's/^torch==([0-9.]+).*/\1/p' "$home/project/requirements.txt")
    wanted=$pinned
    if [ "${GPU:-no}" = yes ]; then
        wanted=
    fi
    for python in /opt/pytorch/bin/python3 python3.13 python3.12 python3.11 python3 python; do
        if fits "$python" && has_torch "$python" "$wanted"; then
            return
        fi
    done
    if [ "${GPU:-no}" = yes ]; then
        echo "The image has no Python 3.11 to 3.13 with torch; name an --image that has one."
        exit 1
    fi
    echo "No Python has torch $pinned; creating one for the CPU."
    for python in python3.13 python3.12 python3.11 python3 none; do
        if fits "$python"; then
            break
        fi
    done
    if [ "$python" = none ]; then
        dnf install -y -q python3.12
        python=python3.12
    fi
    "$python" -m venv "$home/venv"
    python=$home/venv/bin/python
    "$python" -m pip install -q --disable-pip-version-check "torch==$pinned" --index-url https://download.pytorch.org/whl/cpu
}

check_gpu() {
    if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
        return
    fi
    local driver torch
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1 || true)
    torch=$("$python" -c 'import torch; print(torch.__version__, "for CUDA", torch.version.cuda)')
    echo "torch cannot use the GPU that is paid for: NVIDIA driver ${driver:-none}, torch $torch; name an --image where they fit."
    exit 1
}

case $1 in
install)
    mkdir -p "$home/project"
    tar -xzf "$INPUT/project.tar.gz" -C "$home/project"
    find_python
    # The versions that the reports were made with, except torch, which is there.
    grep -E '^[a-z]' "$home/project/requirements.txt" | grep -vE '^torch(vision)?==' >"$home/constraints.txt"
    for wheel in "$INPUT"/*.whl; do
        "$python" -m pip install -q --disable-pip-version-check --no-input -c "$home/constraints.txt" "${wheel}[cloud]"
    done
    if [ "${GPU:-no}" = yes ]; then
        check_gpu
    fi
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
