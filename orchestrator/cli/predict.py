"""`podium predict`: masks of new images by the trained network of a finished trial."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.shared import ProtocolOption, print_line, print_notes
from orchestrator.wording import count_text
from workers.contract import UserError


def predict(
    results: Annotated[str, typer.Argument(help="A results folder or URI.", metavar="RESULTS")],
    images: Annotated[list[Path], typer.Argument(help="Files of images.", metavar="IMAGE...")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    trial: Annotated[
        str | None, typer.Option(help="Id of the trial, or its beginning.", metavar="ID")
    ] = None,
    best: Annotated[
        bool, typer.Option("--best", help="The best trial of the leading loss instead.")
    ] = False,
    dataset: Annotated[
        str | None, typer.Option(help="With --best: the dataset it was trained on.")
    ] = None,
    protocol: ProtocolOption = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Mean probability over all repeats of the trial.")
    ] = False,
    code: Annotated[
        Path | None, typer.Option(help="The file of code of the model, if it is in one.")
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="Of images of 16 bits: how many bits their levels use.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")] = "cpu",
) -> None:
    """Write mask, probability and overlay of each image, at its own size.

    The sweep must have kept its weights (runtime.keep_weights: best).
    """
    from orchestrator.prediction import best_trial, load_ensemble, load_model, turned_notes
    from orchestrator.prediction import predict as predict_images

    if (trial is None) != best:
        msg = "name one trial: give --trial ID, or --best"
        raise UserError(msg)
    for option, value in (("--dataset", dataset), ("--protocol", protocol)):
        if value is not None and not best:
            msg = f"{option} {value}: allowed only with --best; leave it out"
            raise UserError(msg)
    if code is not None:
        from workers.catalogue.models import MODELS

        MODELS.add_file(code)
    trial_id = (
        trial if trial is not None else best_trial(results, dataset=dataset, protocol=protocol)
    )
    load = load_ensemble if ensemble else load_model
    model = load(results, trial_id, device=device, bits=bits)
    print_notes(turned_notes(images))
    for member in model.members:
        spec = member.spec
        print_line(
            f"{spec.model.label} trained with {spec.loss.label} on {spec.dataset.label}, "
            f"repeat {spec.repeat}"
        )
    for path, pixels in predict_images(model, images, out):
        print_line(f"{path}: {count_text(pixels, 'lesion pixel')}")
