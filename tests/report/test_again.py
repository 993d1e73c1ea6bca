"""The end of a page says how to run it again: its command, its parameters, who made its runs."""

from __future__ import annotations

from dataclasses import dataclass

from vqabook.report.again import run_again


@dataclass(frozen=True)
class Setting:
    profile: str = "small"
    dataset: str = "shapes"
    seeds: tuple[int, ...] = (0, 1)
    data_root: str = "/home/me/data"


def test_a_page_tells_how_to_run_it_again(runs):
    end = run_again(runs([5.0, 5.1]), Setting(), notebook="02_loss_rescaling", meanings={})
    for part in ("28 s", "0, 1", "abc", "now", "a &lt;CPU&gt;", "torch 2.13", "2026-01-02"):
        assert part in end, part
    assert "papermill notebooks/02_loss_rescaling.ipynb out.ipynb" in end
    assert "-p seeds &#x27;[0, 1]&#x27;" in end and "<details>" not in end


def test_a_parameter_stands_with_its_value_and_meaning_but_for_the_builders_folders(runs):
    meanings = {"seeds": "e.g. <0>", "data_root": "folder of the data sets"}
    end = run_again(runs([5.0, 5.1]), Setting(), notebook="02_loss_rescaling", meanings=meanings)
    assert "<th><code>seeds</code></th><td>[0, 1]</td><td>e.g. &lt;0&gt;</td>" in end
    assert "<summary>2 parameters" in end and "<td>–</td><td>folder of the data sets</td>" in end
    assert "/home/me" not in end
