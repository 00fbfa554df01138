"""What each speed switch of `training` buys, alone and together, per model.

    python tests/benchmarks/gpu_switches.py --json switches.json                    # on a GPU
    python tests/benchmarks/gpu_switches.py --models unet --side 96 --images 32     # on a CPU

The first column is one eager float32 process with contiguous tensors and deterministic kernels.
Each case trains a copy of the same network, epoch by epoch in turns, those that are compiled after
the others; each figure is a median over epochs of images a second, divided by that of the first
column. The switches go through the same code as in a trial. Compiled graphs are kept below
--cache; the seconds of a first epoch tell what compiling costs.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.benchmarks.loop import LOSS, make_task, timed
from tests.benchmarks.machine import describe, in_one_line, parse, print_table, save
from workers.catalogue.models import MODELS
from workers.contract import Component, Runtime
from workers.environment import device_name, prepare_process
from workers.losses import build_loss
from workers.models import build_model
from workers.task import Task
from workers.training import compiled, train_epoch

SWITCHES: dict[str, dict[str, Any]] = {
    "exact": {},
    "channels_last": {"channels_last": True},
    "any kernel": {"deterministic": False},
    "tf32": {"tf32": True},
    "fused": {"fused_optimizer": True},
    "bfloat16": {"precision": "bfloat16"},
    "compiled": {"compiled": True},
}
SWITCHES["all"] = {key: value for switch in SWITCHES.values() for key, value in switch.items()}
SWITCHES["all eager"] = SWITCHES["all"] | {"compiled": False}

# Without compiling, which takes minutes and needs a compiler.
SMALLEST: dict[str, Any] = {
    "models": ["unet"], "switches": ["exact", "channels_last"],
    "width": 4, "side": 32, "images": 8, "epochs": 1,
}  # fmt: skip


class Case:
    """One network under one set of switches."""

    def __init__(self, task: Task, switch: dict[str, Any], runtime: Runtime) -> None:
        training = dataclasses.replace(task.spec.training, **{"channels_last": False} | switch)
        self.task = dataclasses.replace(
            task, spec=dataclasses.replace(task.spec, training=training)
        )
        self.runtime = runtime
        torch.manual_seed(0)
        parameters: dict[str, Any] = dict(task.spec.model.parameters)
        model = build_model(task.spec.model.name, num_classes=1, **parameters)
        model = model.to(task.device)
        if training.channels_last:
            model = model.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(
            model.parameters(), lr=training.learning_rate, fused=training.fused_optimizer or None
        )
        self.model: nn.Module = compiled(model) if training.compiled else model
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def switch(self) -> None:
        """Brings the process into the state in which a trial with these switches trains."""
        prepare_process(self.task.spec, self.runtime)

    def run(self, loss: nn.Module) -> None:
        """Trains one epoch."""
        epoch = len(self.seconds) + 1
        self.seconds.append(
            timed(
                lambda: self.losses.append(
                    train_epoch(self.model, loss, self.task, self.optimizer, epoch)
                ),
                self.task.device,
            )
        )


def measure(name: str, arguments: argparse.Namespace, runtime: Runtime) -> dict[str, Any]:
    """Returns one row: speed of every case of a model over the first."""
    parameters = {"width": arguments.width} if arguments.width and name == "unet" else {}
    size = arguments.batch_size
    component = Component(name=name, parameters=parameters)
    device = torch.device(arguments.device)
    task = make_task(component, arguments.side, arguments.images * 4 // 3, size, device)
    loss = build_loss(LOSS)
    cases = {key: Case(task, SWITCHES[key], runtime) for key in arguments.switches}
    eager = [case for case in cases.values() if not case.task.spec.training.compiled]
    for _ in range(arguments.epochs + 1):
        for case in eager:
            case.switch()
            case.run(loss)
    for case in cases.values():
        if case not in eager:
            case.switch()  # forgets what was compiled before: these cases cannot run in turns
            for _ in range(arguments.epochs + 1):
                case.run(loss)
    median = {key: statistics.median(case.seconds[1:]) for key, case in cases.items()}
    exact = median["exact"]
    num = len(task.split.train)
    row: dict[str, Any] = {"model": name, "images/s exact": num / exact}
    row |= {key: exact / seconds for key, seconds in median.items() if key != "exact"}
    row |= {
        f"first {key}, s": case.seconds[0]
        for key, case in cases.items()
        if case.task.spec.training.compiled
    }
    drift = [abs(case.losses[-1] - cases["exact"].losses[-1]) for case in cases.values()]
    return row | {"largest change of loss": max(drift)}


def main() -> None:
    """Measures every model and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--models", nargs="+", default=[name for name in MODELS if name != "smp"])
    parser.add_argument("--switches", nargs="+", default=list(SWITCHES), choices=list(SWITCHES))
    parser.add_argument("--width", type=int, help="of a U-Net, in place of 64")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--images", type=int, default=96, help="an epoch")
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "podium-bench")
    parser.add_argument("--json", type=Path)
    arguments = parse(parser, smallest=SMALLEST)
    runtime = Runtime(
        data_root=None,
        cache_dir=str(arguments.cache),
        num_threads=arguments.threads,
        gpu_ids=("0",) if arguments.device == "cuda" else (),
    )
    machine = describe("torch", "numpy") | {"device": device_name(torch.device(arguments.device))}
    print(f"{arguments.side} px, batch {arguments.batch_size}, loss {LOSS}; {in_one_line(machine)}")
    rows = [measure(name, arguments, runtime) for name in arguments.models]
    print_table(rows)
    save(arguments.json, {"machine": machine, "arguments": str(vars(arguments)), "models": rows})


if __name__ == "__main__":
    main()
