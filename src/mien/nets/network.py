"""The network: a timm backbone, global pooling, and a linear head for each task.

Shapes: B batch, S side of the input, C classes, D features.
"""

import copy
import math
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, cast

import huggingface_hub
import timm
import torch
from timm.layers import SelectAdaptivePool2d
from torch import Tensor, nn
from torch.nn import functional

import mien.nets.backbones  # noqa: F401 - registers its backbones with timm
from mien.errors import ModelError
from mien.recipe import DEFAULT_BACKBONE, ModelConfig
from mien.tasks import NO_ANNOTATIONS, TASKS, Annotations, task_shapes

# Weights of red, green and blue in brightness (ITU-R BT.601), by which image libraries convert to grayscale.
LUMA_WEIGHTS = (0.299, 0.587, 0.114)
# Timeout of the check that the hub with timm's weights can be reached.
REACH_SECONDS = 5.0


class FaceNetwork(nn.Module):
    """Predicts the tasks of a recipe from cropped faces.

    Convention: takes RGB ``(B, S, S, 3)``, uint8 or float in [0, 255], and normalizes it itself. The channels
    come last in memory, which suits convolutions on a CPU and on tensor cores.
    """

    mean: Tensor
    std: Tensor | None
    luma_weights: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        n_classes: int,
        config: ModelConfig,
        *,
        annotations: Annotations = NO_ANNOTATIONS,
    ) -> None:
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
        self.shapes = {
            name: shape
            for name, shape in task_shapes(n_classes, annotations).items()
            if name == "expression" or getattr(config, name)
        }
        for name, shape in self.shapes.items():
            n_inputs = n_features
            if name == "expression" and config.condition_on_landmarks:
                n_inputs += math.prod(self.shapes["landmarks"])
            task = TASKS[name]
            self.add_module(task.head, task.resolve("build_head")(n_inputs, math.prod(shape)))
        # Looked up here: `torch.export` does not follow names.
        self._activations: dict[str, Callable[[Tensor], Tensor]] = {
            name: TASKS[name].resolve("activation") for name in self.shapes if TASKS[name].activation
        }

    def forward(self, images_rgb: Tensor) -> dict[str, Tensor]:
        """Predict faces ``(B, S, S, 3)``.

        Returns:
            ``(B, *shape)`` by task, as `Task.loss` takes them: the expression's are logits.
        """
        return self.forward_with_features(images_rgb)[0]

    def forward_with_features(self, images_rgb: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Predict faces as `forward` does; return also the features ``(B, D)`` that the expression's head takes."""
        pixels = images_rgb.to(self.mean.dtype)
        if self.grayscale:
            pixels = (pixels * self.luma_weights).sum(dim=-1, keepdim=True)
        pixels = pixels - self.mean
        if self.std is not None:
            pixels = pixels / self.std
        features = self.backbone(pixels.permute(0, 3, 1, 2))
        if self.hidden is not None:
            features = functional.relu(self.hidden(features))
        features = self.dropout(features)
        landmarks = self._head("landmarks")(features) if "landmarks" in self.shapes else None
        expression_features = features
        if self.conditions_on_landmarks and landmarks is not None:
            # The expression's gradient does not move the landmarks.
            centered = (landmarks.detach() - 0.5).to(features.dtype)
            expression_features = torch.cat([features, centered], dim=1)
        outputs = {}
        for name, shape in self.shapes.items():
            if name == "landmarks" and landmarks is not None:
                value = landmarks
            else:
                value = self._head(name)(expression_features if name == "expression" else features)
            if name in self._activations:
                value = self._activations[name](value)
            outputs[name] = value if len(shape) == 1 else value.view(-1, *shape)
        return outputs, expression_features

    def _head(self, task: str) -> nn.Module:
        return self.get_submodule(TASKS[task].head)

    def fold_normalization(self, input_size: int) -> "FaceNetwork":
        """Return the network for inference, with everything before its first convolution folded into that.

        The copy only subtracts a gray level, so that a quantized one takes the pixels as they are. The network itself is
        returned if that is impossible: the zeros with which convolutions pad must stand for one integer gray level in
        all channels.

        Args:
            input_size: side of the input in pixels.
        """
        first = find_first_convolution(self.backbone)
        means = torch.unique(self.mean)
        if first is None or self.std is None or len(means) != 1 or means != means.round():
            return self
        folded = copy.deepcopy(self).eval()
        first = find_first_convolution(folded.backbone)
        assert first is not None  # noqa: S101 - it was there in the original
        with torch.no_grad():
            weight = first.weight / self.std[:, None, None]
            if self.grayscale:
                weight = weight.sum(dim=1, keepdim=True) * self.luma_weights[:, None, None]
            first.weight.copy_(weight)
        folded.grayscale, folded.std, folded.mean = False, None, means
        probe = torch.arange(input_size**2 * 3).remainder(256).view(1, input_size, input_size, 3)
        with torch.inference_mode():
            expected = copy.deepcopy(self).eval()(probe)["expression"]
            actual = folded(probe)["expression"]
        # They differ if the backbone's first layers branch.
        return folded if torch.allclose(expected, actual, rtol=1e-3, atol=1e-3) else self

    def unfold_normalization(self) -> None:
        """Undo `fold_normalization` in the first convolution, whose weights are those of a folded network."""
        first = find_first_convolution(self.backbone)
        if first is None or self.std is None:
            raise ValueError("this network cannot have been folded")
        with torch.no_grad():
            weight = first.weight
            if self.grayscale:  # all channels get the same gray level
                weight = weight.sum(dim=1, keepdim=True).expand_as(weight) / weight.shape[1]
            first.weight.copy_(weight * self.std[:, None, None])

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that the network predicts, in the order of its outputs."""
        return tuple(self.shapes)

    def head_modules(self) -> list[nn.Module]:
        """Return the modules after the backbone."""
        heads = [self._head(task) for task in self.shapes]
        return heads if self.hidden is None else [self.hidden, *heads]


def build_face_network(
    config: ModelConfig,
    n_classes: int,
    *,
    input_size: int,
    pretrained: bool,
    annotations: Annotations = NO_ANNOTATIONS,
) -> FaceNetwork:
    """Build the network that a recipe describes.

    Args:
        config: the recipe's model.
        n_classes: expressions to tell apart.
        input_size: side of its input in pixels.
        pretrained: download the backbone's ImageNet weights.
        annotations: the columns of optional tasks.

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
    return FaceNetwork(backbone, n_classes, config, annotations=annotations)


def find_first_convolution(backbone: nn.Module) -> nn.Conv2d | None:
    """Return the first convolution of a backbone; None if it has none."""
    return next((module for module in backbone.modules() if isinstance(module, nn.Conv2d)), None)


def set_stem_stride(backbone: nn.Module, stride: int, *, name: str) -> None:
    """Set the stride of the backbone's first convolution, which keeps its weights.

    Raises:
        ModelError: the backbone does not start with a plain convolution of stride 2.
    """
    first = find_first_convolution(backbone)
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
    for path, module in list(backbone.named_modules()):
        if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
            # For memory with channels last, torch exports this pooling with a dozen nodes, which OpenCV cannot read.
            backbone.set_submodule(path, SelectAdaptivePool2d(pool_type="fastavg"))
    return backbone.to(memory_format=torch.channels_last)


def go_offline_if_unreachable() -> None:
    """Restrict the hub to its cache if it cannot be reached; otherwise it retries for 47 s."""
    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=REACH_SECONDS)
    except Exception:  # noqa: BLE001 - the session's library, and so its errors, differ between releases
        huggingface_hub.constants.HF_HUB_OFFLINE = True
