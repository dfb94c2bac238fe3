#!/bin/bash
# A machine that was started for one run: whatever happens, log and state go to S3, and the machine ends.
# Settings in the environment: RUN (the run's address in S3), STORE (that of the data), NOTEBOOK, MINUTES, SPOT (yes or no),
# PRICE (dollars an hour, or null), AWS_DEFAULT_REGION.
set -uo pipefail
home=${MNISTLIB_HOME:-/opt/mnistlib}
export INPUT=$home/input DATA=$home/data OUT=$RUN/out
since=$(date +%s)
log=$home/machine.log
exec >>"$log" 2>&1

metadata() { # what the machine knows of itself
    local host=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254} token
    token=$(curl -sf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$host/latest/api/token") &&
        curl -sf -m 5 -H "X-aws-ec2-metadata-token: $token" "$host/latest/meta-data/$1"
}

tell() { # tell PHASE CODE
    printf '{"phase": "%s", "code": %s, "instance": "%s", "since": %s}\n' "$1" "$2" "$id" "$since" >"$home/machine.json"
    aws s3 cp --only-show-errors "$log" "$RUN/machine.log"
    aws s3 cp --only-show-errors "$home/machine.json" "$RUN/machine.json"
}

# shellcheck disable=SC2329 # a trap calls it
finish() {
    trap '' TERM INT
    kill "$watch" 2>/dev/null
    echo "Ended: $end, exit status $code"
    tell "$end" "$code"
    shutdown -h now
}

# shellcheck disable=SC2329 # likewise
stop() { # the machine is about to end, by the watchdog, by hand, or because AWS wants it back: the run keeps what it has
    trap '' TERM INT
    end=stopped code=143
    if [ -n "$child" ]; then
        kill -TERM "$child" 2>/dev/null
        wait "$child"
    fi
    exit 143
}

step() { # run one step of run.sh, within a time; its exit status
    timeout --signal=TERM --kill-after=200 "$1" bash "$INPUT/run.sh" "$2" &
    child=$!
    wait "$child"
    code=$?
    child=
    return "$code"
}

end=failed code=1 child='' watch=''
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
MNISTLIB_MACHINE=$(printf '{"service": "%s", "id": "%s", "type": "%s", "region": "%s", "image": "%s", "since": %s, "price": %s}' \
    "$service" "$id" "$(metadata instance-type)" "$AWS_DEFAULT_REGION" "$(metadata ami-id)" "$since" "$PRICE")
export MNISTLIB_MACHINE

tell installing null
if step 30m data && step 30m install; then
    tell running null
    if step "${MINUTES}m" unit; then
        end=succeeded
    elif [ "$code" = 124 ] || [ "$code" = 137 ]; then # 137 where it had to be killed
        end="timed out"
    fi
fi
exit "$code"
