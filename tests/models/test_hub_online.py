"""The Hub's doors through the real client, against a Hub of our own on the loopback interface.

The client reads its endpoint and its offline switch when it is imported: what goes online runs in a process of its own,
started with them set; this process is offline, and sees the cache that the other one left.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch

import scalenet
from scalenet import cli
from scalenet.archs.arch import SearchSpace
from scalenet.data.labels import CAMVID
from scalenet.models import pretrained
from scalenet.models.metadata import CheckpointMetadata
from scalenet.models.provenance import metadata_of

from ..hub_server import TOKEN, Hub, sha
from ..small_networks import small_network

ONLINE = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
WEIGHTS = "model.safetensors"
LIE = (1 << 40).to_bytes(8, "little") + b"{}"  # a header of a terabyte


def network(seed: int) -> scalenet.ScaleNet:
    torch.manual_seed(seed)
    return small_network(labels=CAMVID)


def outputs(model: scalenet.ScaleNet) -> torch.Tensor:
    torch.manual_seed(0)
    with torch.inference_mode():
        return model.eval()(torch.randn(1, 3, 64, 80))


# -- what runs online --------------------------------------------------------------------------------------------
def load(name: str, cache: Path, token: str = "") -> torch.Tensor:
    os.environ["HF_TOKEN"] = token
    return outputs(scalenet.create_model(name, pretrained=True, cache_dir=cache))


def push(seed: int, repo: str, token: str | None = TOKEN, **kwargs: object) -> str:
    return scalenet.push_to_hub(network(seed), repo, token=token, **kwargs)


def failure(function, *args: object) -> tuple[set[str], str]:
    """The names of an error's classes, and its text."""
    try:
        function(*args)
    except Exception as e:
        return {c.__name__ for c in type(e).mro()}, str(e)
    return set(), ""


def command(*argv: str) -> tuple[int, str]:
    """Exit status and stderr of a command line."""
    with contextlib.redirect_stderr(io.StringIO()) as err:
        return cli.main(argv), err.getvalue()


def load_published(sha256: str, cache: Path) -> torch.Tensor:
    """ScaleNet-S0 as if its weights were published on the Hub under that hash."""
    (entry,) = [e for e in pretrained.TABLE if (e.name, e.tag) == ("scalenet_s0", "camvid")]
    with pytest.MonkeyPatch.context() as patch:
        for field, value in {"file": "", "hub_id": "user/s0", "sha256": sha256}.items():
            patch.setitem(vars(entry), field, value)
        return load("scalenet_s0", cache)


def push_published(name: str, repo: str) -> str:
    return scalenet.push_to_hub(scalenet.create_model(name, pretrained=True), repo, token=TOKEN)


def describe(name: str, cache: Path) -> CheckpointMetadata | None:
    return metadata_of(scalenet.create_model(name, pretrained=True, cache_dir=cache))


# -- the two sides -----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def hub():
    with Hub() as server:
        yield server


