"""The memory estimate of a training step against what torch's profiler counts of a real one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from mien.formats.pack import Pack
from mien.nets.network import build_face_network
from mien.recipe import ModelConfig, Recipe
from mien.train.dataloader import FaceBatches
from mien.train.dataset import read_training_faces
from mien.train.dry_run.cost import estimate_memory
from mien.train.objective import Objective
from mien.train.sampler import Draw


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("backbone", ["resnet10t", "efficientnet_b0"])
def test_activations_are_what_a_forward_pass_leaves(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, backbone: str, precision: str
) -> None:
    """Measured on 2 and 3 faces, the estimate for 16 is what is allocated when their backward pass begins."""
    recipe = replace(
        tiny_recipe,
        model=ModelConfig(backbone=backbone, pretrained=False),
        runtime=replace(tiny_recipe.runtime, precision=precision),
    )
    faces = read_training_faces([Pack.open(training_pack)], recipe.data).train
    dataset = FaceBatches(faces, 48, recipe.data.augment)
    network = build_face_network(recipe.model, 3, input_size=48, pretrained=False).train()
    objective = Objective(recipe.schedule.loss, np.full(3, 64), tasks=network.tasks)
    memory = estimate_memory(network, objective, dataset, recipe)
    batch = dataset.__getitems__([Draw(0, place, place) for place in range(16)])
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision != "32-true")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler, autocast:
        losses = objective(network(batch.images_rgb), batch)
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    assert losses.total.requires_grad
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    left = sum(event["args"]["Bytes"] for event in events if event.get("name") == "[memory]")
    assert memory.activations == pytest.approx(left, rel=0.05)
