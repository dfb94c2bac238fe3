#!/bin/bash
# A notebook instance runs this as root at every start, within five minutes. It starts two programs in the background: one that stops the
# instance when nobody uses it, and one that sets the project up. REPOSITORY, REVISION and IDLE_MINUTES are set above.
# MNISTLIB_ROOT is for tests.
set -eu

root=${MNISTLIB_ROOT:-}
home=$root/home/ec2-user
folder=$root/var/lib/mnistlib
export PATH="${PATH:-/usr/bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" # SageMaker's has a relative folder in it

mkdir -p "$folder"
# Insert notebook_idle.py
# Insert notebook_setup.sh

background() { # NAME COMMAND...: run a command that outlives this script; its output goes to $folder/NAME.log
    local log=$folder/$1.log unit=mnistlib-$1
    shift
    # shellcheck disable=SC2016 # the inner shell expands these
    local logged=(/bin/bash -c 'exec "$@" >>"$0" 2>&1' "$log" "$@")
    if ! systemd-run --quiet --collect --unit="$unit" "${logged[@]}"; then
        setsid "${logged[@]}" </dev/null >/dev/null 2>&1 &
    fi
}

# The idle stop first: whatever fails after it, nobody pays for an instance that nobody uses.
background idle python3 "$folder/notebook_idle.py" "$IDLE_MINUTES" "$root/opt/ml/metadata/resource-metadata.json" \
    "$home/SageMaker/mnistlib-setup.log"
background setup /bin/bash "$folder/notebook_setup.sh" "$home" "$REPOSITORY" "$REVISION"
echo "Setting up the project; ~/SageMaker/mnistlib-setup.log shows the progress."
