"""The scenes of the embedded world: what is in them, how well it can be seen, and the region features a model gets.

Scenes are arrays over images [n] and regions [o]. An image has as many regions as any other; those without an object
are background, as a detector's spare boxes are. What makes the images hard is known and tunable: every attribute of
every object has a *visibility*, lowered by small size, occlusion and chance, which features and annotators follow.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

VALUES: dict[str, tuple[str, ...]] = {
    "color": ("red", "blue", "green", "yellow", "purple", "brown", "gray", "orange", "black", "white"),
    "shape": ("cube", "sphere", "cylinder", "cone", "pyramid", "ring", "star"),
    "size": ("small", "medium", "large"),
    "material": ("metal", "rubber", "glass", "wood"),
}
ATTRIBUTES = tuple(VALUES)
CANVAS = 128  # pixels; boxes are in this frame
RADIUS = np.array([0.055, 0.08, 0.11])  # of the canvas, for small, medium, large
BOX_GAIN = 3.0  # a box is as plain to see as an attribute
SIZE_VISIBILITY = np.array([0.8, 0.95, 1.0])  # small objects are harder to see
RANGES: dict[str, tuple[int, float]] = {}
RANGES |= dict.fromkeys(("clumping", "blur", "occlusion", "disagreement", "synonyms"), (0, 1))
RANGES |= dict.fromkeys(("noise", "prior", "seed"), (0, math.inf))
RANGES |= {"feature_dim": (1, math.inf), "n_train": (100, math.inf)}  # every question type has questions


@dataclass(frozen=True)
class World:
    """All knobs of the embedded world; equal worlds are written as equal bytes."""

    n_train: int = 20_000  # questions; the test set has half as many
    questions_per_image: float = 5.0  # on average
    objects: tuple[int, int] = (3, 10)  # fewest and most objects in a scene
    regions: int = 10  # per image; regions without an object are background
    feature_dim: int = 64
    clumping: float = 0.4  # chance that an object has its scene's favourite value of an attribute: makes high counts
    visibility: tuple[float, float, float, float] = (1.0, 1.0, 0.9, 0.95)  # best case, in the order of ATTRIBUTES
    blur: float = 0.3  # how far chance lowers the visibility of an attribute of an object, at most
    occlusion: float = 0.5  # how far a fully covered object's visibility falls
    noise: float = 0.75  # standard deviation in every feature dimension, where an attribute's embedding has 0.5
    prior: float = 1.0  # Zipf exponent of the answers within a question type; 0 is uniform
    disagreement: float = 0.3  # chance that an annotator errs about what is hard to see; 0 makes ten equal votes
    synonyms: float = 0.1  # chance that an annotator uses another word for the same thing
    seed: int = 0
    generator: str = "4659cf02"  # version of the code that writes the world, held by a golden hash of its bytes

    def __post_init__(self):
        low, high = self.objects
        if not 1 <= low <= high <= self.regions <= 16:
            raise ValueError(
                f"a scene has 1 <= fewest <= most objects <= regions <= 16, got objects {self.objects} and "
                f"{self.regions} regions"
            )
        for name, (least, most) in RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} lies in [{least}, {most}], got {getattr(self, name)}")
        if self.questions_per_image <= 0:
            raise ValueError(f"questions_per_image is positive, got {self.questions_per_image}")

    @property
    def n_questions(self) -> int:
        return self.n_train + self.n_train // 2

    @property
    def n_images(self) -> int:
        return max(1, round(self.n_questions / self.questions_per_image))


@dataclass(frozen=True)
class Scenes:
    """The true state of all scenes; the attribute axis [4] is in the order of ATTRIBUTES."""

    values: Int[np.ndarray, "n o 4"]  # index into VALUES, -1 where a region has no object
    centre: Float[np.ndarray, "n o 2"]  # x right, y down, in [0, 1]; larger y is nearer to the viewer
    radius: Float[np.ndarray, "n o"]  # of the canvas; 0 where a region has no object
    visibility: Float[np.ndarray, "n o 4"]  # in [0, 1]

    @property
    def present(self) -> Bool[np.ndarray, "n o"]:
        return self.values[..., 0] >= 0

    @property
    def boxes(self) -> Float[np.ndarray, "n o 4"]:
        """True boxes (x0, y0, x1, y1) in pixels, cut at the canvas."""
        half = self.radius[..., None]
        return np.clip(np.concatenate([self.centre - half, self.centre + half], -1), 0, 1) * CANVAS


def sample_scenes(world: World, rng: np.random.Generator) -> Scenes:
    """Attributes are uniform and independent but for `clumping`, so one attribute tells nothing of another."""
    n, o = world.n_images, world.regions
    count = rng.integers(world.objects[0], world.objects[1] + 1, n)
    present = rng.random((n, o)).argsort(1) < count[:, None]
    values = np.full((n, o, 4), -1)
    for a, attribute in enumerate(ATTRIBUTES):
        own, favourite = (rng.integers(len(VALUES[attribute]), size=(n, k)) for k in (o, 1))
        values[..., a] = np.where(rng.random((n, o)) < world.clumping, favourite, own)
    values[~present] = -1
    cells = rng.random((n, 16)).argsort(1)[:, :o]  # of a 4 x 4 grid, so that objects overlap but never coincide
    centre = 0.06 + 0.88 * (np.stack([cells % 4, cells // 4], -1) + 0.5 + rng.uniform(-0.4, 0.4, (n, o, 2))) / 4
    radius = RADIUS[values[..., 2]] * (0.8 + 0.4 * centre[..., 1]) * rng.uniform(0.9, 1.1, (n, o)) * present
    return Scenes(values, centre, radius, _visibility(world, values, centre, radius, rng))


def _visibility(world: World, values, centre, radius, rng: np.random.Generator) -> Float[np.ndarray, "n o 4"]:
    covered = _covered_share(centre, radius)
    hidden = (1 - world.occlusion * covered)[..., None]
    best = np.asarray(world.visibility) * SIZE_VISIBILITY[values[..., 2], None] * hidden
    return best * (1 - world.blur * rng.random(values.shape)) * (values >= 0)


def _covered_share(centre: Float[np.ndarray, "n o 2"], radius: Float[np.ndarray, "n o"]) -> Float[np.ndarray, "n o"]:
    """How much of each object's box the boxes nearer to the viewer hide, in [0, 1]; their overlaps count twice."""
    low, high = centre - radius[..., None], centre + radius[..., None]
    sides = np.minimum(high[:, :, None], high[:, None]) - np.maximum(low[:, :, None], low[:, None])
    nearer = centre[:, None, :, 1] > centre[:, :, None, 1]
    shared = np.where(nearer, np.clip(sides, 0, None).prod(-1), 0).sum(-1)
    return np.clip(shared / np.maximum(4 * radius**2, 1e-9), 0, 1)


