import json
from pathlib import Path

import pytest

from dubline.client.calls.options import Controls
from dubline.client.errors import ClientError, ManifestError
from dubline.client.runs.manifest import read_rows


def write(folder: Path, *rows: object) -> Path:
    path = folder / "batch.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), "utf-8")
    return path


def row(custom_id: str, **more: object) -> dict[str, object]:
    return {"custom_id": custom_id, "portrait": "face.jpg", "speech": "hello.mp3", **more}


def test_paths_are_relative_to_the_file(media: Path) -> None:
    rows = read_rows(write(media, row("one"), "", row("two", seed=7, preset="tiny", deadline_s=90)))
    assert [one.custom_id for one in rows] == ["one", "two"]
    assert rows[0].portrait == media.resolve() / "face.jpg"
    assert (rows[0].deadline_s, rows[1].seed, rows[1].deadline_s) == (None, 7, 90)


def test_every_fault_is_reported_with_its_line(media: Path) -> None:
    path = write(media, row("one"), row("one"), "{", row("x", speech="gone.mp3"), row("y", sed=1), {"custom_id": "z"})
    with pytest.raises(ManifestError) as caught:
        read_rows(path)
    text = str(caught.value)
    assert "line 2: custom_id 'one' is already used in line 1" in text
    assert "line 3: " in text
    assert "line 4: the file" in text
    assert "line 5: sed: " in text
    assert "line 6: portrait: " in text


@pytest.mark.parametrize("deadline", ["0", "-1", "NaN", "Infinity", "1e999", '"soon"'])
def test_an_invalid_deadline_is_reported_with_its_line(media: Path, deadline: str) -> None:
    line = json.dumps(row("one", deadline_s=90)).replace("90", deadline)
    with pytest.raises(ManifestError, match=r"line 1: deadline_s: "):
        read_rows(write(media, line))


def test_the_height_of_a_row_is_read_and_its_bounds_are_checked(media: Path) -> None:
    (small,) = read_rows(write(media, row("one", output={"height_px": 256})))
    assert small.chosen() == {"output": {"height_px": 256}}
    with pytest.raises(ManifestError, match="line 1: output.height_px"):
        read_rows(write(media, row("one", output={"height_px": 257})))


def test_controls_of_a_row_are_read(media: Path) -> None:
    plain, calm = read_rows(write(media, row("one"), row("two", controls={"head_motion": 0.5, "shut_in_silence": 0})))
    assert plain.controls == Controls()
    assert calm.controls == Controls(head_motion=0.5, shut_in_silence=0.0)


@pytest.mark.parametrize(
    ("controls", "place"),
    [
        ('{"blink": 2.1}', "controls.blink: "),
        ('{"shut_in_silence": 1.1}', "controls.shut_in_silence: "),
        ('{"expression": -1}', "controls.expression: "),
        ('{"expression": NaN}', "controls.expression: "),
        ('{"smile": 1}', "controls.smile: "),
        ("1", "controls: "),
    ],
)
def test_an_invalid_control_is_reported_with_its_line(media: Path, controls: str, place: str) -> None:
    line = json.dumps(row("one", controls=0)).replace(": 0", f": {controls}")
    with pytest.raises(ManifestError, match=f"line 1: {place}"):
        read_rows(write(media, line))


def test_a_long_list_of_faults_is_truncated(media: Path) -> None:
    with pytest.raises(ManifestError, match=r"\.\.\. and 30 more"):
        read_rows(write(media, *["{"] * 50))


def test_an_empty_file_is_rejected(media: Path) -> None:
    with pytest.raises(ManifestError, match="has no rows"):
        read_rows(write(media, ""))


def test_control_characters_in_an_id_are_rejected(media: Path) -> None:
    with pytest.raises(ManifestError, match="printable"):
        read_rows(write(media, row("a\x1b[2Jb")))


def test_a_binary_or_missing_file_is_reported(media: Path) -> None:
    (media / "binary").write_bytes(b"\xff\xfe\xff")
    for name in ("binary", "absent", "."):
        with pytest.raises(ClientError, match=r"not UTF-8|Cannot read"):
            read_rows(media / name)
