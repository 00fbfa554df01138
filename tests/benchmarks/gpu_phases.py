"""The measurements of `tests/benchmarks/gpu.py`: each runs alone in a process, line by line."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import platform
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.loop import LOSS, make_task
from tests.benchmarks.machine import describe
from workers.catalogue.datasets import complete_dataset
from workers.catalogue.losses import complete_loss
from workers.catalogue.models import complete_model
from workers.contract import Component, DataProtocol, Runtime, TrainingProtocol, TrialSpec
from workers.environment import device_name, prepare_process
from workers.failures import classify_failure, spoils_process
from workers.losses import build_loss
from workers.models import build_model
from workers.run import run_trial
from workers.training import supervised_loss

FAST = {"deterministic": False, "precision": "bfloat16", "tf32": True, "fused_optimizer": True}
SWITCHES: dict[str, dict[str, Any]] = {
    "exact": {},
    "contiguous": {"channels_last": False},
    "any kernel": {"deterministic": False},
    "tf32": {"tf32": True},
    "fused": {"fused_optimizer": True},
    "bfloat16": {"precision": "bfloat16"},
    "fast": FAST,
    "fast contiguous": FAST | {"channels_last": False},
}
"""Sets of keys of `training`; `exact` is the default."""

SHARES = (0.012, 0.016, 0.02, 0.03, 0.05, 0.1)
"""GPU shares that are tried until one is enough."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes and device of the measurements.

    Attributes:
        side: Side of the images, pixels.
        batch_size: Images per step.
        seconds: Duration of each speed measurement.
        width: Width of a U-Net, in place of its default.
        use_gpu: Whether to use the first visible GPU instead of the CPU.
    """

    side: int
    batch_size: int
    seconds: float
    width: int | None
    use_gpu: bool

    @property
    def device(self) -> torch.device:
        """The device."""
        return torch.device("cuda", 0) if self.use_gpu else torch.device("cpu")

    def runtime(self, **changes: Any) -> Runtime:
        """Returns the runtime of a trial."""
        gpu_ids = ("0",) if self.use_gpu else ()
        cache = Path(tempfile.gettempdir()) / "podium-bench"
        return Runtime(data_root=None, cache_dir=str(cache), gpu_ids=gpu_ids, **changes)

    def model(self, name: str) -> Component:
        """Returns a model with its parameters."""
        options = {"width": self.width} if self.width and name == "unet" else {}
        name, parameters = complete_model(name, options)
        return Component(name=name, parameters=parameters)

    def wait(self) -> None:
        """Waits for the device."""
        if self.use_gpu:
            torch.cuda.synchronize()


class Case:
    """A network under one set of switches, trained step by step as `train_epoch` does."""

    def __init__(self, name: str, switches: dict[str, Any], settings: Settings) -> None:
        component, size = settings.model(name), settings.batch_size
        task = make_task(settings.side, size * 4, size, settings.device)
        training = dataclasses.replace(task.training, **switches)
        self.task = dataclasses.replace(task, training=training)
        prepare_process(training, settings.runtime())
        torch.manual_seed(0)
        parameters: dict[str, Any] = dict(component.parameters)
        network = build_model(name, num_classes=1, **parameters).to(settings.device)
        if training.channels_last:
            network = network.to(memory_format=torch.channels_last)
        self.network, self.loss = network.train(), build_loss(LOSS)
        self.optimizer = torch.optim.Adam(
            network.parameters(), lr=0.001, fused=training.fused_optimizer or None
        )
        self.total = torch.zeros((), dtype=torch.float64, device=settings.device)
        self.batch = torch.arange(size, device=settings.device)
        torch.manual_seed(1)

    def step(self) -> None:
        """Trains one step on the same batch."""
        images_BCHW, target_BHW = self.task.batch(self.batch)
        with self.task.autocast():
            output = self.network(images_BCHW)
            loss = supervised_loss(self.loss, output, target_BHW, self.task.training)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.total += loss.detach()


class MemoryCheckpoints:
    """Checkpoints in memory; stops the training after `stop_after` saves, like a killed process."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.state: bytes | None = None
        self.num_saves, self.stop_after = 0, stop_after

    def load(self) -> bytes | None:
        """Returns the last state."""
        return self.state

    def save(self, state: bytes | memoryview) -> None:
        """Stores a state."""
        self.state, self.num_saves = bytes(state), self.num_saves + 1
        if self.num_saves == self.stop_after:
            raise KeyboardInterrupt


def trial_spec(name: str, settings: Settings, *, epochs: int, **training: Any) -> TrialSpec:
    """Returns a short trial on generated images."""
    dataset, options = complete_dataset("synthetic-skin", {"num_images": 4 * settings.batch_size})
    loss, parameters = complete_loss(LOSS, {})
    return TrialSpec(
        dataset=Component(name=dataset, parameters=options),
        model=settings.model(name),
        loss=Component(name=loss, parameters=parameters),
        repeat=0,
        seed=42,
        data=DataProtocol(image_size=settings.side),
        training=TrainingProtocol(
            batch_size=settings.batch_size, max_epochs=epochs, patience=epochs, **training
        ),
    )


def bits(spec: TrialSpec, runtime: Runtime, checkpoints: MemoryCheckpoints | None = None) -> str:
    """Runs a trial and returns a digest of its losses and counts, which shows any changed bit."""
    kept = checkpoints or MemoryCheckpoints()
    result = run_trial(spec, runtime, kept, lambda _: None)
    curve = [(item.train_loss.hex(), item.val_dice.hex()) for item in result.epochs]
    counts = [dataclasses.astuple(item) for item in result.images]
    return hashlib.sha256(repr((curve, counts)).encode()).hexdigest()[:12]


