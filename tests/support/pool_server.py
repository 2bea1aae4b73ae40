"""A small serving process with gRPC and a pool, for tests that start it in every way there is.

    pool_server.py CONTROL_FD [thread]

Prints one line of JSON (pids, what a worker has imported), then waits for the end of CONTROL_FD.
"""

import json
import os
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from chainrule_server.workers.coordinator import Coordinator
from chainrule_server.workers.pool import Pool
from support.toy_pool import run, spawner_pid, toy_pool, worker_pids
from support.toy_program import ToyProgram


def main() -> None:
    control = int(sys.argv[1])
    pool: Pool = toy_pool(2)
    if "thread" in sys.argv:
        starter = threading.Thread(target=pool.start)
        starter.start()
        starter.join()
    else:
        pool.start()
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_insecure_port("127.0.0.1:0")
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "modules"
        coordinator = Coordinator(pool)
        run(coordinator, ToyProgram(trap={"kind": "modules", "path": str(path)}))
        modules = json.loads(path.read_text())
    report = {"spawner": spawner_pid(pool), "workers": worker_pids(pool), "modules": modules}
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
    os.read(control, 1)
    coordinator.close()
    pool.close()
    server.stop(None)


if __name__ == "__main__":
    main()
