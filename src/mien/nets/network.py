"""The network: a timm backbone, global pooling, and a linear head for each task.

Shapes: B batch, S side of the input, C classes, D features.
"""

from difflib import get_close_matches
from typing import Any, NamedTuple, cast

import huggingface_hub
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.errors import ModelError
from mien.faces.landmarks import N_LANDMARKS
from mien.recipe import DEFAULT_BACKBONE, ModelConfig

# Weights of red, green and blue in brightness (ITU-R BT.601), by which image libraries convert to grayscale.
LUMA_WEIGHTS = (0.299, 0.587, 0.114)
# Timeout of the check that the hub with timm's weights can be reached.
REACH_SECONDS = 5.0


class FaceOutputs(NamedTuple):
    """The network's outputs for a batch of faces. A head that is switched off gives None.

    Attributes:
        logits: ``(B, C)`` expression logits.
        landmarks: ``(B, 68, 2)`` fractions of the crop.
        valence_arousal: ``(B, 2)`` in [-1, 1].
    """

    logits: Tensor
    landmarks: Tensor | None
    valence_arousal: Tensor | None


class FaceNetwork(nn.Module):
    """Predicts expression, landmarks and valence/arousal from cropped faces.

    Convention: takes RGB ``(B, S, S, 3)``, uint8 or float in [0, 255], and normalizes it itself. The channels
    come last in memory, which suits convolutions on a CPU and on tensor cores.
    """

    mean: Tensor
    std: Tensor
    luma_weights: Tensor

    def __init__(self, backbone: nn.Module, n_classes: int, config: ModelConfig) -> None:
        super().__init__()
        if config.condition_on_landmarks and not config.landmarks:
            raise ValueError("`condition_on_landmarks` needs the landmark head, got `landmarks=False`")
        self.backbone = backbone
        pretrained_cfg = cast("dict[str, Any]", self.backbone.pretrained_cfg)
        for name in ("mean", "std"):
            scaled = 255 * torch.tensor(pretrained_cfg[name])
            self.register_buffer(name, scaled, persistent=False)
        self.grayscale = config.grayscale
        self.register_buffer("luma_weights", torch.tensor(LUMA_WEIGHTS), persistent=False)
        n_features = int(cast("int", self.backbone.head_hidden_size))
        self.dropout = nn.Dropout(config.drop_rate)
        self.hidden = (
            None if config.head_hidden_size is None else nn.Linear(n_features, config.head_hidden_size)
        )
        n_features = config.head_hidden_size or n_features
        self.conditions_on_landmarks = config.condition_on_landmarks
        n_points = 2 * N_LANDMARKS if config.condition_on_landmarks else 0
        self.expression_head = nn.Linear(n_features + n_points, n_classes)
        self.landmark_head = nn.Linear(n_features, 2 * N_LANDMARKS) if config.landmarks else None
        self.affect_head = nn.Linear(n_features, 2) if config.valence_arousal else None
        if self.landmark_head is not None:
            nn.init.zeros_(self.landmark_head.weight)
            nn.init.constant_(self.landmark_head.bias, 0.5)

    def forward(self, images_rgb: Tensor) -> FaceOutputs:
        """Predict faces ``(B, S, S, 3)``."""
        pixels = images_rgb.to(self.mean.dtype)
        if self.grayscale:
            pixels = (pixels * self.luma_weights).sum(dim=-1, keepdim=True)
        pixels = (pixels - self.mean) / self.std
        features = self.backbone(pixels.permute(0, 3, 1, 2))
        if self.hidden is not None:
            features = functional.relu(self.hidden(features))
        features = self.dropout(features)
        landmarks = None if self.landmark_head is None else self.landmark_head(features)
        expression_features = features
        if self.conditions_on_landmarks and landmarks is not None:
            # The expression's gradient does not move the landmarks.
            centered = (landmarks.detach() - 0.5).to(features.dtype)
            expression_features = torch.cat([features, centered], dim=1)
        return FaceOutputs(
            self.expression_head(expression_features),
            None if landmarks is None else landmarks.view(-1, N_LANDMARKS, 2),
            None if self.affect_head is None else torch.tanh(self.affect_head(features)),
        )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that the network predicts, in the order of `FaceOutputs`."""
        heads = {"landmarks": self.landmark_head, "valence_arousal": self.affect_head}
        return ("expression", *(task for task, head in heads.items() if head is not None))

    def head_modules(self) -> list[nn.Module]:
        """Return the modules after the backbone."""
        heads = (self.hidden, self.expression_head, self.landmark_head, self.affect_head)
        return [head for head in heads if head is not None]


def build_face_network(
    config: ModelConfig, n_classes: int, *, input_size: int, pretrained: bool
) -> FaceNetwork:
    """Build the network that a recipe describes.

    Args:
        config: the recipe's model.
        n_classes: expressions to tell apart.
        input_size: side of its input in pixels.
        pretrained: download the backbone's ImageNet weights.

    Raises:
        ModelError: there is no such backbone, it does not support these options, or its weights are not available.
    """
    name = config.backbone or DEFAULT_BACKBONE
    backbone = create_backbone(
        name, input_size=input_size, drop_path_rate=config.drop_path_rate, pretrained=pretrained
    )
    if config.stem_stride is not None:
        set_stem_stride(backbone, config.stem_stride, name=name)
    _require_runs(backbone, config, input_size)
    return FaceNetwork(backbone, n_classes, config)


def set_stem_stride(backbone: nn.Module, stride: int, *, name: str) -> None:
    """Set the stride of the backbone's first convolution, which keeps its weights.

    Raises:
        ModelError: the backbone does not start with a plain convolution of stride 2.
    """
    first = next((module for module in backbone.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.stride != (2, 2) or first.kernel_size == (2, 2):
        got = "none" if first is None else f"kernel {first.kernel_size}, stride {first.stride}"
        raise ModelError(
            f"`model.stem_stride` needs a backbone that starts with a convolution of stride 2; {name} starts with "
            f"{got}. Leave the key out"
        )
    first.stride = (stride, stride)


def _require_runs(backbone: nn.Module, config: ModelConfig, input_size: int) -> None:
    """Run the backbone on an image: some support only one input size, or have first layers that branch.

    Raises:
        ModelError: it cannot run with these options.
    """
    try:
        with torch.inference_mode():
            backbone.eval()(torch.zeros(1, 3, input_size, input_size))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        stride, advice = "", "Choose another `data.input_size` or `model.backbone`"
        if config.stem_stride is not None:
            stride, advice = f" with `model.stem_stride: {config.stem_stride}`", "Leave the key out"
        raise ModelError(
            f"{config.backbone} cannot run{stride} at {input_size} px ({reason}). {advice}"
        ) from error
    backbone.train()


def create_backbone(
    name: str, *, input_size: int = 224, drop_path_rate: float = 0.0, pretrained: bool = False
) -> nn.Module:
    """Create a timm model that returns pooled features.

    Args:
        name: one of `timm.list_models()`.
        input_size: side of its input in pixels; matters to models with a fixed size, such as vision transformers.
        drop_path_rate: stochastic-depth rate of the deepest block.
        pretrained: start from ImageNet weights.

    Raises:
        ModelError: timm has no such model, or its weights are not available.
    """
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f"Did you mean {', '.join(near)}?" if near else "See timm.list_models()"
        raise ModelError(f"timm has no backbone {name!r}. {hint}")
    options: dict[str, Any] = {"drop_path_rate": drop_path_rate} if drop_path_rate else {}
    try:
        has_fixed_size = bool(timm.get_pretrained_cfg(name).fixed_input_size)
    except RuntimeError as error:
        raise ModelError(f"timm has no weights of the name {name!r}: {error}") from None
    if has_fixed_size:
        options["img_size"] = input_size
    if pretrained:
        go_offline_if_unreachable()
    try:
        backbone: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except (TypeError, AssertionError) as error:
        raise ModelError(
            f"timm's {name} cannot be built with {options or 'its defaults'}: {error}"
        ) from error
    except Exception as error:
        if not pretrained:
            raise
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ModelError(
            f"The ImageNet weights of {name} could not be downloaded ({reason}). Start from scratch with "
            "--model.pretrained false, or name a file with --model.weights"
        ) from error
    return backbone.to(memory_format=torch.channels_last)


def go_offline_if_unreachable() -> None:
    """Restrict the hub to its cache if it cannot be reached; otherwise it retries for 47 s."""
    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=REACH_SECONDS)
    except Exception:  # noqa: BLE001 - the session's library, and so its errors, differ between releases
        huggingface_hub.constants.HF_HUB_OFFLINE = True
