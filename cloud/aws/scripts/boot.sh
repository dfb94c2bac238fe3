#!/bin/bash
# Run one job on an EC2 instance; whatever happens, upload log and state to S3 and shut the instance down.
# Settings in the environment: RUN (the run's folder in S3), NOTEBOOK, MINUTES, SPOT and GPU (yes or no), PRICE (dollars per hour, or
# null), AWS_DEFAULT_REGION.
set -uo pipefail
home=${MNISTLIB_HOME:-/opt/mnistlib}
export INPUT=$home/input OUT=$RUN/out
since=$(date +%s)
log=$home/machine.log
exec >>"$log" 2>&1

metadata() { # NAME: ask the instance metadata service
    local host=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254} token
    token=$(curl -sf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$host/latest/api/token") &&
        curl -sf -m 5 -H "X-aws-ec2-metadata-token: $token" "$host/latest/meta-data/$1"
}

report() { # PHASE CODE: upload log and state
    printf '{"phase": "%s", "code": %s, "instance": "%s", "since": %s}\n' "$1" "$2" "$id" "$since" >"$home/machine.json"
    aws s3 cp --only-show-errors "$log" "$RUN/machine.log"
    aws s3 cp --only-show-errors "$home/machine.json" "$RUN/machine.json"
}

# shellcheck disable=SC2329 # called by a trap
finish() {
    trap '' TERM INT
    kill "$watch" "$copying" 2>/dev/null
    echo "Ended: $end, exit status $code"
    report "$end" "$code"
    shutdown -h now
}

# shellcheck disable=SC2329 # called by a trap
stop() { # the instance is about to shut down: by the watchdog, by a user, or because AWS takes it back; the job saves its state
    trap '' TERM INT
    end=stopped code=143
    if [ -n "$child" ]; then
        kill -TERM "$child" 2>/dev/null
        wait "$child"
    fi
    exit 143
}

step() { # TIME NAME: run one step of run.sh with a time limit; its exit status
    # --foreground: otherwise timeout sends a signal to the job and then to its group, and the second would kill what the first lets save.
    timeout --foreground --signal=TERM --kill-after=200 "$1" bash "$INPUT/run.sh" "$2" &
    child=$!
    wait "$child"
    code=$?
    child=
    return "$code"
}

end=failed code=1 child='' watch='' copying=''
id=$(metadata instance-id || echo unknown)
trap finish EXIT
trap stop TERM INT

if [ "$SPOT" = yes ]; then
    (
        while sleep 5; do
            if metadata spot/instance-action; then
                echo "AWS takes this spot instance back."
                kill -TERM $$
                exit
            fi
        done
    ) &
    watch=$!
fi

service=EC2
if [ "$SPOT" = yes ]; then
    service='EC2 spot'
fi
MNISTLIB_INSTANCE=$(printf '{"service": "%s", "id": "%s", "type": "%s", "region": "%s", "image": "%s", "since": %s, "price": %s}' \
    "$service" "$id" "$(metadata instance-type)" "$AWS_DEFAULT_REGION" "$(metadata ami-id)" "$since" "$PRICE")
export MNISTLIB_INSTANCE

report installing null
while sleep 20; do # until the job's own log begins
    aws s3 cp --only-show-errors "$log" "$RUN/machine.log"
done &
copying=$!
step 30m install
installed=$?
kill "$copying" 2>/dev/null
if [ "$installed" = 0 ]; then
    report running null
    if step "${MINUTES}m" job; then
        end=succeeded
    elif [ "$code" = 124 ] || [ "$code" = 137 ]; then # 137 if it had to be killed
        end="timed out"
    fi
fi
exit "$code"
