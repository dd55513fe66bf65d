"""Images in folders per class, and folders that are not like that."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import easymlnb as ml
from easymlnb.contract.errors import CallerError
from easymlnb.types.image_encoding import ORIENTATION


def png(color: int = 0) -> bytes:
    target = io.BytesIO()
    Image.fromarray(np.full((8, 6), color, np.uint8)).save(target, "PNG")
    return target.getvalue()


def packed(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def folders(*names: str) -> dict[str, bytes]:
    return {f"{name}/{number}.png": png(number) for name in names for number in range(3)}


def test_a_zip_and_a_folder_give_the_same(tmp_path: Path) -> None:
    files = {"set/" + name: content for name, content in folders("cats", "dogs").items()}
    files |= {"__MACOSX/set/cats/._0.png": b"x", "set/readme.txt": b"x", "set/.hidden/a.png": b"x"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    zipped = packed(files)
    (tmp_path / "all.zip").write_bytes(zipped)
    for source in (zipped, ml.File(zipped, "all.zip"), tmp_path / "all.zip", tmp_path / "set"):
        found = ml.read_image_folders(source, size=4)
        assert found.classes == ["cats"] * 3 + ["dogs"] * 3
        assert {image.shape for image in found.images} == {(4, 4, 3)}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"nothing", "not a zip"),
        (packed({}), "no images among 0 files"),
        (packed({"a/x.txt": b"", "b/y.csv": b""}), "no images among 2 files"),
        (packed({"1.png": png(), "2.png": png()}), "2 images, such as '1.png', are in no folder"),
        (packed(folders("cats")), "All images are in one folder, 'cats'"),
        (packed(folders("cats") | {"dogs/1.png": png()}), "too few are in: 'dogs' (1)"),
        (
            packed(folders("cats") | {"dogs/1.png": b"no image", "dogs/2.png": b""}),
            "2 files, such as 'dogs/1.png', cannot be read",
        ),
        ("/no/such/folder", "no folder or zip '/no/such/folder'"),
    ],
)
def test_other_contents_are_refused_with_a_sentence(source: object, words: str) -> None:
    with pytest.raises(CallerError) as error:
        ml.read_image_folders(source)
    assert words in error.value.message


def test_unreadable_images_are_left_out_and_named() -> None:
    found = ml.read_image_folders(packed(folders("cats", "dogs") | {"dogs/9.png": b"no image"}))
    assert found.unreadable == ["dogs/9.png"] and len(found.images) == 6


def test_damaged_members_are_left_out() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in folders("cats", "dogs").items():
            archive.writestr(name, content)
        archive.writestr("dogs/9.png", bytes(range(256)) * 40)
    data = bytearray(target.getvalue())
    start = data.index(b"dogs/9.png") + len("dogs/9.png")
    data[start : start + 8] = b"\xff" * 8  # no longer what deflate writes
    found = ml.read_image_folders(bytes(data))
    assert found.unreadable == ["dogs/9.png"]


def test_images_with_16_bits_are_bright_and_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the camera was turned
    files = folders("cats", "dogs")
    for kind in (np.uint8, np.uint16):
        target = io.BytesIO()
        pixels = np.array([[0, 0, 0], [0, 0, 200]], kind)
        Image.fromarray(pixels).save(target, "PNG", exif=exif)
        files[f"cats/{kind.__name__}.png"] = target.getvalue()
    found = ml.read_image_folders(packed(files))
    images = dict(zip(found.names, found.images, strict=True))
    assert images["cats/uint8.png"][:, :, 0].tolist() == [[0, 0], [0, 0], [200, 0]]
    assert images["cats/uint16.png"][:, :, 0].tolist() == [[0, 0], [0, 0], [255, 0]]
