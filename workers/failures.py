"""Which class of failure an exception belongs to: standard library only."""

from __future__ import annotations

from collections.abc import Iterable

from workers.contract import FailureClass, UserError

_MEMORY_TEXTS = {
    "DefaultCPUAllocator: can't allocate memory": "torch c10/core/CPUAllocator",
    "CUDA error: out of memory": "cudaErrorMemoryAllocation, from any call of the runtime",
    "CUDA driver error: out of memory": "CUDA_ERROR_OUT_OF_MEMORY, from calls of the driver",
    "CUBLAS_STATUS_ALLOC_FAILED": "cuBLAS: its handle or workspace",
    "CUDNN_STATUS_ALLOC_FAILED": "cuDNN: its handle or workspace",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED": "cuDNN 9",
    "was unable to find an engine to execute this computation": "torch cudnn/Conv_v8: every engine "
    "was refused its workspace",
    "Unable to find a valid cuDNN algorithm": "torch cudnn/Conv_v7: the same",
    "NVML_SUCCESS == r INTERNAL ASSERT FAILED": "torch c10/cuda/CUDACachingAllocator, while it "
    "writes the message of an out-of-memory error",
}
"""What says that memory ran out, and where the text comes from."""

_MEMORY_TEXTS_UNDER_A_CAP = {
    "CUBLAS_STATUS_NOT_INITIALIZED": "cuBLAS: no room for its handle beside other processes",
    "CUDNN_STATUS_NOT_INITIALIZED": "cuDNN: the same",
    "CUDNN_STATUS_EXECUTION_FAILED": "cuDNN: no room while a kernel starts",
}
"""The same where the process has a part of a GPU; on a whole GPU the device is at fault."""

_DEVICE_TEXTS = (
    "CUDA error", "CUDA driver error", "cuDNN error", "CUDNN_STATUS_", "CUBLAS_STATUS_",
    "NVML_SUCCESS == r",
)  # fmt: skip

_CODE_TEXTS = ("device-side assert", "illegal memory access", "invalid argument")
"""What a wrong index or pointer does on a GPU; every other error there is the machine's."""


def classify_failure(error: BaseException, *, capped: bool = False) -> FailureClass:
    """Returns the class of what ended a trial.

    Memory that ran out, on the device or the host, is its own class. What the machine, its GPU,
    the disk or the data folder did is infrastructure. Everything else is a bug of the code.

    Args:
        error: What the trial raised.
        capped: Whether the process could take only a part of its GPU's memory.
    """
    if _out_of_memory(error, capped=capped):
        return FailureClass.OUT_OF_MEMORY
    if isinstance(error, OSError | UserError):
        return FailureClass.INFRASTRUCTURE
    if _from_device(error) and not _contains(error, _CODE_TEXTS):
        return FailureClass.INFRASTRUCTURE
    return FailureClass.BUG


def spoils_process(error: BaseException) -> bool:
    """Returns whether a process must not be reused after this exception.

    An error of the device leaves its CUDA context unusable, and after an out-of-memory error the
    remaining memory is fragmented.
    """
    return _out_of_memory(error, capped=True) or _from_device(error)


def _out_of_memory(error: BaseException, *, capped: bool) -> bool:
    if isinstance(error, MemoryError) or _is_a(error, "OutOfMemoryError"):
        return True
    return _contains(error, _MEMORY_TEXTS) or (
        capped and _contains(error, _MEMORY_TEXTS_UNDER_A_CAP)
    )


def _from_device(error: BaseException) -> bool:
    return _is_a(error, "AcceleratorError") or _contains(error, _DEVICE_TEXTS)


def _contains(error: BaseException, texts: Iterable[str]) -> bool:
    message = str(error)
    return any(text in message for text in texts)


def _is_a(error: BaseException, name: str) -> bool:
    # By name: this module, and the orchestrator that uses it, must not import torch.
    return any(kind.__name__ == name for kind in type(error).__mro__)
