"""Write a model file as a folder of Triton's model repository, which KServe and Triton serve as it is.

    python deploy/triton.py model.onnx repository

The result is ``repository/NAME`` with ``config.pbtxt``, ``labels.txt`` and ``1/model.onnx``. It takes face crops, as the model
file does: a client has to detect and crop (docs/guide/deploy.md).
"""

import argparse
import re
import shutil
from pathlib import Path

from mien.artifacts import new_folder
from mien.assets.bundled_models import find_model, model_name
from mien.formats.onnx_model import INPUT_NAME, OnnxModel

MAX_BATCH = 32
# How long the first face of a batch waits for others, as `mien serve` does.
QUEUE_DELAY_US = 2000


def config_text(name: str, model: OnnxModel) -> str:
    """Return the content of config.pbtxt."""
    size = model.info.input_size
    outputs = ",\n".join(
        f'  {{ name: "{task}" data_type: TYPE_FP32 dims: [ {", ".join(map(str, shape))} ]'
        + (' label_filename: "labels.txt" }' if task == "expression" else " }")
        for task, shape in model.info.output_shapes().items()
    )
    return f"""name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: {MAX_BATCH}
input [
  {{ name: "{INPUT_NAME}" data_type: TYPE_UINT8 dims: [ {size}, {size}, 3 ] }}
]
output [
{outputs}
]
instance_group [ {{ kind: KIND_CPU }} ]
dynamic_batching {{ max_queue_delay_microseconds: {QUEUE_DELAY_US} }}
"""


def write_repository(model: str | Path | None, repository: Path, *, force: bool = False) -> Path:
    """Write a model into a model repository; return its folder.

    Raises:
        ArtifactError: the model cannot be used, or its folder exists.
    """
    loaded = OnnxModel.load(find_model(model))
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", model_name(loaded.path))
    repository.mkdir(parents=True, exist_ok=True)
    with new_folder(repository / name, force=force, kind_mark="config.pbtxt") as folder:
        (folder / "1").mkdir()
        shutil.copyfile(loaded.path, folder / "1" / "model.onnx")
        (folder / "labels.txt").write_text(
            "".join(f"{label}\n" for label in loaded.info.classes), encoding="utf-8"
        )
        (folder / "config.pbtxt").write_text(config_text(name, loaded), encoding="utf-8")
    return repository / name


def main() -> None:
    """Write the folder and print its path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "model", help="file written by `mien export`, its address on the Hub, or name of a bundled model"
    )
    parser.add_argument("repository", type=Path, help="folder of the model repository")
    parser.add_argument("--force", action="store_true", help="replace the model's folder")
    args = parser.parse_args()
    print(write_repository(args.model, args.repository, force=args.force))


if __name__ == "__main__":
    main()
