#!/bin/bash
# What a notebook instance runs as root at every start. It has five minutes, so it starts two programs and ends: one that stops the
# instance when nobody uses it, and one that sets the project up. Settings stand above: REPOSITORY, REVISION, IDLE_MINUTES, and the
# programs themselves. MNISTLIB_ROOT is empty but in tests.
set -eu

root=${MNISTLIB_ROOT:-}
home=$root/home/ec2-user
folder=$root/var/lib/mnistlib
export PATH="${PATH:-/usr/bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" # it comes with a relative folder in it

mkdir -p "$folder"
printf '%s' "$IDLE_PROGRAM" >"$folder/idle.py"
printf '%s' "$SETUP_PROGRAM" >"$folder/setup.sh"

apart() { # NAME COMMAND...: run a command that outlives this script; what it says goes to $folder/NAME.log
    local log=$folder/$1.log unit=mnistlib-$1
    shift
    # shellcheck disable=SC2016 # the inner shell is to expand these
    local logged=(/bin/bash -c 'exec "$@" >>"$0" 2>&1' "$log" "$@")
    if ! systemd-run --quiet --collect --unit="$unit" "${logged[@]}"; then
        setsid "${logged[@]}" </dev/null >/dev/null 2>&1 &
    fi
}

# First of all: whatever fails after this, nobody pays for a machine that nobody uses.
apart idle python3 "$folder/idle.py" "$IDLE_MINUTES" "$root/opt/ml/metadata/resource-metadata.json" "$home/SageMaker/mnistlib-setup.log"
apart setup /bin/bash "$folder/setup.sh" "$home" "$REPOSITORY" "$REVISION"
echo "The project is being set up; ~/SageMaker/mnistlib-setup.log says how far it is."
