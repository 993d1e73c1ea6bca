"""Commands that make feature files: from images, and from the released bottom-up attention TSVs."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Argument(help="feature file to write (HDF5)")]
Dtype = Annotated[str, typer.Option(help="float16, or uint8: codes with a range a channel, half as large")]
Ids = Annotated[
    str | None,
    typer.Option(
        help="of a folder: pattern whose first group in a file name is the image id; or `name`, the file name itself; "
        "or `path`, of an ImageFolder, whose folders are classes; or a JSON file {file: id}; default: the last digits, "
        "COCO_train2014_000000000009.jpg -> 9"
    ),
]


def features(
    images: Annotated[
        Path,
        typer.Argument(help="folder of images, searched at any depth; an array, .npy or .npz; or CIFAR's binary files"),
    ],
    out: Out,
    backbone: Annotated[
        str, typer.Option(help="efficientnet-lite0, or transformers:NAME[@STAGE], a model's hub name or local path")
    ] = "efficientnet-lite0",
    size: Annotated[int | None, typer.Option(help="side of the network's input; default: as trained")] = None,
    grid: Annotated[int, typer.Option(help="regions a side: 7 gives 49 regions an image")] = 7,
    dtype: Dtype = "uint8",
    pca: Annotated[int | None, typer.Option(help="keep this many principal components; default: all channels")] = None,
    levels: Annotated[int, typer.Option(help="steps of the uint8 codes, 2 to 256; fewer compress better")] = 256,
    batch_size: Annotated[int, typer.Option(help="images at once; a kill loses at most one batch")] = 32,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    ids: Ids = None,
    skip_bad: Annotated[bool, typer.Option(help="leave out images that do not decode; the file lists them")] = False,
):
    """Extract region features of all IMAGES into OUT: the last map of a network, as a grid of regions.

    Interrupted, the same command goes on where it stopped. The features of the VQA-CP subset on COCO images:
    vqabook data features COCO_FOLDER out.h5 --backbone efficientnet-lite0 --pca 128 --levels 64
    One feature of each image of CIFAR-10, train then test, with its labels:
    vqabook data features data/cifar10 out.h5 --size 128 --grid 1 --dtype float16
    """
    from vqabook.data.image_sources import open_images
    from vqabook.features.extract import check_sizes, extract_features

    check_sizes(dtype, levels, batch_size=batch_size, grid=grid, size=size, pca=pca)
    written = extract_features(
        open_images(images, ids),
        out,
        backbone=backbone,
        size=size,
        grid=grid,
        dtype=dtype,
        pca=pca,
        levels=levels,
        batch_size=batch_size,
        device=device,
        skip_bad=skip_bad,
    )
    print(written)


def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="TSV files, or zip archives of them; or one folder with a file an image (.npz, .npy, .pth, .pt), "
            "searched at any depth"
        ),
    ],
    out: Out,
    adaptive: Annotated[bool, typer.Option(help="images have unequal numbers of regions (10 to 100 release)")] = False,
    dtype: Dtype = "float16",
    n_images: Annotated[int | None, typer.Option(help="refuse another number of images")] = None,
    skip_broken: Annotated[
        bool, typer.Option(help="of TSVs: leave out broken rows of images with a whole one")
    ] = False,
    ids: Ids = None,
):
    """Convert released features into the feature file OUT: bottom-up attention TSVs, or a folder of arrays.

    A stream: memory stays small whatever the size. Interrupted, the same command goes on where it stopped. In a folder
    each image has a file: a matrix of regions, perhaps with boxes, or a map, channels first, whose cells are regions.
    """
    from vqabook.features.convert_arrays import convert_arrays
    from vqabook.features.convert_tsv import convert_tsv
    from vqabook.features.image_files import LAST_DIGITS

    if any(source.is_dir() for source in sources):
        if len(sources) > 1 or skip_broken:
            raise ValueError("a folder is converted by itself and whole: give one, without TSVs and --skip-broken")
        n = convert_arrays(sources[0], out, ids=ids or LAST_DIGITS, adaptive=adaptive, dtype=dtype, n_images=n_images)
    elif ids is not None:
        raise ValueError("a TSV's rows say their image ids: --ids is for a folder of arrays; leave it out")
    else:
        n = convert_tsv(sources, out, skip_broken=skip_broken, adaptive=adaptive, dtype=dtype, n_images=n_images)
    print(f"{out}: {n} images")
