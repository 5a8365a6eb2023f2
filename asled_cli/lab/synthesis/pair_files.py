"""Files of blurred clips in the layouts that training and scoring read, as images or lossless videos."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from glob import escape
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import UsageError
from asled_cli.lab.datasets.image_sequence import Picture, Pictures
from asled_cli.lab.synthesis.clip import SynthClip
from asled_cli.lab.synthesis.ground_truth_flow import hidden, lens_flow, true_flow
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair
from asled_cli.runtime.atomic_file import explain_full_disk, set_mode, short_name
from asled_cli.runtime.own_files import OwnFiles
from asled_cli.video.open_output import open_output

PairLayout = Literal["generic", "realmcvsr"]
Store = Literal["frames", "video"]
Split = Literal["train", "valid", "test"]
_NUMBERED = re.compile(r"\d{4,}\.(png|flo)")  # names of the files that `_write_folder` writes


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesConfig:
    """Places of the views of a clip below the output folder, and their format."""

    layout: PairLayout = "generic"
    """generic: {blur,gt,ref}/<clip>. realmcvsr: <split>/HR/{W_blur,W,UW}/<clip>, W and UW sharp."""
    store: Store = "frames"
    """frames: a folder of PNG for each clip. video: one FFV1 file with the same pixels."""
    split: Split | None = None
    """Folder of the split; None: none for generic, train for realmcvsr."""
    flow: bool = False
    """Also write the exact flow to the next truth, and into the ultra view (Middlebury .flo, pixels)."""
    occlusion: bool = False
    """Also write an occlusion mask of the next truth (PNG, 255: hidden)."""

    def folders(self) -> dict[str, str]:
        """Return view -> folder of its clips, below the output folder."""
        top = self.split or ("train" if self.layout == "realmcvsr" else "")
        names = {"blur": "blur", "truth": "gt", "ultra": "ref"}
        if self.layout == "realmcvsr":
            names = {"blur": "HR/W_blur", "truth": "HR/W", "ultra": "HR/UW"}
        extra = {"flow": "flow", "lens_flow": "flow_to_ref", "hidden": "occlusion"}
        return {view: f"{top}/{folder}".lstrip("/") for view, folder in (names | extra).items()}

    def places(self, name: str) -> dict[str, str]:
        """Return view -> path of the clip `name`, below the output folder; requested views only."""
        asked = {"flow": self.flow, "lens_flow": self.flow, "hidden": self.occlusion}
        suffix = ".mkv" if self.store == "video" else ""
        return {
            view: f"{folder}/{name}{'' if view in asked else suffix}"
            for view, folder in self.folders().items()
            if asked.get(view, True)
        }


def write_clip(root: Path, name: str, clip: SynthClip, config: FilesConfig) -> None:
    """Write all views of a clip, each atomically.

    Raises UsageError if flow is asked for and the clip is real video, AsledError if the disk is full.
    """
    files = own_files(root, name)
    with explain_full_disk(root / name, "Run the same again to continue; clips that are complete stay."):
        for view, pictures in (("blur", clip.blur), ("truth", clip.truth), ("ultra", clip.ultra)):
            place = config.places(name)[view]
            if config.store == "video":
                files.write(place, partial(_write_video, pictures=pictures, fps=clip.fps))
            else:
                _write_folder(files, place, _pngs(pictures))
        if config.flow or config.occlusion:
            _write_geometry(files, name, _scene(clip, name), config)


def own_files(root: Path, name: str) -> OwnFiles:
    """Return the files of the clip `name` that earlier runs wrote and that may be replaced."""
    return OwnFiles(root, root / "manifest" / f"{name}.files.json")


def _scene(clip: SynthClip, name: str) -> SyntheticPair:
    if clip.scene is None or clip.scene.motion is None:
        raise UsageError(
            f"{name} is real video, which has no exact flow.", "Drop --flow and --occlusion, or shake photos."
        )
    return clip.scene


def _write_geometry(files: OwnFiles, name: str, scene: SyntheticPair, config: FilesConfig) -> None:
    places, frames = config.places(name), len(scene.truth)
    if config.flow:
        _write_folder(files, places["flow"], _flows(true_flow(scene, t, t + 1) for t in range(frames - 1)))
        _write_folder(files, places["lens_flow"], _flows(lens_flow(scene, t) for t in range(frames)))
    if config.occlusion:
        masks = (hidden(scene, t, t + 1).astype(np.uint8) * 255 for t in range(frames - 1))
        _write_folder(files, places["hidden"], ((".png", _png(mask)) for mask in masks))


def _pngs(pictures: Pictures) -> Iterator[tuple[str, bytes]]:
    for index in range(len(pictures)):
        yield ".png", _png(cv2.cvtColor(pictures[index], cv2.COLOR_RGB2BGR))


def _png(picture: Picture) -> bytes:
    done, data = cv2.imencode(".png", picture)
    assert done
    return bytes(data)


def _flows(flows: Iterator[NDArray[np.float32]]) -> Iterator[tuple[str, bytes]]:
    """Write Middlebury .flo: "PIEH", width and height as int32, then x, y as float32, row by row."""
    for flow in flows:
        size = np.array([flow.shape[1], flow.shape[0]], "<i4").tobytes()
        yield ".flo", b"PIEH" + size + np.ascontiguousarray(flow, "<f4").tobytes()


def _write_folder(files: OwnFiles, place: str, content: Iterator[tuple[str, bytes]]) -> None:
    """Write 0000.<suffix>, 0001.<suffix> ... to a hidden folder, then rename it."""
    folder = files.root / place
    folder.parent.mkdir(parents=True, exist_ok=True)
    for old in folder.parent.glob(f".{escape(short_name(folder.name))}.part-*"):  # a run was killed there
        if all(_NUMBERED.fullmatch(path.name) for path in old.iterdir()):
            shutil.rmtree(old)
    part = Path(tempfile.mkdtemp(prefix=f".{short_name(folder.name)}.part-", dir=folder.parent))
    try:
        for index, (suffix, data) in enumerate(content):
            (part / f"{index:04d}{suffix}").write_bytes(data)
        set_mode(part, 0o755)
        files.publish_folder(part, place)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _write_video(path: Path, pictures: Pictures, fps: float) -> None:
    """Write lossless RGB (FFV1 in Matroska), on one thread and without random identifiers.

    Equal images give equal bytes.
    """
    rate = Fraction(fps).limit_denominator(1001)
    with open_output(path, "matroska", {"fflags": "+bitexact"}) as container:
        stream = container.add_stream("ffv1", rate=rate, options={"level": "3", "slices": "4"})
        stream.width, stream.height = pictures.size
        stream.pix_fmt = "bgr0"
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for index in range(len(pictures)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pictures[index]), format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
