#!/bin/bash
# What a SageMaker training job runs: one unit, its log and state kept where SageMaker carries them to S3, and an exit status that is true.
# Settings in the environment: JOB, NOTEBOOK, SERVICE, INSTANCE_TYPE, IMAGE, PRICE (dollars an hour, or null), REGION.
set -uo pipefail
ml=${MNISTLIB_ML:-/opt/ml}
kept=$ml/checkpoints # its like in S3 is the run's own place
export MNISTLIB_HOME=${MNISTLIB_HOME:-/tmp/mnistlib}
export INPUT=$ml/input/data/code DATA=$ml/input/data/mnist OUT=$kept/out
since=$(date +%s)
mkdir -p "$kept" "$ml/output" "$MNISTLIB_HOME"
exec > >(tee "$kept/machine.log") 2>&1

tell() { # tell PHASE CODE
    printf '{"phase": "%s", "code": %s, "instance": "%s", "since": %s}\n' "$1" "$2" "$JOB" "$since" >"$kept/machine.json"
}

fail() { # fail PHASE CODE: SageMaker shows the beginning of this file as the reason
    sleep 1 # the log's last lines are on their way
    grep -v '^[[:space:]]*$' "$kept/machine.log" | tail -n 3 | tail -c 900 | iconv -c -f utf-8 -t utf-8 >"$ml/output/failure"
    tell "$1" "$2"
    exit "$2"
}

# shellcheck disable=SC2329 # a trap calls it
stop() { # SageMaker grants two minutes: the run keeps what it has
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
MNISTLIB_MACHINE=$(printf '{"service": "%s", "id": "%s", "type": "%s", "region": "%s", "image": "%s", "since": %s, "price": %s}' \
    "$SERVICE" "$JOB" "$INSTANCE_TYPE" "$REGION" "$IMAGE" "$since" "$PRICE")
export MNISTLIB_MACHINE

tell installing null
step install || fail failed $?
tell running null
step unit || fail failed $?
tell succeeded 0
