#!/bin/bash
# The entry point of a SageMaker training job: run one job, which keeps its folder in S3 in sync itself, and exit with its status.
# Settings in the environment: JOB, NOTEBOOK, OUT (where the results go), SERVICE, INSTANCE_TYPE, IMAGE, GPU (yes or no), PRICE (dollars
# per hour, or null), REGION.
set -uo pipefail
ml=${MNISTLIB_ML:-/opt/ml}
export MNISTLIB_HOME=${MNISTLIB_HOME:-/tmp/mnistlib}
export INPUT=$ml/input/data/code AWS_DEFAULT_REGION=$REGION
since=$(date +%s)
log=$MNISTLIB_HOME/machine.log
mkdir -p "$ml/output" "$MNISTLIB_HOME"
exec > >(tee "$log") 2>&1

fail() { # CODE: SageMaker shows the beginning of this file as the reason
    sleep 1 # until tee has written the last lines
    grep -v '^[[:space:]]*$' "$log" | tail -n 3 | tail -c 900 | iconv -c -f utf-8 -t utf-8 >"$ml/output/failure"
    exit "$1"
}

# shellcheck disable=SC2329 # called by a trap
stop() { # SageMaker grants two minutes, in which the job saves its state
    trap '' TERM INT
    if [ -n "$child" ]; then
        kill -TERM "$child" 2>/dev/null
        wait "$child"
    fi
    echo "Stopped."
    fail 143
}

step() {
    bash "$INPUT/run.sh" "$1" &
    child=$!
    wait "$child"
    local code=$?
    child=
    return "$code"
}

child=''
trap stop TERM INT
MNISTLIB_INSTANCE=$(printf '{"service": "%s", "id": "%s", "type": "%s", "region": "%s", "image": "%s", "since": %s, "price": %s}' \
    "$SERVICE" "$JOB" "$INSTANCE_TYPE" "$REGION" "$IMAGE" "$since" "$PRICE")
export MNISTLIB_INSTANCE

step install || fail $?
step job || fail $?
