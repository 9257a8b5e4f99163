"""Files that should be images: which are, and what is found in place of one that is missing."""

from pathlib import Path

import pytest

from mien.faces.image_files import looks_like_image, read_image_file
from mien.faces.images import UnreadableImage


@pytest.mark.parametrize(
    ("found", "wanted", "explained"),
    [
        pytest.param("img.jpg", "IMG.JPG", "but there is 'img.jpg', in another case", id="upper case"),
        pytest.param("a.JPG", "a.jpg", "but there is 'a.JPG', in another case", id="case of the suffix"),
        pytest.param("a.jpg", "a", "but there is 'a.jpg', with another suffix", id="no suffix"),
        pytest.param("a.png", "a.jpg", "but there is 'a.png', with another suffix", id="converted"),
        pytest.param("Anger/a.jpg", "anger/a.jpg", "but there is 'Anger', in another case", id="folder"),
        pytest.param("images.zip", "images/a.jpg", "but there is 'images.zip': unpack it", id="packed"),
        pytest.param("b.jpg", "x/y/a.jpg", "there is no folder 'x' in '{}'", id="no folder"),
        pytest.param("b.jpg", "a.jpg", "there is no file 'a.jpg' in '{}'", id="no file"),
    ],
)
def test_a_missing_image_says_where_it_was_looked_for(
    tmp_path: Path, found: str, wanted: str, explained: str
) -> None:
    """And what is there instead, under a name that sets often have by mistake."""
    (tmp_path / found).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / found).touch()
    if (tmp_path / wanted).exists():
        pytest.skip("the file system ignores case")
    with pytest.raises(UnreadableImage) as missing:
        read_image_file(tmp_path / wanted)
    assert missing.value.reason == "missing_file"
    assert explained.format(tmp_path.name) in missing.value.detail


@pytest.mark.parametrize(
    ("data", "is_image"),
    [
        (b"\xff\xd8\xff\xe0", True),
        (b"\0\0\0\x1cftypmif1\0\0\0\0avif", True),
        (b"\xff\x0a", True),
        (b"\0\0\0\x18ftypmp42", False),
        (b"path,label", False),
        (b"", False),
    ],
)
def test_the_content_decides_what_is_an_image(tmp_path: Path, data: bytes, is_image: bool) -> None:
    """Formats that need an extra count as images too."""
    (tmp_path / "file").write_bytes(data)
    assert looks_like_image(tmp_path / "file") == is_image
