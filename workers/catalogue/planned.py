"""The study's models that are not built yet: a grid may name them, a run refuses them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """One architecture of the study without code here.

    Attributes:
        parameters: Trainable parameters, one output channel.
        gmacs_224: Multiply-adds of one 1x3x224x224 forward pass, in 1e9.
    """

    name: str
    title: str
    parameters: int
    gmacs_224: float
    citation: str


PLANNED_MODELS: dict[str, PlannedModel] = {
    entry.name: entry
    for entry in (
        PlannedModel(
            name="colonsegnet",
            title="ColonSegNet",
            parameters=5_014_049,
            gmacs_224=30.16,
            citation="Jha et al., IEEE Access 2021, arXiv:2011.07631",
        ),
        PlannedModel(
            name="fat-net",
            title="FAT-Net",
            parameters=28_758_657,
            gmacs_224=22.92,
            citation="Wu et al., Med Image Anal 76 (2022), doi 10.1016/j.media.2021.102327",
        ),
        PlannedModel(
            name="fcbformer",
            title="FCBFormer",
            parameters=52_962_337,
            gmacs_224=29.87,
            citation="Sanderson and Matuszewski, MIUA 2022, arXiv:2208.08352",
        ),
        PlannedModel(
            name="colonformer",
            title="ColonFormer",
            parameters=52_944_528,
            gmacs_224=9.50,
            citation="Duc et al., IEEE Access 2022, arXiv:2205.08473",
        ),
        PlannedModel(
            name="caranet",
            title="CaraNet",
            parameters=44_593_560,
            gmacs_224=8.73,
            citation="Lou et al., SPIE Medical Imaging 2022, arXiv:2108.07368",
        ),
        PlannedModel(
            name="esfpnet",
            title="ESFPNet",
            parameters=61_690_049,
            gmacs_224=9.16,
            citation="Chang et al., SPIE Medical Imaging 2023, arXiv:2207.07759",
        ),
        PlannedModel(
            name="duck-net",
            title="DuckNet",
            parameters=38_867_668,
            gmacs_224=18.49,
            citation="Dumitru et al., Sci Rep 13 (2023), doi 10.1038/s41598-023-36940-5",
        ),
        PlannedModel(
            name="emcad",
            title="EMCADNet",
            parameters=26_764_411,
            gmacs_224=4.39,
            citation="Rahman et al., CVPR 2024, arXiv:2405.06880",
        ),
    )
}
