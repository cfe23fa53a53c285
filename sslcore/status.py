"""Where a run stands: its status.json."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from sslcore.results import Share

State = Literal["queued", "running", "finished", "failed", "stopped", "interrupted"]
Stage = Literal["pretrain", "probe", "embed"]
ACTIVE = ("queued", "running")
RESUMABLE = ("failed", "stopped", "interrupted")
PRETRAIN_SHARE = 0.9  # of a run's progress; the rest is for measuring
OF_A_PROCESS = ("host", "pid", "pid_started", "process", "inode", "slot", "job_id", "script", "partition")  # None without one
NOT_AGAIN = "it could not be measured again: "
Moment = Annotated[float, Field(ge=0, lt=1e11)]  # seconds since 1970; later ones have no date
# Of a time that cannot be none is known: the rest of the status is to be read all the same.
Left = Annotated[float | None, AfterValidator(lambda seconds: seconds if seconds is not None and 0 <= seconds < 1e11 else None)]


class Status(BaseModel):
    """Where a run stands. Written by whoever holds the run; see `Run.status` for the truth."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)  # a job's number is one, for whoever writes it by hand

    state: State = "queued"
    stage: Stage | None = None
    progress: Share = 0.0  # of the whole run
    eta_seconds: Left = None
    measured_again: bool = False  # true of a finished run while that is done
    attempt: int = 0  # how often it was started
    queued_on: str | None = None  # the machine for whose devices it was queued
    host: str | None = None
    pid: int | None = None
    pid_started: float | None = None  # the process's start time tells a reused pid apart
    process: str | None = None  # the same by the machine's boot and ticks since then, see `locks`: no set clock changes it
    inode: int | None = None  # of the run's folder in which the process began: a copy of the folder has another
    engine: str | None = None  # "slurm"; else this machine's agent, or a hand, trains it
    job_id: str | None = None  # Slurm's, as <array>_<task>
    script: str | None = None  # the job's script, a file of the experiment's .slurm/
    partition: str | None = None
    requeues: int = 0  # how often Slurm queued the job again
    slot: str | None = None  # "cpu", "gpu0", "gpu0,gpu1", ...
    heartbeat: float | None = None
    queued_at: Moment | None = None
    started_at: Moment | None = None  # of the latest attempt
    ended_at: Moment | None = None
    error: str | None = None
    warnings: list[str] = Field(default_factory=list)

    @classmethod
    def read(cls, found: Any) -> "Status":
        """The status that a file says, without what of it cannot be read. Raises ValidationError where it then says no state."""
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            damaged = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
            left = {name: value for name, value in found.items() if name not in damaged} if damaged else {}
            if "state" not in left:
                raise
            return cls.model_validate(left)

    def ended(self, state: State, error: str | None = None, at: float | None = None) -> "Status":
        """The status once its process has ended in a state. A finished run that was measured again stays finished."""
        changes: dict[str, Any] = {"state": state, "error": error, "ended_at": at, "eta_seconds": None, "measured_again": False}
        if self.measured_again:
            changes |= {"stage": "embed", "engine": "slurm" if self.job_id else None}  # what trained it, whoever measured it
            if state != "finished":
                why = error or ("it was stopped" if state == "stopped" else "its process is gone")
                changes |= {"state": "finished", "error": None, "warnings": [*self.warnings, NOT_AGAIN + why]}
        if changes["state"] == "finished":
            changes["progress"] = 1.0
        return self.model_copy(update=changes)
