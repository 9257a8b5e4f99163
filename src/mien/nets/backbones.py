"""mien's own backbones, registered with timm under their names: small residual networks for faces of 32 to 64 px.

They are built from timm's blocks (`timm.models.byobnet`). Compared with timm's ResNet-10, they have few channels at full
resolution, where most of the time goes, a second convolution instead of max pooling, and strided 1 x 1 convolutions
instead of average pooling in the shortcuts, since pooling in int8 takes longer than convolving. All channels are
normalized alike, about a gray level that a quantized input represents exactly.
"""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

_NORMALIZATION = {"mean": (128 / 255,) * 3, "std": (64 / 255,) * 3, "input_size": (3, 48, 48)}
_LAYERS = {"first_conv": "stem.conv1.conv", "classifier": "head.fc", "pool_size": (3, 3)}
default_cfgs = generate_default_cfgs(
    {name: {**_NORMALIZATION, **_LAYERS} for name in ("mien_resnet14", "mien_resnet10")}
)


@register_model  # type: ignore[untyped-decorator]
def mien_resnet14(pretrained: bool = False, **options: Any) -> ByobNet:
    """2.6 M parameters, 124 M multiply-adds at 48 px."""
    return _build("mien_resnet14", pretrained, 16, (48, 96, 192, 256), (1, 2, 2, 1), options)


@register_model  # type: ignore[untyped-decorator]
def mien_resnet10(pretrained: bool = False, **options: Any) -> ByobNet:
    """0.75 M parameters, 35 M multiply-adds at 48 px."""
    return _build("mien_resnet10", pretrained, 16, (32, 64, 128, 160), (1, 1, 1, 1), options)


def _build(
    name: str,
    pretrained: bool,
    stem_width: int,
    widths: tuple[int, ...],
    depths: tuple[int, ...],
    options: dict[str, Any],
) -> ByobNet:
    blocks = tuple(
        ByoBlockCfg(type="basic", d=depth, c=width, s=1 if stage == 0 else 2, gs=0, br=1.0)
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True))
    )
    config = ByoModelCfg(
        blocks=blocks,
        stem_chs=(stem_width, widths[0]),
        stem_type="deep",
        stem_pool="",
        downsample="conv1x1",
    )
    backbone: ByobNet = build_model_with_cfg(ByobNet, name, pretrained, model_cfg=config, **options)
    backbone.stem.conv1.conv.stride = (1, 1)  # timm's stems begin with stride 2
    return backbone
