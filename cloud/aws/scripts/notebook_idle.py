"""Stop this notebook instance once nobody has used it for some minutes: no busy kernel, no work, nothing run in a notebook or a terminal.

It runs alone on the instance, on whatever Python that has. A Jupyter that does not answer counts as unused.

    notebook_idle.py MINUTES METADATA_FILE SETUP_LOG
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from datetime import datetime

JUPYTER = os.environ.get("MNISTLIB_JUPYTER", "https://localhost:8443")  # SageMaker's own; another in tests
BUSY = float(os.environ.get("MNISTLIB_BUSY", "0.5"))  # processes that run on average, above which the instance is in use
EVERY = float(os.environ.get("MNISTLIB_EVERY", "60"))  # seconds between two looks


def ask(path: str) -> list[dict]:
    """Return what Jupyter's API answers; its certificate is self-signed, and it is reached without a proxy."""
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified))
    with opener.open(JUPYTER + path, timeout=20) as answer:
        return json.load(answer)


def last_used(now: float) -> float:
    """Return when Jupyter was last used: now if a kernel is busy."""
    kernels = ask("/api/kernels")
    if any(kernel["execution_state"] == "busy" for kernel in kernels):
        return now
    try:
        terminals = ask("/api/terminals")
    except OSError:  # terminals may be disabled
        terminals = []
    times = [one["last_activity"].replace("Z", "+00:00") for one in kernels + terminals]
    return max((datetime.fromisoformat(text).timestamp() for text in times), default=0.0)


def stop(metadata: str) -> None:
    """Ask SageMaker to stop this instance."""
    with open(metadata, encoding="utf-8") as file:
        about = json.load(file)
    command = ["aws", "sagemaker", "stop-notebook-instance", "--notebook-instance-name", about["ResourceName"]]
    subprocess.run([*command, "--region", about["ResourceArn"].split(":")[3]], check=True, timeout=120)


minutes, metadata, setup_log = float(sys.argv[1]), sys.argv[2], sys.argv[3]
last = time.time()
while True:
    now = time.time()
    try:
        last = max(last, min(last_used(now), now))
    except Exception as error:
        print(f"Jupyter does not answer: {error}", flush=True)
    if os.path.exists(setup_log):  # it grows while the project is set up
        last = max(last, min(os.path.getmtime(setup_log), now))
    if os.getloadavg()[2] > BUSY:  # over fifteen minutes: something works without a kernel
        last = now
    if now - last >= 60 * minutes:
        print("Nobody uses this instance; stopping it.", flush=True)
        try:
            stop(metadata)
            break
        except Exception as error:
            print(f"It could not be stopped: {error}", flush=True)
    time.sleep(EVERY)
