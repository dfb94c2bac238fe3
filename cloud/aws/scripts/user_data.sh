# The watchdog and the settings stand above: whatever goes wrong from here on, the instance shuts down.
home=${MNISTLIB_HOME:-/opt/mnistlib}
for wait in 0 2 5 10 20 40; do # a new role may take a moment
    sleep "$wait"
    aws s3 cp --only-show-errors --recursive "$RUN/input/" "$home/input/" && break
done
# As a service: at shutdown the system then stops the job first, while there is a network, and waits for it.
service=("--setenv=HOME=${HOME:-/root}" -p KillMode=mixed -p TimeoutStopSec=240 -p After=network-online.target)
for name in RUN NOTEBOOK MINUTES SPOT GPU PRICE AWS_DEFAULT_REGION; do
    service+=("--setenv=$name=${!name}")
done
systemd-run --wait --collect --unit=mnistlib "${service[@]}" bash "$home/input/boot.sh"
shutdown -h now
