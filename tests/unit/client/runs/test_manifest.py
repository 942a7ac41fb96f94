from __future__ import annotations

import json
import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from dubline.client.calls.options import Controls
from dubline.client.errors import ClientError, ManifestError
from dubline.client.runs.manifest import read_rows
from dubline.options.deadline import DEADLINE_MAX_S, DEADLINE_MIN_S


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
    with pytest.raises(ManifestError, match=r"line 1: output\.height_px"):
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


def test_a_row_chooses_a_face_by_a_point_or_a_number(media: Path) -> None:
    (one,) = read_rows(write(media, row("one", face={"x": 640, "y": 360})))
    assert one.chosen() == {"face": {"x": 640, "y": 360}}
    path = media / "table.csv"
    path.write_text("custom_id,portrait,speech,face.x,face.y\none,face.jpg,hello.mp3,640,360\n")
    assert read_rows(path)[0].face == one.face
    with pytest.raises(ManifestError, match="line 1: Both face and face_index are given"):
        read_rows(write(media, row("one", face={"x": 1, "y": 2}, face_index=0)))


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


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_of_a_spreadsheet_is_read(media: Path, delimiter: str) -> None:
    header = delimiter.join(("custom_id", "portrait", "speech", "seed", "controls.blink"))
    cells = [
        delimiter.join(("one", "face.jpg", "hello.mp3", "7", "0.5")),
        "",
        delimiter.join(("two", "face.jpg", "hello.mp3")),
    ]
    path = media / "table.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join((header, *cells, delimiter * 4)).encode())
    one, two = read_rows(path)
    assert (one.custom_id, one.seed, one.controls.blink) == ("one", 7, 0.5)
    assert (two.custom_id, two.seed, two.portrait) == ("two", None, media.resolve() / "face.jpg")


def test_faults_of_a_table_name_the_line_and_the_column(media: Path) -> None:
    path = media / "table.csv"
    path.write_text("custom_id,portrait,speech,sed\none,face.jpg,hello.mp3,1\ntwo,face.jpg,hello.mp3,,more\n")
    with pytest.raises(ManifestError, match=r"line 2: sed: [^\n]*\n[^\n]*line 3: column 5: "):
        read_rows(path)


def test_a_byte_order_mark_and_carriage_returns_are_accepted(media: Path) -> None:
    path = write(media, row("one"), row("two"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert [one.custom_id for one in read_rows(path)] == ["one", "two"]


@pytest.mark.parametrize(
    "custom_id",
    [
        "\u3053\u3093\u306b\u3061\u306f",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "Frau M\u00fcller \U0001f469\u200d\U0001f3eb",
        "Ada\u00a0Lovelace",
        "\u0915\u094d\u200d\u0937",
        "\u6771\u4eac\u3000\u6e2f",
    ],
)
def test_ids_of_any_script_are_accepted(media: Path, custom_id: str) -> None:
    assert read_rows(write(media, row(custom_id)))[0].custom_id == custom_id


@pytest.mark.parametrize("odd", ["\u202e", "\u2028", "\x7f", "\uffff", "\ue000"])
def test_characters_that_no_script_needs_are_refused(media: Path, odd: str) -> None:
    with pytest.raises(ManifestError, match="printable"):
        read_rows(write(media, json.dumps(row(f"a{odd}b"))))


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_is_found_whichever_way_its_letters_are_composed(media: Path, forms: tuple[str, str]) -> None:
    stored, written = (unicodedata.normalize(form, "Zoë/Ünal.jpg") for form in forms)
    (media / stored).parent.mkdir()
    (media / stored).write_bytes(b"a face")
    assert read_rows(write(media, row("one", portrait=written)))[0].portrait.read_bytes() == b"a face"


def test_a_wrong_preset_is_reported_with_its_line(media: Path) -> None:
    with pytest.raises(ManifestError, match=r"line 1: preset: There is no preset 'Base'\. Use one of: base, tiny\."):
        read_rows(write(media, row("one", preset="Base")))


#: Batch files as tools of users write them; the folder has a README that says what is right for each.
CASES = Path(os.environ.get("DUBLINE_TEST_CASES", "-"))
SPEECH_AND_PORTRAITS = ("ada.jpg", unicodedata.normalize("NFD", "Zoë.jpg"), "hi.wav")


@pytest.mark.skipif(not CASES.is_dir(), reason="DUBLINE_TEST_CASES does not name a folder of cases")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("bom.jsonl", 2),
        ("excel.csv", 2),
        ("japanese.jsonl", 1),
        ("nbsp.jsonl", 1),
        ("nfc.jsonl", 1),
        ("zwj.jsonl", 1),
        ("zwnj_persian.jsonl", 1),
    ],
)
def test_a_batch_file_of_a_user_is_read(tmp_path: Path, name: str, count: int) -> None:
    for file in SPEECH_AND_PORTRAITS:
        (tmp_path / file).touch()
    assert len(read_rows(Path(shutil.copy(CASES / name, tmp_path)))) == count


@pytest.mark.skipif(not CASES.is_dir(), reason="DUBLINE_TEST_CASES does not name a folder of cases")
def test_a_batch_file_of_a_user_with_a_wrong_preset_is_refused(tmp_path: Path) -> None:
    for file in SPEECH_AND_PORTRAITS:
        (tmp_path / file).touch()
    with pytest.raises(ManifestError, match="line 2: preset: There is no preset 'Base'"):
        read_rows(Path(shutil.copy(CASES / "preset_capital.jsonl", tmp_path)))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("id,portrait,speech\na,face.jpg,hello.mp3", "line 1: this is neither a JSON object nor the header"),
        ('[\n {"custom_id": "a"}\n]', "line 1: this is neither"),
        ("\n# rows\n{}", "line 2: this is neither"),
        ("custom_id,portrait,portrait,speech\na,face.jpg,face.jpg,hello.mp3", "two columns 'portrait'"),
        ("custom_id,controls,controls.blink\na,1,1", "columns 'controls' and 'controls.blink'"),
        ('custom_id,portrait,speech\n"a,face.jpg,hello.mp3', "line 2: a quotation mark is not closed"),
        (f"custom_id,portrait,speech\n{'z' * 200_000},face.jpg,hello.mp3", "line 2: field larger than"),
    ],
)
def test_a_file_of_another_form_says_which_is_expected(media: Path, text: str, fault: str) -> None:
    with pytest.raises(ManifestError, match=fault):
        read_rows(write(media, text))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (json.dumps(row("one", colour=1)), "colour: There is no field of this name"),
        (json.dumps({"custom_id": "one", "portrait": "face.jpg"}), "speech: This field is missing"),
        (json.dumps(row("one", portrait=7)), "portrait: The value is not text"),
        ('{"custom_id": "one" "portrait"', "line 1: This is not JSON: expected .* at character 21\\. Check"),
        (json.dumps(row("one", portrait="a\0b")), "has a zero character"),
        (json.dumps(row("one", portrait="x" * 300)), "File name too long"),
        (json.dumps(row("one", portrait=".")), "is a folder; name a file"),
        (json.dumps(row("one", deadline_s=DEADLINE_MIN_S / 2)), "deadline_s: The number is too small. Use at least 1"),
        (
            json.dumps(row("one", deadline_s=DEADLINE_MAX_S + 1)),
            "deadline_s: The number is too large. Use at most 2592000",
        ),
    ],
)
def test_the_fault_of_a_line_says_what_is_expected(media: Path, line: str, fault: str) -> None:
    with pytest.raises(ManifestError, match=fault):
        read_rows(write(media, line))