def run_phase(phase: str, name: str, settings: Settings, lines: str) -> None:
    """Runs one measurement; every line is written at once, also an error."""
    began = time.monotonic()

    def emit(**line: Any) -> None:
        line["seconds"] = round(time.monotonic() - began, 1)
        with Path(lines).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")

    try:
        PHASES[phase](name, settings, emit)
    except Exception as error:  # noqa: BLE001 - one measurement must not end the others
        text = f"{type(error).__name__}: {error}"[:600]
        trace = traceback.format_exc()[-1500:]
        emit(kind="error", what=f"{phase} {name}".strip(), error=text, trace=trace)


def _machine(_: str, settings: Settings, emit: Callable[..., None]) -> None:
    """Properties of the card, and its rates: arithmetic, copies, starts of kernels."""
    facts: dict[str, Any] = describe("torch", "numpy") | {"device": device_name(settings.device)}
    if settings.use_gpu:
        properties = torch.cuda.get_device_properties(0)
        facts |= {"memory_bytes": properties.total_memory, "cudnn": torch.backends.cudnn.version()}
    side = 4096 if settings.use_gpu else 128
    square = torch.randn(side, side, device=settings.device)
    for key, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        matrix = square.to(kind)
        seconds = _seconds(lambda: matrix @ matrix, 20, settings)  # noqa: B023 - called at once
        facts[f"{key}_tflops"] = 2 * side**3 / seconds / 1e12
    facts["copy_bytes_per_second"] = 8 * square.numel() / _seconds(square.clone, 20, settings)
    one = torch.ones(1, device=settings.device)
    facts["operation_seconds"] = _seconds(lambda: one.add_(1), 2000, settings)
    emit(kind="machine", platform=platform.platform(), **facts)


def _seconds(run: Callable[[], object], number: int, settings: Settings) -> float:
    for _ in range(3):
        run()
    settings.wait()
    began = time.perf_counter()
    for _ in range(number):
        run()
    settings.wait()
    return (time.perf_counter() - began) / number


def _bits(name: str, settings: Settings, emit: Callable[..., None]) -> None:
    """One trial twice, then stopped and resumed; warnings; operations that make the host wait."""
    spec = trial_spec(name, settings, epochs=3)
    runtime = settings.runtime(checkpoint_interval_seconds=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        whole, again = bits(spec, runtime), bits(spec, runtime)
        kept = MemoryCheckpoints(stop_after=2)
        with contextlib.suppress(KeyboardInterrupt):
            bits(spec, runtime, kept)
        resumed = bits(spec, runtime, kept)
    emit(
        kind="bits",
        model=name,
        same_bits=whole == again,
        same_bits_resumed=whole == resumed,
        warnings=sorted({str(item.message)[:160] for item in caught}),
        host_waits=host_waits(name, settings),
    )


def host_waits(name: str, settings: Settings) -> list[str]:
    """Returns the places of a training step at which the host waits for the GPU."""
    case = Case(name, {}, settings)
    case.step()
    if not settings.use_gpu:
        case.step()
        return []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        case.step()
        torch.cuda.set_sync_debug_mode("default")
    return sorted({f"{Path(item.filename).name}:{item.lineno}" for item in caught})


def _speed(name: str, settings: Settings, emit: Callable[..., None]) -> None:
    """Seconds and memory of a step under every set of switches."""
    for switches, values in SWITCHES.items():
        case = Case(name, values, settings)
        step = _seconds(case.step, 4, settings)
        number = max(4, round(settings.seconds / step))
        step = _seconds(case.step, number, settings)
        line = {"kind": "speed", "model": name, "switches": switches, "step_ms": 1e3 * step}
        if settings.use_gpu:
            line["allocated_bytes"] = torch.cuda.max_memory_allocated()
            line["reserved_bytes"] = torch.cuda.max_memory_reserved()
        emit(**line, mean_loss=float(case.total) / (number + 10))


def _cap(name: str, settings: Settings, emit: Callable[..., None]) -> None:
    """The error under a share that is too small, and its class of failure."""
    spec = trial_spec(name, settings, epochs=1)
    for share in SHARES:
        line: dict[str, Any] = {"kind": "cap", "model": name, "share": share}
        try:
            result = run_trial(
                spec, settings.runtime(gpu_share=share), MemoryCheckpoints(), lambda _: None
            )
        except Exception as error:  # noqa: BLE001 - the error is the result
            line |= {"raised": f"{type(error).__name__}: {error}"[:300]}
            line |= {"class": classify_failure(error, capped=True), "spoils": spoils_process(error)}
            emit(**line)
            continue
        emit(**line, peak_memory_bytes=result.peak_memory_bytes)
        return


def _train_for(name: str, settings: Settings, barrier: Barrier, steps: Any) -> None:
    case = Case(name, {}, settings)
    case.step()
    settings.wait()
    barrier.wait()
    end = time.monotonic() + 2 * settings.seconds
    while time.monotonic() < end:
        case.step()
        settings.wait()
        with steps.get_lock():
            steps.value += 1


def _together(name: str, settings: Settings, emit: Callable[..., None]) -> None:
    """Steps per second of one, two and four processes on one device."""
    context: Any = multiprocessing.get_context("spawn" if settings.use_gpu else "fork")
    for number in (1, 2, 4) if settings.use_gpu else (1, 2):
        steps, barrier = context.Value("i", 0), context.Barrier(number)
        processes = [
            context.Process(target=_train_for, args=(name, settings, barrier, steps))
            for _ in range(number)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        rate = steps.value / (2 * settings.seconds)
        emit(kind="together", model=name, processes=number, steps_per_second=rate)


PHASES: dict[str, Callable[[str, Settings, Callable[..., None]], None]] = {
    "machine": _machine,
    "bits": _bits,
    "speed": _speed,
    "cap": _cap,
    "together": _together,
}
