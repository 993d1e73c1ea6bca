"""Attention maps against human ones: SciPy row by row, transport against independent programmes, laws of the resize."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from scipy.optimize import linprog

from vqabook.data.hat import read_maps
from vqabook.data.seen import grid as grid_boxes
from vqabook.metrics import (
    agreement_with_humans,
    attention,
    box_distance,
    earth_movers_distance,
    grid_distance,
    rank_correlation,
    resize,
    spread,
)


def some_maps(n: int, o: int, *, seed: int = 0, ties: bool = False) -> np.ndarray:
    """float32 maps of sum 1; with `ties`, of few levels, zero among them."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 4, (n, o)) + (np.arange(o) == 0) if ties else np.exp(2 * rng.standard_normal((n, o)))
    return (raw / raw.sum(1, keepdims=True)).astype(np.float32)


# rank correlation


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_is_scipys_row_by_row(ties):
    maps, human = some_maps(40, 196, seed=1, ties=ties), some_maps(40, 196, seed=2, ties=ties)
    expected = [scipy.stats.spearmanr(a, b).statistic for a, b in zip(maps, human, strict=True)]
    np.testing.assert_allclose(rank_correlation(maps, human), expected, rtol=0, atol=1e-14)


def test_rank_correlation_limits():
    maps = some_maps(5, 36)
    assert rank_correlation(maps, np.exp(5 * maps)).tolist() == [1] * 5  # only the order counts
    assert rank_correlation(maps, -maps).tolist() == [-1] * 5
    # by hand: ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)
    got = rank_correlation(np.array([[0.0, 1, 1, 2]]), np.array([[0.0, 1, 2, 3]]))
    assert got == pytest.approx(np.sqrt(0.9), abs=1e-15)


def test_an_even_map_ranks_nothing():
    even, other = np.full((1, 9), 1 / 9), some_maps(1, 9).astype(np.float64)
    for pair in ((even, other), (other, even), (even, even)):
        assert np.isnan(rank_correlation(*pair)).all()
    assert np.isnan(rank_correlation(other[:, :1], other[:, :1])).all()


# earth mover's distance


def transport_by_linear_programme(a: np.ndarray, b: np.ndarray, distance: np.ndarray) -> float:
    o = len(a)
    a, b = (x / x.sum(dtype=np.float64) for x in (a, b))
    sums = np.concatenate([np.kron(np.eye(o), np.ones(o)), np.kron(np.ones(o), np.eye(o))])  # of rows, of columns
    found = linprog(distance.ravel(), A_eq=sums[:-1], b_eq=np.concatenate([a, b])[:-1])  # the last sum follows
    assert found.success, found.message
    return found.fun


