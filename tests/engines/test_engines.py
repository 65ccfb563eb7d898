"""Engines compute what PyTorch does, at any size; what is not there or fails is said in one line."""

import copy
import sys
import warnings

import numpy as np
import pytest
import torch

import scalenet
from scalenet.cli import main
from scalenet.data.images import save_image
from scalenet.data.labels import CAMVID, COCO
from scalenet.engines import base, choose, graph
from scalenet.engines import cache as cache_files
from scalenet.engines.base import EngineError, Running, make_engine
from scalenet.nn.fuse import Folded, fold

from ..small_networks import sample_image, small_network, write

ONNX = pytest.importorskip("onnxscript", reason="pip install 'scalenet[engines]'")
OTHERS = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for all tests here, so that each small network's graph is made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache, monkeypatch):
    monkeypatch.setenv("SCALENET_CACHE", str(cache))


@pytest.fixture(scope="module")
def net():
    """One network with several outputs."""
    torch.manual_seed(0)
    return small_network("bottomup", COCO, (64, 64), (1, 1))


@pytest.mark.parametrize("engine", OTHERS)
def test_an_engine_gives_what_pytorch_gives_at_any_size(engine, net):
    pytest.importorskip(engine)
    network = Folded(fold(net))
    run, torch_run = make_engine(network, engine, "float32"), make_engine(network, "torch", "float32")
    for shape in ((1, 3, 64, 64), (2, 3, 37, 90), (1, 3, 64, 64), (1, 3, 64, 64)):
        x = torch.randn(shape)
        for a, b in zip(run(x), torch_run(x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    assert (run.name, run.dtype) == (engine, "float32")


@pytest.mark.parametrize("engine", OTHERS)
def test_a_predictor_takes_an_engine(engine, net):
    pytest.importorskip(engine)
    plain, other = (scalenet.BottomUpPoseEstimator(net, engine=e, batch_size=2) for e in ("torch", engine))
    assert repr(plain.engine) == "torch, float32" and repr(other.engine) == f"{engine}, float32"
    looks = [
        made._forward(torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))) for made in (plain, other)
    ]
    for a, b in zip(*looks, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    assert len(other([sample_image(50, 90)] * 3)) == 3


def test_pytorch_in_bfloat16_is_what_the_networks_own_bfloat16_is():
    net, image = small_network("segmentation", CAMVID, (64, 64), (1, 1)), sample_image(64, 80)
    asked, plain = scalenet.Segmenter(net, dtype="bfloat16"), scalenet.Segmenter(net)
    own = scalenet.Segmenter(copy.deepcopy(net).bfloat16())
    assert [made.engine.dtype for made in (asked, plain, own)] == ["bfloat16", "float32", "bfloat16"]
    assert (asked(image).mask == own(image).mask).mean() > 0.95
    assert (asked(image).mask == plain(image).mask).mean() > 0.9
    assert net.conv1.weight.dtype == torch.float32


def test_openvino_keeps_few_shapes(net):
    pytest.importorskip("openvino")
    from scalenet.engines import openvino

    run = make_engine(Folded(fold(net)), "openvino", "float32")
    for side in (32, 48, 64, 80, 96, 112):
        run(torch.zeros(1, 3, side, 32))
        run(torch.zeros(1, 3, side, 32))
    assert len(run._own) == openvino.KEPT and ((1, 3, 112, 32), torch.float32) in run._own


def test_threads_are_those_of_torch(net, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    run = make_engine(Folded(fold(net)), "openvino", "float32")
    assert run._any.get_property("INFERENCE_NUM_THREADS") == 1


def test_auto_tries_once_and_remembers(net, cache, monkeypatch):
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(choose, "SECONDS", 0.0)
    tried = []
    timed = choose.time_in_turn

    def note(engines, *args):
        tried.append(list(engines))
        times = timed(engines, *args)
        return {pair: [1.0 if pair == ("openvino", "float32") else 2.0] for pair in times}

    monkeypatch.setattr(choose, "time_in_turn", note)
    first = scalenet.BottomUpPoseEstimator(net, engine="auto", dtype="float32")
    again = scalenet.BottomUpPoseEstimator(net, engine="auto", dtype="float32")
    assert repr(first.engine) == repr(again.engine) == "openvino, float32"
    assert tried == [[("torch", "float32"), ("onnxruntime", "float32"), ("openvino", "float32")]]
    (cache / choose.FILE).write_text("no JSON")
    scalenet.BottomUpPoseEstimator(net, engine="auto", dtype="float32")
    assert len(tried) == 2


def test_auto_leaves_out_what_computes_something_else_or_is_missing(net, monkeypatch):
    monkeypatch.setattr(choose, "SECONDS", 0.0)
    monkeypatch.setattr(base, "TOLERANCE", {"float32": 1e-12, "bfloat16": 1e-12})
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = choose.start_engine(Folded(fold(net)), "auto", "auto", (64, 96))
    assert repr(found) == "torch, float32"
    with pytest.raises(EngineError, match=r"onnxruntime in float32 differs from PyTorch by .* it is not used"):
        make_engine(Folded(fold(net)), "onnxruntime", "float32")


def test_engines_that_are_timed_in_turn():
    class Slow:
        name = dtype = ""

        def __init__(self, n):
            self.calls, self.n = 0, n

        def __call__(self, x):
            self.calls += 1
            torch.ones(self.n).sum()

    quick, slow = Slow(1), Slow(20_000_000)
    times = choose.time_in_turn({"quick": quick, "slow": slow}, torch.zeros(1), 0.0, 4.0)
    assert len(times["quick"]) == 3 and len(times["slow"]) == 1 and (quick.calls, slow.calls) == (5, 3)
    assert {len(t) for t in choose.time_in_turn({"quick": quick, "slow": slow}, torch.zeros(1), 0.0).values()} == {3}


@pytest.mark.parametrize("engine", OTHERS)
def test_an_engine_that_is_not_installed(engine, net, monkeypatch):
    monkeypatch.setitem(sys.modules, engine, None)
    with pytest.raises(ImportError, match=rf'{engine} needs {engine}: pip install "scalenet\[engines\]"'):
        scalenet.BottomUpPoseEstimator(net, engine=engine)


def test_names_and_types_that_are_none(net, tmp_path, capsys):
    with pytest.raises(EngineError, match=r"engine must be one of auto, torch, .* got 'tensorrt'"):
        scalenet.BottomUpPoseEstimator(net, engine="tensorrt")
    with pytest.raises(EngineError, match="dtype must be one of auto, float32, bfloat16, int8, got 'int4'"):
        scalenet.BottomUpPoseEstimator(net, dtype="int4")
    pytest.importorskip("onnxruntime")
    with pytest.raises(EngineError, match="onnxruntime computes in float32 or int8"):
        scalenet.BottomUpPoseEstimator(net, engine="onnxruntime", dtype="bfloat16")
    file, image = write(net, tmp_path / "net.safetensors"), tmp_path / "a.png"
    save_image(image, sample_image(40, 40))
    given = ["pose", "--bottom-up", str(image), "-m", str(file), "-o", str(tmp_path / "out"), "--engine", "onnxruntime"]
    assert main([*given, "--dtype", "bfloat16"]) == 2
    assert "not in bfloat16: use openvino" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main(given) == 0


def test_compiled_networks_run_and_give_the_same(net, monkeypatch):
    compile_, backends = torch.compile, []

    def without_a_compiler(module):
        backends.append("eager")
        return compile_(module, backend="eager")

    monkeypatch.setattr(torch, "compile", without_a_compiler)
    network = Folded(fold(net))
    run, x = make_engine(network, "compile", "float32"), torch.randn(1, 3, 64, 64)
    for a, b in zip(run(x), make_engine(network, "torch", "float32")(x), strict=True):
        torch.testing.assert_close(a, b)
    assert (run.name, backends) == ("compile", ["eager"])


def test_a_network_with_hooks_stays_in_pytorch(net):
    net, seen = copy.deepcopy(net), []
    net.conv1.register_forward_hook(lambda *_: seen.append(1))
    with pytest.raises(EngineError, match="engine openvino would not call the network's hooks: use torch"):
        scalenet.BottomUpPoseEstimator(net, "cpu", engine="openvino")
    scalenet.BottomUpPoseEstimator(net, "cpu", engine="torch")(sample_image(64, 64))
    assert seen


def test_a_network_in_training_runs_as_it_is_evaluated(net):
    training, x = copy.deepcopy(net).train(), torch.randn(2, 3, 64, 64)
    estimators = [scalenet.BottomUpPoseEstimator(made, "cpu") for made in (training, net)]
    for a, b in zip(*(made._forward(x) for made in estimators), strict=True):
        torch.testing.assert_close(a, b)


def test_an_engine_that_fails_is_said_once_and_pytorch_takes_over(net):
    network = Folded(fold(net))

    class Broken:
        name, dtype = "openvino", "bfloat16"

        def __call__(self, x):
            raise RuntimeError("no\nmemory for it")

    run, x = Running(Broken(), network), torch.randn(1, 3, 64, 64)
    with pytest.warns(UserWarning, match=r"engine openvino failed \(no memory for it\): PyTorch takes over"):
        first = run(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(run(x)[0], first[0])
    torch.testing.assert_close(first[0], make_engine(network, "torch", "float32")(x)[0])
    assert repr(run) == "torch, float32"


def test_a_cache_that_cannot_be_written(net, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCALENET_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("scalenet.engines.export.onnx_model", lambda *_: b"a graph")
    cache_files._say_unwritable.cache_clear()
    with pytest.warns(UserWarning, match="nothing is kept in .*file"):
        assert graph.onnx_graph(Folded(fold(net))) == b"a graph"


@pytest.mark.parametrize("engine", OTHERS)
def test_a_kept_graph_that_is_damaged(engine, net, tmp_path, monkeypatch):
    pytest.importorskip(engine)
    monkeypatch.setenv("SCALENET_CACHE", str(tmp_path))
    monkeypatch.setattr(choose, "SECONDS", 0.0)
    network = Folded(fold(net))
    graph.keep(tmp_path / graph.GRAPHS / f"{graph.digest(network)}.onnx", b"no graph")
    with pytest.raises(EngineError, match=f"engine {engine} cannot run this network .* remove {tmp_path}"):
        make_engine(network, engine, "float32")
    assert repr(choose.start_engine(network, "auto", "float32", (64, 64))) == "torch, float32"


def test_the_graphs_that_are_kept_are_few(net, tmp_path, monkeypatch):
    monkeypatch.setenv("SCALENET_CACHE", str(tmp_path))
    monkeypatch.setattr("scalenet.engines.export.onnx_model", lambda *_: b"a graph")
    network = Folded(fold(net))
    for n in range(graph.KEPT + 3):
        with torch.no_grad():
            network.network.conv1.weight[0, 0, 0, 0] = float(n)
        assert graph.onnx_graph(network) == b"a graph"
    assert len(list((tmp_path / graph.GRAPHS).iterdir())) == graph.KEPT


def test_what_a_graph_is_kept_under_is_its_weights(net):
    net = fold(net)
    before = graph.digest(Folded(net))
    assert graph.digest(Folded(fold(net))) == before
    with torch.no_grad():
        net.conv1.weight[0, 0, 0, 0] += 1
    assert graph.digest(Folded(net)) != before
    assert np.isfinite(net.conv1.weight.numpy()).all()
