#!/bin/bash
# Set up the project on a notebook instance: a clone, an environment that survives a stop, and a kernel. It runs as root, which may have
# to install a Python; everything below ~/SageMaker is done as the user. The last line of its log says "ready" or "failed".
set -u

home=$1 repository=$2 revision=$3
project=$home/SageMaker/mnistlib
kept=$home/SageMaker/.mnistlib # only ~/SageMaker survives a stop
log=$home/SageMaker/mnistlib-setup.log
fits='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' # as in pyproject.toml
export PATH="$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

as_user() {
    if [ -z "${MNISTLIB_ROOT:-}" ] && [ "$(id -u)" = 0 ]; then
        sudo -u ec2-user env HOME="$home" TMPDIR="$kept/tmp" GIT_TERMINAL_PROMPT=0 "$@"
    else
        env HOME="$home" TMPDIR="$kept/tmp" GIT_TERMINAL_PROMPT=0 "$@"
    fi
}

say() {
    echo "$(date +%H:%M:%S) $*"
}

fail() {
    say "failed: $*; stop the instance and start it to try again."
    exit 1
}

clone() {
    if [ -e "$project" ]; then
        say "The project is already there and left as it is: $project"
        return
    fi
    say "Cloning $repository"
    as_user rm -rf "$project.part"
    as_user git clone --quiet -- "$repository" "$project.part" || fail "git could not clone $repository"
    if [ -n "$revision" ]; then
        as_user git -C "$project.part" checkout --quiet "$revision" -- || fail "$repository has no $revision"
    fi
    as_user mv "$project.part" "$project" || fail "$project could not be written"
}

find_python() {
    for python in python3.12 python3.13 python3.11 python3; do
        if as_user "$python" -c "$fits" >/dev/null 2>&1; then
            return
        fi
    done
    return 1
}

# The environment may link to a Python that a stop has removed.
works() {
    as_user "$environment/bin/python" -c "import pip; $fits" >/dev/null 2>&1
}

make_environment() {
    environment=$kept/venv
    index=https://download.pytorch.org/whl/cpu
    if nvidia-smi >/dev/null 2>&1; then
        environment=$kept/venv-cuda index='' # the instance type may change between two starts
    fi
    if ! works; then
        find_python || {
            say "Installing a Python"
            dnf install -y -q python3.12
        }
        if ! works; then
            find_python || fail "there is no Python 3.11, 3.12 or 3.13, and dnf installed none"
            say "Creating an environment in $environment"
            as_user "$python" -m venv --clear "$environment" || fail "$python could not create an environment"
        fi
    fi
    cd "$project" || fail "$project is no folder"
    [ -f requirements.txt ] || fail "$project has no requirements.txt, so it is not this project"
    stamp=$(cat requirements.txt pyproject.toml | sha256sum)
    if [ "$stamp" = "$(cat "$environment/.installed" 2>/dev/null)" ]; then
        say "The requirements are already installed"
        return
    fi
    say "Installing the requirements; this takes minutes"
    if [ -n "$index" ]; then # without a GPU, builds without gigabytes of CUDA
        mapfile -t pair < <(grep -oE '^torch(vision)?==[0-9.]+' requirements.txt)
        install "${pair[@]}" --index-url "$index" || fail "pip could not install torch, and says why above"
    fi
    install -r requirements.txt || fail "pip could not install the requirements, and says why above"
    if [ -z "$index" ] && ! as_user "$environment/bin/python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
        driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)
        fail "torch $(grep -om1 '^torch==[0-9.]*' requirements.txt) cannot use the GPU with NVIDIA driver $driver; take a type without a GPU"
    fi
    echo "$stamp" | as_user tee "$environment/.installed" >/dev/null
}

install() {
    as_user "$environment/bin/python" -m pip install --disable-pip-version-check --no-cache-dir --progress-bar off "$@"
}

register() { # the kernel, with the facts about this instance that a report shows
    local arn region name kind facts=()
    if arn=$(grep -om1 'arn:[^"]*' "${MNISTLIB_ROOT:-}/opt/ml/metadata/resource-metadata.json" 2>/dev/null); then
        IFS=: read -r _ _ _ region _ name <<<"$arn"
        name=${name##*/}
        kind=$(aws sagemaker describe-notebook-instance --region "$region" --notebook-instance-name "$name" \
            --query InstanceType --output text 2>/dev/null || echo unknown)
        facts=(--env MNISTLIB_INSTANCE "$(printf '{"service": "%s", "id": "%s", "type": "%s", "region": "%s", "since": %s}' \
            'SageMaker notebook instance' "$name" "$kind" "$region" "$(date +%s)")")
    fi
    as_user "$environment/bin/python" -m ipykernel install --user --name mnistlib --display-name mnistlib "${facts[@]}" ||
        fail "the kernel could not be registered"
}

set_up() {
    say "Setting up the project; the first time this takes some minutes"
    clone
    make_environment
    as_user "$environment/bin/python" -c 'import mnistlib' || fail "the environment has no mnistlib"
    register
    as_user rm -rf "$kept/tmp"
    say "ready: open SageMaker/mnistlib/notebooks/03_augment.ipynb and choose the kernel named mnistlib."
}

mkdir -p "$home"
as_user mkdir -p "$kept/tmp"
# The user's own process writes the log, so root follows no link that the user may have put there.
set_up 2>&1 | as_user tee "$log"
exit "${PIPESTATUS[0]}"
