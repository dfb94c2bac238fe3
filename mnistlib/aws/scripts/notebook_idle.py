"""Stop a notebook instance that nobody uses: no kernel computes, and nothing was run in a notebook or a terminal for some minutes.

It runs alone on the instance, on whatever Python that has, with the name of the instance in a file that SageMaker puts there. A Jupyter
that cannot be asked counts as one that nobody uses.
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
from typing import Any

JUPYTER = os.environ.get("MNISTLIB_JUPYTER", "https://localhost:8443")  # where SageMaker's own runs; another in tests
EVERY = float(os.environ.get("MNISTLIB_EVERY", "60"))  # seconds between two looks


def ask(path: str) -> Any:
    """Return what Jupyter's API answers; its certificate is its own, and no proxy lies between."""
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified))
    with opener.open(JUPYTER + path, timeout=20) as answer:
        return json.load(answer)


def active(now: float) -> float:
    """Return when something was last done in Jupyter, as far as it says: now where a kernel computes."""
    kernels = ask("/api/kernels")
    if any(kernel["execution_state"] == "busy" for kernel in kernels):
        return now
    try:
        terminals = ask("/api/terminals")
    except OSError:  # a Jupyter without any
        terminals = []
    times = [one["last_activity"].replace("Z", "+00:00") for one in kernels + terminals]
    return max((datetime.fromisoformat(text).timestamp() for text in times), default=0.0)


def stop(metadata: str) -> None:
    """Ask SageMaker to stop this instance."""
    with open(metadata, encoding="utf-8") as file:
        about = json.load(file)
    command = ["aws", "sagemaker", "stop-notebook-instance", "--notebook-instance-name", about["ResourceName"]]
    subprocess.run([*command, "--region", about["ResourceArn"].split(":")[3]], check=True, timeout=120)


def main(minutes: float, metadata: str, log: str) -> None:
    """Look now and then, and stop the instance once it was idle for so many minutes; what fails is tried again."""
    last = time.time()
    while True:
        now = time.time()
        try:
            last = max(last, min(active(now), now))
        except Exception as error:
            print(f"Jupyter does not say who uses it: {error}", flush=True)
        if os.path.exists(log):
            last = max(last, min(os.path.getmtime(log), now))  # the project is being set up
        if now - last >= 60 * minutes:
            print("Nobody uses this instance; it stops.", flush=True)
            try:
                stop(metadata)
                return
            except Exception as error:
                print(f"It could not be stopped: {error}", flush=True)
        time.sleep(EVERY)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2], sys.argv[3])
