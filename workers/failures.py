"""Which class of failure an exception belongs to: standard library only."""

from __future__ import annotations

from workers.contract import FailureClass, UserError

_MEMORY_WORDS = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
_CODE_WORDS = ("device-side assert", "illegal memory access", "invalid argument")
"""What a wrong index or pointer does on a GPU; every other error there is the machine's."""


def classify_failure(error: BaseException) -> FailureClass:
    """Tells what ended a trial from the exception that did.

    Memory that ran out, on the device or the host, is its own class. What the machine, its GPU,
    the disk or the data folder did is infrastructure. Everything else is a bug of the code.
    """
    if _out_of_memory(error):
        return FailureClass.OUT_OF_MEMORY
    if isinstance(error, OSError | UserError):
        return FailureClass.INFRASTRUCTURE
    if _from_device(error) and not any(words in str(error) for words in _CODE_WORDS):
        return FailureClass.INFRASTRUCTURE
    return FailureClass.BUG


def spoils_process(error: BaseException) -> bool:
    """Says whether a process should train nothing more after this exception.

    An error of the device leaves its CUDA context unusable, and after memory ran out what is
    left of it is in pieces.
    """
    return _out_of_memory(error) or _from_device(error)


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or _is_a(error, "OutOfMemoryError"):
        return True
    return any(words in str(error) for words in _MEMORY_WORDS)


def _from_device(error: BaseException) -> bool:
    text = str(error)
    return _is_a(error, "AcceleratorError") or "CUDA error" in text or "cuDNN error" in text


def _is_a(error: BaseException, name: str) -> bool:
    # By name: this module, and the orchestrator that uses it, must not import torch.
    return any(kind.__name__ == name for kind in type(error).__mro__)
