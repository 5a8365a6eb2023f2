"""Speed of the data pipeline relative to the trainer for one recipe, in CPU seconds, as JSON.

    python benchmarks/data_pipeline.py RECIPE CLIPS [SECONDS]

CLIPS: a folder of cached clips. Both run alone and are measured in CPU seconds of one core, so that other
load does not matter. `ratio` is the rate of one pipeline core over the rate of one trainer core, which is the
case of a recipe with one worker and one thread on two cores.
"""

import json
import sys
import time
from pathlib import Path

import cv2
import torch

from asled_cli.lab.training.loop import update
from asled_cli.lab.training.recipe import read_recipe
from asled_cli.lab.training.state import begin
from asled_cli.lab.training_data.cached_clip import stack_samples
from asled_cli.lab.training_data.crops import CropDataset
from asled_cli.zoo import registry as zoo


def main() -> None:
    """Print samples per CPU second of the pipeline, of the trainer, and their ratio."""
    recipe, clips = Path(sys.argv[1]), Path(sys.argv[2])
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 30.0
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = read_recipe(recipe)
    size = config.samples.batch
    samples = CropDataset(clips, config.samples)
    stack_samples([samples[i] for i in range(size)])  # warm up
    batches: list[dict[str, torch.Tensor]] = []
    began, made = time.process_time(), 0
    while time.process_time() - began < seconds:
        batches = [*batches[-3:], stack_samples([samples[size * (made + 1) + i] for i in range(size)])]
        made += 1
    delivered = made * size / (time.process_time() - began)
    progress = begin(config, zoo.build(config.network, config.options), "cpu")
    update(progress, batches[0])  # warm up
    began, used = time.process_time(), 0
    while time.process_time() - began < seconds:
        update(progress, batches[used % len(batches)])
        used += 1
    consumed = used * size / (time.process_time() - began)
    row = {"recipe": recipe.name, "delivered_per_cpu_s": delivered, "consumed_per_cpu_s": consumed}
    sys.stdout.write(json.dumps(row | {"ratio": delivered / consumed}) + "\n")


if __name__ == "__main__":
    main()