@pytest.fixture(scope="module")
def context(hub, tmp_path_factory):
    """Starts processes that find the client's variables set."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {**ONLINE, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path_factory.mktemp("hf"))}.items():
            patch.setenv(key, value)
        yield multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def online(context):
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield lambda function, *args, **kwargs: pool.submit(function, *args, **kwargs).result(120)


@pytest.fixture(scope="module")
def revisions(hub, online):
    """user/net with two commits."""
    return [online(push, seed, "user/net").rpartition("/")[2] for seed in (1, 2)]


def test_push_writes_the_hubs_form_and_keeps_a_card(hub, online, revisions):
    assert [r for r, _ in hub.repos["user/net"]] == revisions
    first, second = (files for _, files in hub.repos["user/net"])
    assert set(first) == {"config.json", WEIGHTS, "README.md"}
    assert first[WEIGHTS] != second[WEIGHTS] and first["README.md"] == second["README.md"]
    assert b"pedestrian" in first["README.md"] and json.loads(first["config.json"])["architecture"] == "scalenet"
    classes, text = online(failure, push, 1, "user/new", "hf_wrong")
    assert "HfHubHTTPError" in classes and "401" in text and "user/new" not in hub.repos


@pytest.mark.parametrize("name", ["scalenet_s0", "scalenet_p0", "scalenet_p0_bottomup"])
def test_what_is_known_of_weights_comes_back_from_the_hub(hub, online, tmp_path, name):
    online(push_published, name, f"user/{name}")
    known = metadata_of(scalenet.create_model(name, pretrained=True))
    assert known.metrics and online(describe, f"hf-hub:user/{name}", tmp_path) == known


def test_a_branch_is_made_and_written_to(hub, online, revisions, tmp_path):
    for seed in (4, 5):
        online(push, seed, "user/net", revision="trial")
    assert [r for r, _ in hub.repos["user/net"]] == revisions, "the main branch is as it was"
    assert len(hub.repos["user/net@trial"]) == len(revisions) + 2
    torch.testing.assert_close(online(load, "hf-hub:user/net@trial", tmp_path), outputs(network(5)))
    torch.testing.assert_close(online(load, "hf-hub:user/net", tmp_path), outputs(network(2)))


def test_loaded_pinned_and_offline_from_the_cache(hub, online, revisions, tmp_path):
    torch.testing.assert_close(online(load, "hf-hub:user/net", tmp_path), outputs(network(2)))
    torch.testing.assert_close(online(load, f"hf-hub:user/net@{revisions[0]}", tmp_path), outputs(network(1)))
    before = len(hub.downloads(WEIGHTS))
    online(load, "hf-hub:user/net", tmp_path)
    assert len(hub.downloads(WEIGHTS)) == before, "what is in the cache is not downloaded again"
    seen = len(hub.requests)
    for name, seed in (("hf-hub:user/net", 2), (f"hf-hub:user/net@{revisions[0]}", 1)):
        model = scalenet.create_model(name, pretrained=True, cache_dir=tmp_path)
        torch.testing.assert_close(outputs(model), outputs(network(seed)))
        assert model.labels == CAMVID
    assert len(hub.requests) == seen, "offline is offline"
    with pytest.raises(OSError, match=r"(?i)offline|cache"):
        scalenet.create_model("hf-hub:user/never", pretrained=True, cache_dir=tmp_path)
    assert "RevisionNotFoundError" in online(failure, load, "hf-hub:user/net@" + 40 * "0", tmp_path)[0]


def test_a_private_network_needs_a_token(hub, online, tmp_path):
    online(push, 3, "user/secret", TOKEN, private=True)
    classes, text = online(failure, load, "hf-hub:user/secret", tmp_path)
    assert {"RepositoryNotFoundError", "OSError"} <= classes and "private" in text and "authenticated" in text
    status, line = online(command, "info", "hf-hub:user/secret")
    assert status == 2 and line.count("\n") == 1 and "user/secret" in line and "authenticated" in line
    torch.testing.assert_close(online(load, "hf-hub:user/secret", tmp_path, TOKEN), outputs(network(3)))


def test_a_cut_connection_goes_on_where_it_broke(hub, online, revisions, tmp_path):
    chunk = 10 << 20  # what the client writes at a time
    space = SearchSpace("segmentation", 32, (64, 80), 24, 16, (1, 1, 1), (2, 2))
    model = scalenet.ScaleNet(space.hrnet(), num_classes=3)
    folder = scalenet.save_pretrained(model, tmp_path / "large")
    hub.put("user/large", {p.name: p.read_bytes() for p in folder.iterdir()})
    hub.cuts = [chunk + 1000, 5]
    torch.testing.assert_close(online(load, "hf-hub:user/large", tmp_path), outputs(model))
    ranges = [r for m, path, r in hub.requests if m == "GET" and path == f"/user/large/resolve/main/{WEIGHTS}"]
    assert ranges == ["", f"bytes={chunk}-", f"bytes={chunk}-"]


def test_a_killed_download_leaves_nothing_and_starts_anew(hub, context, online, revisions, tmp_path):
    hub.hold_at, before = 60_000, len(hub.downloads(WEIGHTS))
    process = context.Process(target=load, args=("hf-hub:user/net", tmp_path))
    process.start()
    assert hub.held.wait(60)
    process.kill()
    process.join()
    hub.release.set()
    assert not list(tmp_path.rglob(WEIGHTS))
    with pytest.raises(OSError, match=r"(?i)offline|cache"):
        scalenet.create_model("hf-hub:user/net", pretrained=True, cache_dir=tmp_path)
    torch.testing.assert_close(online(load, "hf-hub:user/net", tmp_path), outputs(network(2)))
    assert hub.downloads(WEIGHTS)[before:] == ["", ""]


def test_another_file_than_the_published_one_is_refused(hub, online, tmp_path):
    data = (pretrained.FILES / "scalenet_s0.safetensors").read_bytes()
    hub.put("user/s0", {WEIGHTS: data})
    expected = outputs(scalenet.create_model("scalenet_s0", pretrained=True))
    torch.testing.assert_close(online(load_published, sha(data), tmp_path), expected)
    classes, text = online(failure, load_published, "0" * 64, tmp_path)
    assert "WeightsError" in classes and f"{sha(data)[:16]}…, {16 * '0'}… was published" in text


@pytest.mark.parametrize("damage", [lambda d: d[:-100], lambda d: d[:-1] + bytes([d[-1] ^ 1])])
def test_a_cached_file_that_is_no_longer_the_hubs_is_refused(hub, online, revisions, tmp_path, damage):
    online(load, "hf-hub:user/net", tmp_path)
    (file,) = {path.resolve() for path in tmp_path.rglob(WEIGHTS)}
    file.chmod(0o644)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(scalenet.WeightsError, match=r"SHA-256 .* was published: damaged or replaced"):
        scalenet.create_model("hf-hub:user/net", pretrained=True, cache_dir=tmp_path)


def config_of(**changes: object) -> bytes:
    arch = network(1).arch.to_dict()
    config = {"architecture": "scalenet", "num_classes": 11, "pretrained_cfg": {}, "model_args": {"arch": arch}}
    return json.dumps(config | changes).encode()


def hostile_arch(depth: int, width: int = 8) -> dict[str, object]:
    arch = network(1).arch.to_dict()
    arch["width"] = width
    for module in arch["stages"][0]:
        module["depths"][0] = depth
        module["fusions"][0] = [[]] * min(depth, 32)
    return {"arch": arch}


STRANGE = {
    "no config": ({WEIGHTS: b""}, "EntryNotFoundError", "config.json"),
    "another architecture": ({"config.json": config_of(architecture="resnet18")}, "LookupError", "resnet18"),
    "no architecture": ({"config.json": b'{"num_classes": 3}'}, "WeightsError", "architecture"),
    "no json": ({"config.json": b"\xff\x00"}, "WeightsError", "config.json"),
    "deep": ({"config.json": config_of(model_args=hostile_arch(10**9))}, "ArchError", "1000000000"),
    "wide": ({"config.json": config_of(model_args=hostile_arch(32, 1024))}, "ArchError", "parameters"),
    "lying header": ({"config.json": config_of(), WEIGHTS: LIE}, "WeightsError", "eader"),
    "pickled": ({"config.json": config_of(), "pytorch_model.bin": b"x"}, "WeightsError", "convert alone"),
    "short header": ({"config.json": config_of(), WEIGHTS: b"\x10"}, "WeightsError", "eader"),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE)
def test_strange_repositories(hub, online, tmp_path, case):
    files, error, words = STRANGE[case]
    hub.put("user/strange", {WEIGHTS: b"", **files})
    for name in ("config.json", WEIGHTS):
        if (name, case) in (("config.json", "no config"), (WEIGHTS, "pickled")):
            hub.repos["user/strange"][-1][1].pop(name, None)
    classes, text = online(failure, load, "hf-hub:user/strange", tmp_path)
    assert error in classes and words in text
    status, line = online(command, "info", "hf-hub:user/strange")
    assert status == 2 and line.count("\n") == 1
