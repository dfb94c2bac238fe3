#!/bin/bash
# The entry point of a SageMaker training job: run one job, keep log and state in the checkpoint folder, and exit with its status.
# Settings in the environment: JOB, NOTEBOOK, SERVICE, INSTANCE_TYPE, IMAGE, PRICE (dollars per hour, or null), REGION.
set -uo pipefail
ml=${MNISTLIB_ML:-/opt/ml}
kept=$ml/checkpoints # SageMaker keeps it in sync with the run's folder in S3
export MNISTLIB_HOME=${MNISTLIB_HOME:-/tmp/mnistlib}
export INPUT=$ml/input/data/code OUT=$kept/out
since=$(date +%s)
mkdir -p "$kept" "$ml/output" "$MNISTLIB_HOME"
exec > >(tee "$kept/machine.log") 2>&1

report() { # PHASE CODE
    printf '{"phase": "%s", "code": %s, "instance": "%s", "since": %s}\n' "$1" "$2" "$JOB" "$since" >"$kept/machine.json"
}

fail() { # PHASE CODE: SageMaker shows the beginning of this file as the reason
    sleep 1 # until tee has written the last lines
    grep -v '^[[:space:]]*$' "$kept/machine.log" | tail -n 3 | tail -c 900 | iconv -c -f utf-8 -t utf-8 >"$ml/output/failure"
    report "$1" "$2"
    exit "$2"
}

# shellcheck disable=SC2329 # called by a trap
stop() { # SageMaker grants two minutes, in which the job saves its state
    trap '' TERM INT
    if [ -n "$child" ]; then
        kill -TERM "$child" 2>/dev/null
        wait "$child"
    fi
    echo "Stopped."
    fail stopped 143
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

report installing null
step install || fail failed $?
report running null
step job || fail failed $?
report succeeded 0