def region_features(
    world: World, scenes: Scenes, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "n o d"], Float[np.ndarray, "n o 4"]]:
    """What a detector would give: features, and boxes in pixels.

    A feature is the sum over attributes of `v * e(value) + (1 - v) * e(decoy)`, where v is the visibility, e an
    embedding that is the same in every world, and the decoy a random other value; then the box's embedding, then noise.
    """
    embed = np.random.default_rng(20190721)  # embeddings are no part of the sample, so a model may change worlds
    n, o, d = *scenes.radius.shape, world.feature_dim
    boxes = scenes.boxes + CANVAS * 0.01 * rng.standard_normal((n, o, 4)).astype(np.float32)
    spare = rng.uniform(0, CANVAS, (n, o, 2, 2))
    boxes[~scenes.present] = np.sort(spare, axis=2).reshape(n, o, 4)[~scenes.present]
    boxes = boxes.clip(0, CANVAS).astype(np.float32)
    features = BOX_GAIN * (boxes / CANVAS - 0.5) @ _directions(embed, 4, d)
    for a, attribute in enumerate(ATTRIBUTES):
        n_values = len(VALUES[attribute])
        table = np.concatenate([_directions(embed, n_values, d), np.zeros((1, d), np.float32)])  # row -1: no object
        value, seen = scenes.values[..., a], scenes.visibility[..., a, None].astype(np.float32)
        decoy = np.where(value < 0, -1, (value + rng.integers(1, n_values, value.shape)) % n_values)
        features += seen * table[value] + (1 - seen) * table[decoy]
    features += world.noise * rng.standard_normal(features.shape, np.float32)
    return features.astype(np.float32), boxes


def _directions(rng: np.random.Generator, n: int, d: int) -> Float[np.ndarray, "n d"]:
    """Random directions in which every dimension has a root mean square of 0.5."""
    vectors = rng.standard_normal((n, d), np.float32)
    return vectors / (2 * np.sqrt(np.square(vectors).mean(1, keepdims=True)))
