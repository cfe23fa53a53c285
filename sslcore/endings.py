"""How a run ends early, and how its process ends. Whatever else is raised is a fault of Triptych's, or of the machine."""

import os
import sys
from typing import NoReturn


class Failed(ValueError):
    """The run cannot go on; the message says why and what to do, in words."""


class Stopped(Exception):
    """The run was asked to stop, and has kept a checkpoint if it has begun to train."""


class Stoppable:
    """Hears the request to stop, in a signal handler of the main thread."""

    stop_requested = False
    at_once = False  # set where the work may be left in its midst: the training is over, and its checkpoint kept

    def request_stop(self, *_: object) -> None:
        """Raises Stopped where the work may be left `at_once`; else the training looks at `stop_requested` once a step."""
        self.stop_requested = True
        if self.at_once:
            self.at_once = False  # once
            raise Stopped


def leave(code: int) -> NoReturn:
    """End this process without the second or two that torch takes to be torn down, for which a run would keep its slot."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # Python has none where it was closed (>&-)
        stream.flush()
    os._exit(code)
