"""Weights load strictly, and only if their hashes match the manifest."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dubline.models import weights
from dubline.models.motion.source_gap import SourceGap
from dubline.models.presets import TINY
from dubline.models.weights import RELEASED, Networks, WeightsError, load_networks, save_networks

CPU = torch.device("cpu")
SHARD_BYTES = 4_000_000


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A copy of the released TINY, for tests that modify it."""
    return Path(shutil.copytree(RELEASED / "tiny", tmp_path / "tiny"))


@pytest.fixture(scope="module")
def several(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TINY saved as several files, like larger presets."""
    folder = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "FILE_BYTES", SHARD_BYTES)
        save_networks(networks, folder)
    return folder / "tiny"


@pytest.fixture
def shards(several: Path, tmp_path: Path) -> Path:
    """A copy of these files, for tests that modify them."""
    return Path(shutil.copytree(several, tmp_path / "tiny"))


def change_manifest(folder: Path, **fields: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in RELEASED.glob("*/manifest.json")))
def test_a_released_preset_is_within_budget_and_has_a_model_card(name: str) -> None:
    networks = load_networks(name, CPU)
    manifest = json.loads((RELEASED / name / "manifest.json").read_text())
    assert networks.sha256 == manifest["sha256"]
    assert (RELEASED / name / "MODEL_CARD.md").exists()
    sizes = [path.stat().st_size for path in (RELEASED / name).glob("*.safetensors")]
    assert max(sizes) <= 15e6
    assert sum(sizes) <= 40e6


def test_weights_saved_again_are_the_same_bytes(networks: Networks, tmp_path: Path) -> None:
    (path,) = save_networks(networks, tmp_path)
    assert path.read_bytes() == (RELEASED / "tiny" / path.name).read_bytes()
    assert (path.parent / "manifest.json").read_text() == (RELEASED / "tiny" / "manifest.json").read_text()


def test_the_reading_of_the_source_s_gap_is_saved_and_loaded(networks: Networks, tmp_path: Path) -> None:
    assert networks.source_gap is None, "TINY has none"
    torch.manual_seed(0)
    gap = SourceGap().half().float().eval()
    save_networks(replace(networks, source_gap=gap), tmp_path)
    loaded = load_networks("tiny", CPU, tmp_path).source_gap
    assert loaded is not None
    frames = torch.rand(2, 3, TINY.size_px, TINY.size_px)
    assert torch.equal(loaded(frames), gap(frames))


def test_a_part_of_the_reading_of_the_gap_is_not_enough(
    networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = SourceGap()
    monkeypatch.setattr(gap, "state_dict", lambda: {"output.bias": torch.zeros(1)})
    save_networks(replace(networks, source_gap=gap), tmp_path)
    with pytest.raises(WeightsError, match=r"lack \d+ tensors, such as source_gap"):
        load_networks("tiny", CPU, tmp_path)


def test_the_hash_of_one_file_is_its_own(networks: Networks) -> None:
    assert networks.sha256 == hashlib.sha256((RELEASED / "tiny/weights.safetensors").read_bytes()).hexdigest()


def test_several_files_give_the_same_networks_within_the_size_limit(networks: Networks, shards: Path) -> None:
    loaded = load_networks("tiny", CPU, shards.parent)
    assert [path.stat().st_size <= SHARD_BYTES for path in shards.glob("*.safetensors")] == [True] * 3
    for stage in ("autoencoder", "diffusion"):
        expected, found = (getattr(each, stage).state_dict() for each in (networks, loaded))
        assert all(torch.equal(expected[key], found[key]) for key in expected | found)


def test_several_files_have_one_combined_hash(networks: Networks, shards: Path) -> None:
    files = sorted(shards.glob("*.safetensors"))
    lines = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    found = load_networks("tiny", CPU, shards.parent).sha256
    assert found == hashlib.sha256(lines.encode()).hexdigest()
    assert found != networks.sha256


def test_saving_removes_files_of_older_weights(networks: Networks, shards: Path) -> None:
    save_networks(networks, shards.parent)
    assert [path.name for path in shards.glob("*.safetensors")] == ["weights.safetensors"]
    assert load_networks("tiny", CPU, shards.parent).sha256 == networks.sha256


@pytest.mark.parametrize("index", [1, 2, 3])
def test_a_changed_file_is_rejected(shards: Path, index: int) -> None:
    flip_last_byte(shards / f"weights-{index}-of-3.safetensors")
    with pytest.raises(WeightsError, match=f"weights-{index}-of-3.safetensors does not have the hash in its manifest"):
        load_networks("tiny", CPU, shards.parent)


def test_a_missing_file_is_rejected(shards: Path) -> None:
    (shards / "weights-2-of-3.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"weights-2-of-3\.safetensors is missing"):
        load_networks("tiny", CPU, shards.parent)


def test_a_file_that_is_not_in_the_manifest_is_rejected(shards: Path) -> None:
    shutil.copy(RELEASED / "tiny/weights.safetensors", shards)
    with pytest.raises(WeightsError, match=r"weights\.safetensors is not in its manifest"):
        load_networks("tiny", CPU, shards.parent)


def test_a_manifest_with_a_wrong_combined_hash_is_rejected(tiny: Path) -> None:
    change_manifest(tiny, sha256="0" * 64)
    with pytest.raises(WeightsError, match="does not match the hashes of its files"):
        load_networks("tiny", CPU, tiny.parent)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "weights.pt", "..", ""])
def test_a_manifest_with_a_path_is_rejected(tiny: Path, name: str) -> None:
    file = {"name": name, "sha256": "0" * 64, "bytes": 1}
    change_manifest(tiny, sha256="0" * 64, files=[file])
    with pytest.raises(WeightsError, match="not a plain file name"):
        load_networks("tiny", CPU, tiny.parent)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": "0", "files": [{"name": "a.safetensors"}]}'])
def test_a_malformed_manifest_is_rejected(tiny: Path, text: str) -> None:
    (tiny / "manifest.json").write_text(text)
    with pytest.raises(WeightsError, match="not a manifest of weights"):
        load_networks("tiny", CPU, tiny.parent)


def test_the_error_for_missing_weights_gives_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="reinstall dubline or train them"):
        load_networks("tiny", CPU, tmp_path)


def test_files_without_all_tensors_are_rejected(shards: Path) -> None:
    manifest = json.loads((shards / "manifest.json").read_text())
    (shards / "weights-3-of-3.safetensors").unlink()
    files = manifest["files"][:2]
    lines = "".join(f"{file['sha256']}  {file['name']}\n" for file in files)
    change_manifest(shards, files=files, sha256=hashlib.sha256(lines.encode()).hexdigest())
    with pytest.raises(WeightsError, match=r"lack \d+ tensors, such as diffusion"):
        load_networks("tiny", CPU, shards.parent)


def test_an_unknown_tensor_is_rejected(networks: Networks, tmp_path: Path) -> None:
    networks.diffusion.register_buffer("unknown", torch.zeros(1))
    try:
        save_networks(networks, tmp_path)
    finally:
        del networks.diffusion.unknown
    with pytest.raises(WeightsError, match=r"diffusion\.unknown"):
        load_networks("tiny", CPU, tmp_path)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    broken = load_networks("tiny", CPU)
    broken.diffusion.source_mean[0] = 1e6
    with pytest.raises(WeightsError, match=r"diffusion\.source_mean is not finite in fp16"):
        save_networks(broken, tmp_path)
    assert list((tmp_path / "tiny").iterdir()) == []


def test_weights_that_are_not_finite_are_not_loaded(tiny: Path) -> None:
    path = tiny / "weights.safetensors"
    tensors = load_file(path)
    tensors["diffusion.source_mean"][0] = float("nan")
    save_file(tensors, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = {"name": path.name, "sha256": digest, "bytes": path.stat().st_size}
    change_manifest(tiny, files=[file], sha256=digest)
    with pytest.raises(WeightsError, match=r"diffusion\.source_mean that are not finite"):
        load_networks("tiny", CPU, tiny.parent)


def test_weights_stay_if_new_ones_cannot_be_written(
    networks: Networks, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in tiny.iterdir()}
    monkeypatch.setattr(weights, "FILE_BYTES", SHARD_BYTES)
    write, written = Path.write_bytes, list[Path]()

    def full_disk(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) == 2:
            write(path, data[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_networks(networks, tiny.parent)
    assert {path.name: path.read_bytes() for path in tiny.iterdir()} == before


def test_loading_reads_one_file_at_a_time(shards: Path) -> None:
    load_networks("tiny", CPU, shards.parent)
    tracemalloc.start()
    load_networks("tiny", CPU, shards.parent)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2.5 * SHARD_BYTES


def test_the_error_for_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(WeightsError, match="tiny"):
        load_networks("huge", CPU)
