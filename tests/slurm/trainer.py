"""The real worker with a stand-in for the training: it counts, and keeps its count as a checkpoint.

It ends when the run's folder has a file `go`, dies of a file `break`, and with a file `stubborn` does not stop.
When it is told to make room it makes a file `told`.
"""

import os
import sys
import time
import types
from pathlib import Path

from sslcore import worker
from sslcore.endings import Stopped
from sslcore.experiment import Run


def work(run, pulse, evaluate_only):
    (run.path / "gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    count = int(run.checkpoint_file.read_text()) if run.checkpoint_file.exists() else 0
    pulse.say(f"from {count}")
    while not (run.path / "go").exists():
        if (run.path / "break").exists():
            os._exit(3)
        count += 1
        pulse.training(0.5, 60.0)
        if pulse.requeued:
            (run.path / "told").touch()
        if pulse.stop_requested and not (run.path / "stubborn").exists():
            run.checkpoint_file.write_text(str(count))
            raise Stopped
        time.sleep(0.05)


sys.modules["sslcore.stages"] = types.SimpleNamespace(work=work)
sys.exit(worker.main(Run(Path(sys.argv[1])), evaluate_only="evaluate" in sys.argv))
