"""The base of all results: drawing, showing, plotting and saving."""

from __future__ import annotations

import builtins
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.images import ImageLike, encode_png, load_image, save_image
from ..data.io import write_text
from ..data.labels import Labels

if TYPE_CHECKING:
    import matplotlib.axes


class Result(ABC):
    """A predictor's result for one image; coordinates and masks are in pixels of the original image."""

    labels: Labels
    image: ImageLike | None

    @abstractmethod
    def draw(self, image: ImageLike | None = None) -> np.ndarray:
        """RGB uint8 copy of the image with the result drawn on it."""

    def show(self, image: ImageLike | None = None) -> None:
        """Open the drawing in the system's image viewer, or display it in a notebook."""
        from PIL import Image

        drawn = Image.fromarray(self.draw(image))
        if not hasattr(builtins, "get_ipython"):  # IPython's mark
            return drawn.show()
        from IPython.display import display

        display(drawn)

    def plot(self, axes: matplotlib.axes.Axes | None = None, image: ImageLike | None = None) -> matplotlib.axes.Axes:
        """Draw into matplotlib axes (default the current ones), without ticks; returns the axes."""
        if axes is None:
            import matplotlib.pyplot

            axes = matplotlib.pyplot.gca()
        axes.imshow(self.draw(image))
        axes.set_axis_off()
        return axes

    def _repr_png_(self) -> bytes | None:
        """The drawing for notebooks; None without an attached image."""
        return None if self.image is None else encode_png(self.draw())

    def _pixels(self, image: ImageLike | None) -> np.ndarray:
        """RGB (H, W, 3) uint8 pixels to draw on.

        Raises:
            ValueError: if no image is given or attached.
        """
        image = self.image if image is None else image
        if image is None:
            raise ValueError("this result has no image attached: pass the image to draw on")
        return load_image(image)

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable values."""

    def save(self, path: str | Path, image: ImageLike | None = None) -> Path:
        """Write the result to a file, whole or not at all; returns its path.

        Args:
            path: a ``.json`` file for the values of :meth:`to_dict`, else an image file.
            image: the source image to draw on. Without it, a pose is drawn on the attached image, and a segmentation
                is written as a mask.

        Raises:
            ValueError: for an image file if no image is given or attached.
        """
        path = Path(path)
        if path.suffix.lower() == ".json":
            return write_text(path, json.dumps(self.to_dict(), allow_nan=False) + "\n")
        save_image(path, self._plain(path) if image is None else self.draw(image))
        return path

    def _plain(self, path: Path) -> np.ndarray:
        """What is written as an image where none is given to draw on."""
        try:
            return self.draw()
        except ValueError as e:
            raise ValueError(f"{path}: {e}; or give a .json file's name") from None
