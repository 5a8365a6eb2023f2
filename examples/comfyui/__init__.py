"""ComfyUI node: deblur a wide VIDEO with the ultra-wide VIDEO of the same moment.

Copy this folder to ComfyUI/custom_nodes/asled, and install asled into ComfyUI's Python.
"""

import io as bytes_io
import shutil
import tempfile
from pathlib import Path
from typing import Any

import folder_paths  # of ComfyUI, as the next three
from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.utils import ProgressBar
from comfy_api.latest import ComfyExtension, InputImpl, io

from asled_cli import DeblurConfig, DeblurPlan, Progress, run_deblur


class AsledDeblur(io.ComfyNode):  # type: ignore[misc]
    """The job of `asled deblur`: two clips in, the deblurred wide clip out, with its sound and times."""

    @classmethod
    def define_schema(cls) -> Any:
        """Describe inputs and outputs."""
        return io.Schema(
            node_id="AsledDeblur",
            display_name="Deblur with second lens (asled)",
            category="video",
            description="Removes motion blur from the wide clip with the ultra-wide clip of the same moment.",
            inputs=[
                io.Video.Input("wide", tooltip="The blurred clip."),
                io.Video.Input("ultra", optional=True, tooltip="The ultra-wide clip, or none."),
                io.Combo.Input("method", options=["auto", "network", "swap", "single"], default="auto"),
                io.Float.Input("strength", default=1.0, min=0.0, max=1.0, step=0.05),
            ],
            outputs=[io.Video.Output("video")],
        )

    @classmethod
    def execute(cls, wide: Any, method: str, strength: float, ultra: Any = None) -> Any:
        """Run the job on files. Cancelling in ComfyUI stops it after the frame in hand."""
        folder = Path(tempfile.mkdtemp(prefix="asled-", dir=folder_paths.get_temp_directory()))
        clips = [
            as_file(video, folder / name)
            for video, name in ((wide, "wide"), (ultra, "ultra"))
            if video is not None
        ]
        job = DeblurConfig(*clips, out=folder / "deblurred.mp4", method=method, strength=strength)  # type: ignore[arg-type]
        bars: dict[str, Any] = {}

        def report(event: DeblurPlan | Progress) -> None:
            throw_exception_if_processing_interrupted()
            if isinstance(event, Progress) and event.step == "deblur":
                bar = bars.setdefault(event.step, ProgressBar(event.total))
                bar.update_absolute(event.done, event.total)

        try:
            result = run_deblur(job, report)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return io.NodeOutput(InputImpl.VideoFromFile(str(result.out)))


def as_file(video: Any, stem: Path) -> Path:
    """Return the file of a VIDEO, written to `stem` where it is in memory only; a file is used as it is."""
    source = video.get_stream_source()
    if isinstance(source, str):
        return Path(source)
    path = stem.with_suffix(".mp4")
    if isinstance(source, bytes_io.BytesIO):
        path.write_bytes(source.getvalue())
    else:
        video.save_to(str(path))
    return path


class AsledExtension(ComfyExtension):  # type: ignore[misc]
    """The nodes of this folder."""

    async def get_node_list(self) -> list[type[Any]]:
        """Return the nodes."""
        return [AsledDeblur]


async def comfy_entrypoint() -> AsledExtension:
    """Return the extension; called by ComfyUI."""
    return AsledExtension()
