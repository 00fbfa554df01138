"""A trained network with its preparation: kept weights in, probabilities of any image out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from safetensors import SafetensorError
from torch import Tensor, nn

from workers.catalogue.code_files import digest_in
from workers.catalogue.models import MODELS, input_normalisation
from workers.contract import TrialSpec, UserError
from workers.datasets.cache import MIN_DECODED_SIDE, MIN_REDUCTION
from workers.datasets.files.pictures import (
    UnreadableImageError,
    as_rgb,
    decode,
    read_header,
    reduce_image,
    resize_image,
)
from workers.models import build_model
from workers.models.output import output_of
from workers.task import autocast, input_scaling


def pack_weights(model: nn.Module) -> bytes:
    """Returns the weights and buffers of a network in the format of safetensors."""
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    return safetensors.torch.save(state)


class TrainedModel:
    """A trained network that prepares images as its training did.

    Attributes:
        spec: The trial that trained it.
        network: In evaluation mode.

    Args:
        spec: The trial.
        weights: Its kept weights in the format of safetensors.
        device: Where to compute.
        bits: How many bits the levels of 16-bit images use; None refuses such images.

    Raises:
        UserError: The device does not exist, the weights do not fit the network, or the network is
            in a user's file that this process has not read.
    """

    def __init__(
        self, spec: TrialSpec, weights: bytes, *, device: str = "cpu", bits: int | None = None
    ) -> None:
        if bits is not None and not 8 <= bits <= 16:
            msg = f"--bits {bits}: give 8 to 16, as many as the highest level of the data needs"
            raise UserError(msg)
        self.spec = spec
        self._bits = bits
        self._device = _device(device)
        # The architecture only: the weights of a pretrained backbone are among the kept ones.
        digest = digest_in(spec.model.name)
        if digest is not None and spec.model.name not in MODELS:
            msg = (
                f"model {spec.model.label!r} is in a file of code with the digest {digest}, and "
                "results contain no code; give this file as --code FILE, or in Python call "
                "podium.MODELS.add_file(FILE) before"
            )
            raise UserError(msg)
        parameters: dict[str, Any] = dict(spec.model.parameters)
        network = build_model(spec.model.name, weight_files=(), **parameters)
        try:
            network.load_state_dict(safetensors.torch.load(weights))
        except (RuntimeError, SafetensorError) as error:
            msg = f"the kept weights do not fit model {spec.model.label!r}: {error}"
            raise UserError(msg) from error
        layout = torch.channels_last if spec.training.channels_last else torch.contiguous_format
        self.network = network.to(self._device).to(memory_format=layout).eval()
        normalisation = input_normalisation(spec.model.name, spec.model.parameters)
        self._scaling = input_scaling(normalisation or spec.data.normalisation, self._device)

    @property
    def members(self) -> tuple[TrainedModel, ...]:
        """The network itself, as an ensemble of one."""
        return (self,)

    def logits(self, image: str | Path | np.ndarray) -> np.ndarray:
        """Returns the raw output, (S, S) float32, at the size S of the network's input.

        Args:
            image: A file, or (H, W, 3) uint8.

        Raises:
            UserError: The file cannot be read, or has 16 bits and it is not known how many of them
                count.
        """
        side = self.spec.data.image_size
        if isinstance(image, np.ndarray):
            prepared = resize_image(image, side)
        else:
            path = Path(image)
            least = max(MIN_REDUCTION * side, MIN_DECODED_SIDE)
            prepared = reduce_image(self.picture(path, min_side=least), path, side)
        return self._forward(prepared)[0, 0].cpu().numpy()

    def picture(self, path: Path, *, min_side: int | None = None) -> np.ndarray:
        """Returns a file as (H, W, 3) uint8, its levels scaled as in the training.

        Args:
            path: The file.
            min_side: See `workers.datasets.files.pictures.decode`.

        Raises:
            UserError: See `logits`.
        """
        try:
            stored = decode(path, min_side=min_side)
        except UnreadableImageError as error:
            msg = f"{path}: cannot be read: {error.reason}"
            raise UserError(msg) from error
        if stored.dtype == np.uint16 and self._bits is None:
            msg = (
                f"{path}: has 16 bits, and a training scales such levels by the highest one of its "
                "dataset, which the results do not hold; give --bits N (8 to 16), the bits that "
                "this level needs, or store 8 bits"
            )
            raise UserError(msg)
        return as_rgb(stored, self._bits or 16)

    def probability(self, image: str | Path | np.ndarray) -> np.ndarray:
        """Returns the probability of lesion, (H, W) float32, at the image's own size.

        The raw output is brought to that size by bilinear interpolation before the sigmoid.
        Arguments and errors as for `logits`.
        """
        logits = torch.from_numpy(self.logits(image))[None, None]
        size = _size_of(image)
        own = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        return own.sigmoid()[0, 0].numpy()

    def mask(self, image: str | Path | np.ndarray) -> np.ndarray:
        """Returns where the probability is over 0.5, (H, W) bool; arguments as for `logits`."""
        return self.probability(image) > 0.5

    def _forward(self, image_HWC: np.ndarray) -> Tensor:
        scale, shift = self._scaling
        pixels_BCHW = torch.from_numpy(image_HWC.copy()).to(self._device).permute(2, 0, 1)[None]
        pixels_BCHW = pixels_BCHW.float().mul_(scale).add_(shift)
        if not self.spec.training.channels_last:
            pixels_BCHW = pixels_BCHW.contiguous()
        with torch.inference_mode(), autocast(self.spec.training, self._device):
            return output_of(self.network, pixels_BCHW).logits_BCHW.float()


class Ensemble:
    """The mean probability of several trained networks.

    Args:
        members: Networks that find the same lesions.
    """

    def __init__(self, members: Sequence[TrainedModel]) -> None:
        self.members = tuple(members)

    def picture(self, path: Path) -> np.ndarray:
        """Returns a file as the members read it; see `TrainedModel.picture`."""
        return self.members[0].picture(path)

    def probability(self, image: str | Path | np.ndarray) -> np.ndarray:
        """Returns the mean of the members' probabilities; see `TrainedModel.probability`."""
        found = [member.probability(image) for member in self.members]
        return np.asarray(np.mean(found, axis=0, dtype=np.float32))

    def mask(self, image: str | Path | np.ndarray) -> np.ndarray:
        """Returns where the mean probability is over 0.5, (H, W) bool."""
        return self.probability(image) > 0.5


def _device(name: str) -> torch.device:
    known = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if name not in known and not (name == "cuda" and len(known) > 1):
        msg = f"--device {name}: this machine has no such device; choose one of {', '.join(known)}"
        raise UserError(msg)
    return torch.device(name)


def _size_of(image: str | Path | np.ndarray) -> tuple[int, int]:
    if isinstance(image, np.ndarray):
        return image.shape[0], image.shape[1]
    header = read_header(Path(image))
    return header.height, header.width
