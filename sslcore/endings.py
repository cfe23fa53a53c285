"""How a run ends before its time. Whatever else is raised is a fault of Triptych's, or of the machine."""


class Failed(ValueError):
    """The run cannot go on; the message says why and what to do, in words."""


class Stopped(Exception):
    """The run was asked to stop, and has kept a checkpoint if it has begun to train."""


class Stoppable:
    """What hears the request to stop, in signal handlers of the main thread."""

    stop_requested = False
    at_once = False  # nothing is lost: the training is over, and its checkpoint kept

    def request_stop(self, *_: object) -> None:
        """Raises Stopped in the midst of what is done, where that may be left so; else the training looks once a step."""
        self.stop_requested = True
        if self.at_once:
            self.at_once = False  # once
            raise Stopped
