"""To whom a run's stages tell how far they have come, and from whom they learn that they should stop."""

from typing import Protocol


class AnyPulse(Protocol):
    """worker.Pulse, which writes the run's status; where several processes train, ranks.RankPulse, which tells that one."""

    stop_requested: bool
    at_once: bool  # whether a request to stop raises Stopped at once, in the midst of the work

    def training(self, share: float, seconds_left: float) -> None: ...

    def stage(self, stage: str, progress: float) -> None: ...

    def warn(self, words: str) -> None: ...

    def say(self, words: str) -> None: ...
