"""How a run ends before its time. Whatever else is raised is a fault of Triptych's, or of the machine."""


class Failed(ValueError):
    """The run cannot go on; the message says why and what to do, in words."""


class Stopped(Exception):
    """The run was asked to stop and has kept a checkpoint."""
