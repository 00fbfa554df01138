"""Assigns a failure class to an exception; standard library only."""

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
"""Texts of errors that mean out of memory, and where each text comes from."""

_MEMORY_TEXTS_UNDER_A_CAP = {
    "CUBLAS_STATUS_NOT_INITIALIZED": "cuBLAS: no room for its handle beside other processes",
    "CUDNN_STATUS_NOT_INITIALIZED": "cuDNN: the same",
    "CUDNN_STATUS_EXECUTION_FAILED": "cuDNN: no room while a kernel starts",
}
"""The same if the process has a share of a GPU; on a whole GPU they mean a fault of the device."""

_DEVICE_TEXTS = (
    "CUDA error", "CUDA driver error", "cuDNN error", "CUDNN_STATUS_", "CUBLAS_STATUS_",
    "NVML_SUCCESS == r",
)  # fmt: skip

_CODE_TEXTS = ("device-side assert", "illegal memory access", "invalid argument")
"""Texts of errors from a wrong index or pointer; other errors of a GPU are infrastructure."""


def classify_failure(error: BaseException, *, capped: bool = False) -> FailureClass:
    """Returns the failure class of the exception that ended a trial.

    Out of memory, on the device or the host, is a class of its own. Errors of the machine, its GPU,
    the disk or the data folder are infrastructure failures. Everything else is a bug in the code.

    Args:
        error: The exception.
        capped: Whether the process was limited to a share of its GPU's memory.
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
