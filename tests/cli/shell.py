"""A command of the shell, as a process of its own."""

import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = (
    "dataset=digits image_size=8 epochs=1 batch_size=256 evaluate.sample=64 evaluate.knn_train=200 evaluate.knn_k=5 "
    "evaluate.labels=false evaluate.heads=false device=cpu"
)


def shell(command: str, **kwargs) -> subprocess.Popen:
    words = [sys.executable, "-m", "sslcore", *shlex.split(command)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)
