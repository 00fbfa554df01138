"""Which class of failure an exception belongs to: standard library only."""

from __future__ import annotations

from workers.contract import FailureClass, UserError


def classify_failure(error: BaseException) -> FailureClass:
    """Tells what ended a trial from the exception that did.

    Memory that ran out, on the device or the host, is its own class. What the machine, the disk
    or the data folder did is infrastructure. Everything else is a bug of the code.
    """
    kinds = type(error).__mro__
    # By name: this module, and the orchestrator that uses it, must not import torch.
    if isinstance(error, MemoryError) or any(k.__name__ == "OutOfMemoryError" for k in kinds):
        return FailureClass.OUT_OF_MEMORY
    if "DefaultCPUAllocator: can't allocate memory" in str(error):
        return FailureClass.OUT_OF_MEMORY
    if isinstance(error, OSError | UserError):
        return FailureClass.INFRASTRUCTURE
    return FailureClass.BUG
