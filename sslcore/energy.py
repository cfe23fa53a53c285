"""Joules that NVIDIA GPUs take, by the counter that their driver keeps (NVML).

NVML comes with the driver, so nothing has to be installed. GPUs before Volta, parts of a GPU (MIG) and CPUs have no
counter that anybody may read; there nothing is measured.
"""

import ctypes
from collections.abc import Sequence

LIBRARY = "libnvidia-ml.so.1"
PROTOCOL = (
    "energy of the run's GPUs, by their driver's counter, evaluation left out; what else they did meanwhile counts, the rest of "
    "the machine does not"
)


class Meter:
    """Adds up what some GPUs take between `start` and `lap`; `joules` is None where that cannot be measured."""

    def __init__(self, uuids: Sequence[str], library: str = LIBRARY):
        """`uuids`: as nvidia-smi -L has them, such as GPU-8f6b...; none on a CPU."""
        self.handles: list[ctypes.c_void_p] = []
        self.joules: float | None = None
        self.at = 0.0
        try:
            self.nvml = ctypes.CDLL(library) if uuids else None
            if self.nvml is None or self.nvml.nvmlInit_v2() != 0:
                return
            for uuid in uuids:
                handle = ctypes.c_void_p()
                if self.nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)) != 0:
                    return
                self.handles.append(handle)
            if self.read() is not None:
                self.joules = 0.0
        except (OSError, AttributeError):  # no driver, or one without this function
            return

    def read(self) -> float | None:
        """Joules since the driver was loaded, of all the GPUs together."""
        total = 0
        for handle in self.handles:
            millijoules = ctypes.c_ulonglong()
            if self.nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)) != 0:
                return None
            total += millijoules.value
        return total / 1000

    def start(self) -> None:
        """Count from here; what was taken since the last `lap` is left out."""
        if self.joules is not None:
            now = self.read()
            self.joules = None if now is None else self.joules
            self.at = now or 0.0

    def lap(self) -> None:
        """Count until here."""
        if self.joules is not None:
            now = self.read()
            self.joules = None if now is None else self.joules + now - self.at
            self.at = now or 0.0
