"""How far a segmentation network's probabilities can be believed, and what image is unlike those it learned from."""

from __future__ import annotations

from dataclasses import dataclass

from ..data import IGNORE
from ..models.provenance import metadata_of
from ..nn.network import ScaleNet

UNKNOWN = IGNORE  # marks pixels in masks, as unlabelled ones are in label files


@dataclass(frozen=True)
class Calibration:
    """What was measured of a network's probabilities.

    Args:
        temperature: logits are divided by it before the softmax.
        unlike_below: mean confidence of an image, 0..1, below which it is called unlike what was learned.
        learned: what that is, in words.
    """

    temperature: float = 1.0
    unlike_below: float = 0.0
    learned: str = ""

    def note(self, mean: float) -> str:
        """One line on an image of this mean confidence; "" where there is nothing to say."""
        if mean >= self.unlike_below:
            return ""
        return (
            f"unlike {self.learned}, which this network learned (mean confidence {mean:.2f}, below "
            f"{self.unlike_below:.2f}): its classes are guesses; for people there is scalenet_s0.person"
        )


# python -m benchmarks.confidence --data DATA: the temperature on CamVid val (which the network learned too), the
# threshold between CamVid val and the 80 photographs of coco_mini
KNOWN = {"scalenet_s0.camvid": Calibration(1.15, 0.917, "CamVid's streets")}


def calibration_of(model: ScaleNet) -> Calibration:
    """What is known of a network as it was published; of any other the temperature is 1 and nothing is unlike."""
    metadata = metadata_of(model)
    return KNOWN.get(metadata.network, Calibration()) if metadata else Calibration()
