"""What the work of a run knows of its pulse, which tells how far it has come and hears the request to stop."""

from typing import Protocol


class AnyPulse(Protocol):
    """worker.Pulse, which writes the run's status; where several processes train, ranks.RankPulse, which tells that one."""

    stop_requested: bool
    at_once: bool  # whether a request to stop raises Stopped in the midst of what is done

    def training(self, share: float, seconds_left: float) -> None: ...

    def stage(self, stage: str, progress: float) -> None: ...

    def warn(self, words: str) -> None: ...

    def say(self, words: str) -> None: ...
