"""The way frames were taken before: one ffmpeg process for each, several at a time. The baseline of benchmarks.

The command is the one of the single-process system that this project replaces: a seek before the input, one frame,
JPEG at the best quality through a pipe, decoded with Pillow into a full-size RGB array, all arrays kept.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.media.frames import probe

TIMEOUT_S = 600
"""The old system gave up after 30 s, which loses frames on a busy machine and would flatter it here."""

WORKERS = 8


def ffmpeg_binary() -> str:
    """Returns the path of ffmpeg; exits with what to install where there is none."""
    found = shutil.which("ffmpeg")
    if found is None:
        raise SystemExit("this benchmark compares with the ffmpeg program: install it (`apt install ffmpeg`).")
    return found


def old_way_times(duration_s: float, n: int = 60) -> list[float]:
    """Returns the `n` times, evenly from 5 % to 95 % of the duration."""
    return np.linspace(0.05 * duration_s, 0.95 * duration_s, n).tolist() if n > 1 else [duration_s / 2]


def old_way_frame(path: Path | str, time_s: float) -> npt.NDArray[np.uint8] | None:
    """Returns the frame at `time_s` as (h, w, 3) uint8 RGB in full size, None where ffmpeg gives none."""
    command = [ffmpeg_binary(), "-nostdin", "-loglevel", "error", "-ss", f"{time_s:.3f}", "-i", str(path)]
    command += ["-frames:v", "1", "-f", "image2pipe", "-c:v", "mjpeg", "-q:v", "1", "pipe:"]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    if done.returncode or not done.stdout:
        return None
    return np.asarray(Image.open(io.BytesIO(done.stdout)).convert("RGB"))


def old_way_frames(path: Path, n: int = 60, workers: int = WORKERS) -> list[npt.NDArray[np.uint8]]:
    """Returns up to `n` full-size RGB frames in time order, `workers` ffmpeg processes at a time."""
    times = old_way_times(probe(path).duration_s, n)
    with ThreadPoolExecutor(workers) as pool:
        frames = list(pool.map(lambda time_s: old_way_frame(path, time_s), times))
    return [frame for frame in frames if frame is not None]