def test_distance_on_a_line_is_scipys():
    maps, human, place = some_maps(20, 30, seed=1), some_maps(20, 30, seed=2, ties=True), np.arange(30.0)
    got = earth_movers_distance(maps, human, np.abs(place[:, None] - place))
    expected = [scipy.stats.wasserstein_distance(place, place, a, b) for a, b in zip(maps, human, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_distance_on_a_plane_is_scipys():
    maps, human = (some_maps(3, 20, seed=seed).astype(np.float64) for seed in (1, 2))
    centres = (np.stack(np.divmod(np.arange(20), 5), 1) + 0.5) / [4, 5]
    expected = [scipy.stats.wasserstein_distance_nd(centres, centres, *pair) for pair in zip(maps, human, strict=True)]
    np.testing.assert_allclose(earth_movers_distance(maps, human, grid_distance(5, 4)), expected, rtol=1e-9)


def test_each_pair_may_have_its_own_distances():
    maps, human = some_maps(6, 8, seed=1), some_maps(6, 8, seed=2, ties=True)
    distance = np.random.default_rng(3).random((6, 8, 8))  # no metric, not symmetric: the programme needs neither
    got = earth_movers_distance(maps, human, distance)
    np.testing.assert_allclose(got, list(map(transport_by_linear_programme, maps, human, distance)), rtol=1e-6)
    np.testing.assert_array_equal(got[2:3], earth_movers_distance(maps[2:3], human[2:3], distance[2]))


@pytest.mark.parametrize("scale", [10, 30, 100])
def test_extreme_maps(scale):
    logits = scale * np.random.default_rng(0).standard_normal((2, 20, 100))
    maps, human = np.exp(logits - logits.max(-1, keepdims=True))
    assert maps.min() < 1e-20 * maps.max()
    place = np.arange(100) / 100
    got = earth_movers_distance(maps, human, np.abs(place[:, None] - place))
    expected = [scipy.stats.wasserstein_distance(place, place, a, b) for a, b in zip(maps, human, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_distance_golden():
    # by hand: a corner of 14 x 14 cells to the opposite one is 13/14 across and 13/14 down
    corners = np.zeros((2, 196))
    corners[0, 0], corners[1, -1] = 3, 0.5  # sums do not matter
    got = earth_movers_distance(corners[:1], corners[1:], grid_distance(14, 14))
    assert got == pytest.approx(np.sqrt(2) * 13 / 14, abs=1e-12)


@given(arrays.arrays(np.float64, (3, 12), elements=st.integers(0, 3)))
@settings(deadline=None)
def test_it_is_a_distance(three):
    three[:, 0] += 1
    a, b, c = three[:, None]
    apart = grid_distance(4, 3)
    ab, bc, ac = (earth_movers_distance(*pair, apart)[0] for pair in ((a, b), (b, c), (a, c)))
    assert earth_movers_distance(a, 2 * a, apart)[0] == pytest.approx(0, abs=1e-12)
    assert earth_movers_distance(b, a, apart)[0] == pytest.approx(ab, abs=1e-12)
    assert ac <= ab + bc + 1e-12
    assert (ab > 1e-6) == (not np.allclose(a / a.sum(), b / b.sum()))


def test_no_pairs_no_distances():
    assert earth_movers_distance(np.zeros((0, 4)), np.zeros((0, 4)), grid_distance(2, 2)).shape == (0,)


def test_distances_of_boxes_are_those_of_their_centres():
    cells = grid_boxes(9)[None].astype(np.float32)
    np.testing.assert_allclose(box_distance(cells)[0], grid_distance(3, 3), atol=1e-7)
    # by hand: centres (0.25, 0.25) and (0.55, 0.65)
    pair = np.array([[[0, 0, 0.5, 0.5], [0.1, 0.3, 1, 1]]])
    np.testing.assert_allclose(box_distance(pair), [[[0, 0.5], [0.5, 0]]], atol=1e-15)
    np.testing.assert_array_equal(grid_distance(2, 1), [[0, 0.5], [0.5, 0]])


# resize

SIZES = [((7, 7), (14, 14)), ((14, 14), (7, 7)), ((10, 10), (14, 14)), ((19, 13), (14, 14)), ((3, 5), (4, 2))]
each_size = pytest.mark.parametrize(("size", "to"), SIZES)


def centre_of_mass(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[n, 2], as fractions of width and height."""
    share = maps.reshape(-1, *size[::-1]) / maps.sum(1)[:, None, None]
    across, down = ((np.arange(n) + 0.5) / n for n in size)
    return np.stack([share.sum(1) @ across, share.sum(2) @ down], 1)


@each_size
def test_resizing_is_spreading_each_cell_evenly(size, to):
    maps = some_maps(4, size[0] * size[1])
    fine = maps.reshape(-1, *size[::-1]).astype(np.float64).repeat(to[1], 1).repeat(to[0], 2) / (to[0] * to[1])
    expected = fine.reshape(-1, to[1], size[1], to[0], size[0]).sum((2, 4)).reshape(4, -1)
    np.testing.assert_allclose(resize(maps, size, to), expected, rtol=1e-12)


@each_size
def test_resizing_keeps_sums_and_the_centre_of_mass(size, to):
    maps = some_maps(20, size[0] * size[1])
    got = resize(maps, size, to)
    np.testing.assert_allclose(got.sum(1), maps.sum(1, dtype=np.float64), rtol=1e-12)
    moved = np.abs(centre_of_mass(got, to) - centre_of_mass(maps.astype(np.float64), size))
    assert (moved <= 0.5 / np.array(to)).all()
    if to[0] % size[0] == to[1] % size[1] == 0:
        np.testing.assert_allclose(moved, 0, atol=1e-12)


@each_size
def test_an_even_map_stays_even_to_the_last_bit(size, to):
    o = size[0] * size[1]
    got = resize(np.full((1, o), 1 / o), size, to)
    assert len(np.unique(got)) == 1 and got[0, 0] == pytest.approx(1 / (to[0] * to[1]))
    assert np.isnan(rank_correlation(got, np.arange(1.0 * got.size)[None])).all()


def test_an_even_map_of_float64_would_not_stay_even():
    # the control: with weights that are no whole numbers, rounding breaks the ties, and ranks are of nothing
    weights = np.array(
        [[max(0, min(i + 1, (j + 1) * 1.4) - max(i, j * 1.4)) / 1.4 for j in range(10)] for i in range(14)]
    )
    got = (weights @ np.full((10, 10), 0.01) @ weights.T).reshape(1, -1)
    assert len(np.unique(got)) > 1
    assert not np.isnan(rank_correlation(got, np.arange(1.0 * got.size)[None])).any()


def test_resizing_to_the_same_size_changes_nothing():
    maps = some_maps(3, 15)
    np.testing.assert_array_equal(resize(maps, (3, 5), (3, 5)), maps)


def test_boxes_that_are_cells_are_the_grid_s_maps():
    maps = some_maps(4, 49)
    cells = np.broadcast_to(grid_boxes(49), (4, 49, 4))
    np.testing.assert_allclose(spread(maps, cells), resize(maps, (7, 7), (14, 14)), atol=1e-7)


def test_cells_of_one_box_share_a_rank():
    boxes = np.array([[[0.0, 0.0, 1.0, 1.0]], [[-0.1, 0.2, 0.7, 1.2]]])
    whole, part = spread(np.ones((2, 1)), boxes)
    assert len(np.unique(whole)) == 1 and len(np.unique(part)) <= 10
    assert whole.sum() == pytest.approx(1, abs=1e-6) and part.sum() == pytest.approx(1, abs=1e-6)


def test_a_box_spreads_evenly_over_its_area():
    boxes = np.array([[[0.25, 0.0, 0.75, 0.5], [0.1, 0.1, 0.1, 0.9]]])
    got = spread(np.array([[1.0, 1.0]]), boxes, 4).reshape(4, 4)
    want = np.zeros((4, 4))
    want[:2, 1:3] = 0.25
    np.testing.assert_allclose(got, want)  # the second box has no area


# the protocol of VQA-HAT


@pytest.fixture
def hat(tmp_path, cache):
    """A folder in the official layout: one annotator of two questions of train, three of one of val."""
    rng = np.random.default_rng(0)
    sizes = {"train/4870250_1": (48, 64), "train/4870251_1": (45, 61)}
    sizes |= {f"val/3506232_{annotator}": (70, 42) for annotator in (1, 2, 3)}
    for name, size in sizes.items():
        path = tmp_path / f"vqahat_{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8) * (rng.random(size) < 0.1)).save(path)
    return tmp_path


def test_vqa_hat_from_its_files(hat):
    people = read_maps(hat)
    human, human_id = people.maps, people.question_id
    maps, question_id = some_maps(4, 49), np.array([3506232, 11, 4870251, 4870250])  # 11 has no human map
    got = agreement_with_humans(maps, question_id, human, human_id)
    assert got.question_id.tolist() == [3506232, 4870251, 4870250]
    large = maps.reshape(-1, 7, 7).repeat(2, 1).repeat(2, 2).reshape(-1, 196)
    for row, question, correlation, distance in zip((0, 2, 3), *got, strict=True):
        people = human[human_id == question]
        own = [scipy.stats.spearmanr(large[row], person).statistic for person in people]
        assert correlation == pytest.approx(np.mean(own), abs=1e-12) and len(own) == (3 if row == 0 else 1)
        own = earth_movers_distance(large[[row] * len(people)], people, grid_distance(14, 14))
        assert distance == pytest.approx(own.mean(), rel=1e-6)


def test_a_model_that_looks_as_people_do(hat):
    people = read_maps(hat, question_ids=[4870250, 4870251])
    human, human_id = people.maps, people.question_id
    same = agreement_with_humans(human, human_id, human, human_id)
    assert same.rank_correlation.tolist() == [1, 1]
    np.testing.assert_allclose(same.earth_movers_distance, 0, atol=1e-6)
    other = agreement_with_humans(human[::-1].copy(), human_id, human, human_id)  # the control: of the other question
    assert (other.rank_correlation < 0.5).all() and (other.earth_movers_distance > 0.01).all()


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    maps, question_id = some_maps(8, 9), np.arange(8) * 7
    human, human_id = some_maps(20, 16, seed=1), rng.integers(0, 9, 20) * 7
    first = agreement_with_humans(maps, question_id, human, human_id, grid=4)
    order, shuffle = rng.permutation(8), rng.permutation(20)
    again = agreement_with_humans(maps[order], question_id[order], human[shuffle], human_id[shuffle], grid=4)
    back = np.argsort(again.question_id)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_allclose(one, other[back], rtol=1e-12)


def test_a_person_whose_map_ranks_nothing_counts_for_the_distance_alone():
    human = np.concatenate([some_maps(1, 4), np.full((1, 4), 0.25, dtype=np.float32)])
    both = agreement_with_humans(some_maps(1, 4, seed=1), np.array([5]), human, np.array([5, 5]), grid=2)
    one = agreement_with_humans(some_maps(1, 4, seed=1), np.array([5]), human[:1], np.array([5]), grid=2)
    assert both.rank_correlation == one.rank_correlation and both.earth_movers_distance != one.earth_movers_distance
    even = agreement_with_humans(np.full((1, 9), 1 / 9), np.array([5]), human, np.array([5, 5]), grid=2)
    assert np.isnan(even.rank_correlation).all() and even.earth_movers_distance > 0


# refusals

GOOD, SQUARE = np.full((2, 4), 0.25), grid_distance(2, 2)
NEGATIVE, NAN, BLANK = (np.array([[1.0, 1, 1, 1], [1, 1, x, y]]) for x, y in ((-0.5, 1), (np.nan, 1), (1, 1)))
BLANK[1] = 0
IDS = np.array([1, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rank_correlation(GOOD, GOOD[:, :3]), r"got shapes \(2, 4\) and \(2, 3\); resize one of them"),
        (lambda: rank_correlation(NAN, GOOD), "finite, got nan in row 1 of maps; leave it out"),
        (lambda: rank_correlation(GOOD, NAN + np.inf), "finite, got inf in row 0 of human"),
        (lambda: earth_movers_distance(GOOD, GOOD[:1], SQUARE), r"got shapes \(2, 4\) and \(1, 4\)"),
        (lambda: earth_movers_distance(NEGATIVE, GOOD, SQUARE), "at least 0, got -0.5 in row 1 of maps; pass what the"),
        (lambda: earth_movers_distance(GOOD, NAN, SQUARE), "finite and at least 0, got nan in row 1 of human"),
        (lambda: earth_movers_distance(GOOD, BLANK, SQUARE), "row 1 of human is 0 everywhere; leave it out"),
        (lambda: earth_movers_distance(GOOD, GOOD, SQUARE[:3]), r"one matrix \(4, 4\) .*, got \(3, 4\); use grid_dist"),
        (lambda: earth_movers_distance(GOOD, GOOD, np.stack([SQUARE] * 3)), r"a pair \(2, 4, 4\), got \(3, 4, 4\)"),
        (lambda: earth_movers_distance(GOOD, GOOD, -SQUARE), "distances are finite and at least 0, got -0.7"),
        (lambda: earth_movers_distance(GOOD, GOOD, SQUARE * np.nan), "got nan to nan"),
        (lambda: grid_distance(0, 3), "at least 1 cell wide and high, got 0 x 3"),
        (lambda: box_distance(np.array([[[0, 0, 640, 480.0]]])), "in .0, 1., got 0 to 640; divide by its width"),
        (lambda: box_distance(np.full((1, 1, 4), np.nan)), "got nan to nan"),
        (lambda: resize(GOOD, (3, 1), (2, 2)), r"width x height = 4 columns, got \(3, 1\)"),
        (lambda: resize(GOOD, (2, 2), (2, 0)), "at least 1 cell wide and high, got 2 x 0"),
        (lambda: agreement_with_humans(GOOD, IDS, GOOD, IDS), "got 4 cells for a grid of 14; read them at that grid"),
        (lambda: agreement_with_humans(GOOD, IDS[:1], GOOD, IDS, grid=2), "got 2 maps and 1 ids; pass one a map"),
        (lambda: agreement_with_humans(GOOD, IDS, GOOD, IDS[:1], grid=2), "got 2 maps and 1 ids; pass one a map"),
        (lambda: agreement_with_humans(GOOD, IDS * 0, GOOD, IDS, grid=2), "got 2 maps of 1 questions; pass each"),
        (lambda: agreement_with_humans(GOOD, IDS, GOOD, IDS + 2, grid=2), "none of the 2 questions is among those of"),
        (lambda: agreement_with_humans(GOOD[:0], IDS[:0], GOOD, IDS, grid=2), "none of the 0 questions is among"),
        (
            lambda: agreement_with_humans(GOOD[:, :3], IDS, GOOD, IDS, grid=2),
            "square grids, got 3 columns; resize them",
        ),
    ],
)
def test_bad_input_is_one_clear_sentence(unchecked, call, message):
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value) and not re.search(r"\. [A-Z]", str(refusal.value))


@pytest.mark.filterwarnings("ignore:numItermax")
def test_a_transport_that_is_not_the_cheapest_is_refused(monkeypatch):
    monkeypatch.setattr(attention, "_MOST_PIVOTS", 3)
    with pytest.raises(RuntimeError, match="the cheapest transport between two maps was not found: numItermax"):
        earth_movers_distance(some_maps(1, 49), some_maps(1, 49, seed=1), grid_distance(7, 7))


@pytest.mark.parametrize("package", ["scipy.stats", "ot.lp"])
def test_a_missing_package_is_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        RuntimeError, match=r"this needs the package (scipy|pot), which .*: pip install .*'vqabook\[data\]'"
    ):
        rank_correlation(GOOD, GOOD)
        earth_movers_distance(GOOD, GOOD, SQUARE)
