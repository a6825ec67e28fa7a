"""Array types of the room: what a frame and a float array are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
Frame = U8
"""(h, w, 3) uint8, RGB."""
