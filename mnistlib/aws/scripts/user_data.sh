# The settings stand above, and before them the watchdog: whatever goes wrong from here on, the machine ends.
home=${MNISTLIB_HOME:-/opt/mnistlib}
for wait in 0 2 5 10 20 40; do # a fresh role may take a moment
    sleep "$wait"
    aws s3 cp --only-show-errors --recursive "$RUN/input/" "$home/input/" && break
done
# As a service, so that a machine that goes down tells the run first, while there is a network, and waits for it.
service=("--setenv=HOME=${HOME:-/root}" -p KillMode=mixed -p TimeoutStopSec=240 -p After=network-online.target)
for name in RUN STORE NOTEBOOK MINUTES SPOT PRICE AWS_DEFAULT_REGION; do
    service+=("--setenv=$name=${!name}")
done
systemd-run --wait --collect --unit=mnistlib "${service[@]}" bash "$home/input/boot.sh"
shutdown -h now
