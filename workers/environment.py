"""Prepares the process of a trial, and returns device, versions and memory for its result."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import gc
import hashlib
import importlib.metadata
import os
import platform
import resource
import shutil
import sys
from pathlib import Path

import torch

from workers.catalogue.costs import GPU_CONTEXT_BYTES
from workers.contract import Runtime, TrainingProtocol, UserError

RECORDED_PACKAGES = (
    "podium-sweep", "torch", "torchvision", "segmentation-models-pytorch", "timm", "numpy",
    "pillow", "ray",
)  # fmt: skip

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BLOCK_BYTES = 1 << 30
_LEAST_FRACTION = 0.001


@functools.cache
def keep_large_blocks() -> bool:
    """Tells glibc to reuse large blocks instead of returning them to the system at every step.

    Returns:
        Whether the C library supports this; False on musl or macOS, where nothing changes.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    return bool(
        library.mallopt(_M_MMAP_THRESHOLD, _KEPT_BLOCK_BYTES)
        and library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BLOCK_BYTES)
    )


@functools.lru_cache(maxsize=1)
def _set_imports_aside(_num_modules: int) -> None:
    """Excludes the objects of libraries from later garbage collections: saves 0.3 s per trial."""
    gc.freeze()


def prepare_process(training: TrainingProtocol, runtime: Runtime) -> torch.device:
    """Brings the process into the state of a fresh process, and returns the device.

    A reused actor keeps its process from trial to trial. Everything that a trial could inherit is
    set here: threads, default type, determinism flags, random state, cached device memory.

    Returns:
        `cuda:0`, the only visible device, if a GPU was assigned and torch sees it; otherwise `cpu`.
    """
    gc.collect()  # the last trial's network, if it has reference cycles
    _set_imports_aside(len(sys.modules))
    keep_large_blocks()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(runtime.num_threads)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    use_gpu = bool(runtime.gpu_ids) and torch.cuda.is_available()
    # Not warn_only: with it the attention of torch keeps its non-deterministic gradient.
    torch.use_deterministic_algorithms(training.deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not training.deterministic
    torch.backends.cudnn.deterministic = training.deterministic
    torch.set_float32_matmul_precision("high" if training.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = training.tf32
    if training.compiled:
        _prepare_compiler(Path(runtime.cache_dir))
    _reset_peak_memory(use_gpu=use_gpu)
    if use_gpu:
        _limit_memory(runtime.gpu_share)
    return torch.device("cuda", 0) if use_gpu else torch.device("cpu")


def _prepare_compiler(cache_dir: Path) -> None:
    """Clears the compiled graphs of this process, and sets the node's folder of compiled code.

    Otherwise a graph of the last trial's network could be used for this network, or count towards
    the number of graphs after which torch silently continues without compiling.
    """
    names = (os.environ.get("CXX"), "g++", "clang++")
    if not any(name and shutil.which(name) for name in names):
        msg = (
            f"training.compiled: {platform.node()} has no C++ compiler (CXX, g++ or clang++); "
            "install one on every node, or set training.compiled to false"
        )
        raise UserError(msg)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str((cache_dir / "compiled").absolute())
    torch.compiler.reset()


def _limit_memory(share: float) -> None:
    """Limits the process to its GPU share, so that only this process fails if it needs more.

    torch counts its own allocations, but not the CUDA context of the process.
    """
    fraction = min(1.0, share)
    if fraction < 1:
        total = torch.cuda.get_device_properties(0).total_memory
        fraction = max(_LEAST_FRACTION, fraction - GPU_CONTEXT_BYTES / total)
    torch.cuda.set_per_process_memory_fraction(fraction, 0)


def _reset_peak_memory(*, use_gpu: bool) -> None:
    if use_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # the peak is then that of the whole process


def peak_memory_bytes(device: torch.device) -> int:
    """Returns the peak since `prepare_process`: allocated on a GPU, resident on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def reserved_memory_bytes(device: torch.device) -> int | None:
    """Returns the peak of memory reserved by torch since `prepare_process`; None on a CPU."""
    return int(torch.cuda.max_memory_reserved(device)) if device.type == "cuda" else None


def device_name(device: torch.device) -> str:
    """Returns the name of the device, for example `cpu (x86_64)` or `NVIDIA H200`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()})"


@functools.cache
def package_versions(*further: str) -> dict[str, str]:
    """Returns the versions of Python and of the packages that can change a number.

    Args:
        further: Packages that only some trials use.
    """
    versions = {"python": platform.python_version()}
    for package in (*RECORDED_PACKAGES, *further):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def code_version() -> str:
    """Returns the release and a digest of this package's source files."""
    root = Path(__file__).parent
    content = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content.update(path.relative_to(root).as_posix().encode())
        content.update(path.read_bytes())
    release = package_versions().get("podium-sweep", "0")
    return f"{release}+{content.hexdigest()[:12]}"
