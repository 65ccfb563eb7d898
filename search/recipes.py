"""Search recipes: frozen values; ``key=value`` on the command line replaces a field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from training.checks import Choices, RecipeError, Settings, check_choice
from training.overrides import override, pick
from training.recipes import get_recipe as get_training_recipe

COSTS = ("macs", "params", "latency")


@dataclass(frozen=True)
class SearchRecipe(Settings):
    """One search: a start set, then generations of children until ``evaluations`` are spent.

    ``supernet`` is a weight file of the training package (it names its space), ``recipe`` the training recipe whose
    task and data score it; ``root``, ``more_roots`` and ``backgrounds`` say where these data are, if not where that
    recipe has them. ``calibration`` is the number of training images for BatchNorm statistics, ``limit`` the
    number of validation images (0: all). ``last`` lets offspring change the last module of the last stage,
    which the paper's keep. ``sizes`` are (H, W) input sizes, of those the supernet was trained at, to search over
    beside the structure; default the space's own. ``objectives`` are the costs beside the score: macs, params, latency,
    one of them or several. The latency is measured where the search runs, of ``latency_batch`` images at once in
    ``latency_dtype`` (float32, float16 or bfloat16). ``ranking`` is peel, the paper's peeling of fronts, or nsga2,
    which also looks at how crowded a front is and draws parents by tournament.

    Raises:
        RecipeError: for an invalid value.
    """

    name: str
    recipe: str
    supernet: str
    root: str = ""
    more_roots: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()
    initial_population: int = 60
    evaluations: int = 150
    population: int = 30
    offspring: int = 30
    cross: float = 0.25
    fusion: float = 0.2
    depth: float = 0.1
    last: bool = True
    sizes: tuple[tuple[int, int], ...] = ()
    calibration: int = 32
    limit: int = 0
    seed: int = 0
    out: str = ""
    objectives: tuple[str, ...] = ("macs",)
    ranking: str = "peel"
    latency_batch: int = 1
    latency_dtype: str = "float32"

    CHOICES: ClassVar[Choices] = {
        "ranking": ("peel", "nsga2"),
        "latency_dtype": ("float32", "float16", "bfloat16"),
    }
    ABOVE_0 = ("latency_batch",)
    NOT_BELOW_0 = ("initial_population", "evaluations", "population", "offspring", "calibration", "limit", "seed")
    SHARES = ("cross", "fusion", "depth")

    def __post_init__(self) -> None:
        super().__post_init__()
        for cost in self.objectives:
            check_choice("objectives", cost, COSTS)
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise RecipeError("objectives are one or several of macs, params and latency, each once")


PAPER: dict[str, Any] = {
    "initial_population": 1000, "evaluations": 3000, "population": 100, "offspring": 100, "depth": 0.0, "last": False,
}  # fmt: skip
CALIBRATED = 8  # batches of the training batch size, in the authors' code


def paper(name: str) -> SearchRecipe:
    """The search of a published supernet, which is one of :mod:`training.published`."""
    calibration = CALIBRATED * get_training_recipe(name).schedule.batch
    return SearchRecipe(name, name, f"out/training/{name}/final.safetensors", calibration=calibration, **PAPER)


RECIPES = {
    r.name: r
    for r in (
        SearchRecipe("s0", "s0_supernet", "training/checkpoints/s0_supernet.safetensors"),
        SearchRecipe("s0_person", "s0_person", "training/checkpoints/s0_person_supernet.safetensors"),
        SearchRecipe(
            "p0", "p0_supernet", "training/checkpoints/p0_supernet.safetensors", sizes=((256, 192), (192, 144)),
            calibration=128, limit=300,
        ),
        SearchRecipe(
            "p0_bottomup", "p0_bottomup", "training/checkpoints/p0_bottomup_supernet.safetensors", calibration=64,
            limit=50,
        ),
        *(
            paper(name)
            for name in (
                "cityscapes_w32", "cityscapes_w48", "coco_w32_256x192", "coco_w32_384x288", "coco_w48_384x288",
                "coco_bottomup_supernet_w32", "coco_bottomup_supernet_w48",
            )
        ),
        SearchRecipe(
            "s0_paper_budget", "s0_supernet", "training/checkpoints/s0_supernet.safetensors", calibration=64, **PAPER
        ),
    )
}  # fmt: skip


def get_recipe(name: str, overrides: Sequence[str] = ()) -> SearchRecipe:
    """The named recipe with ``key=value`` texts applied.

    Raises:
        RecipeError: for an unknown name or key, or a value that does not parse.
    """
    return override(pick("search recipe", name, RECIPES), overrides)
