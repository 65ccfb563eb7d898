"""Weight files: found in the table of pretrained weights, verified, loaded strictly, written atomically."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..archs.arch import Arch
from ..archs.tasks import task_spec
from ..data.io import atomic_write
from ..nn.heads import count_outputs
from ..nn.network import ScaleNet
from .metadata import INPUT, CheckpointMetadata
from .pretrained import TABLE, Entry
from .provenance import mark

OWN_WEIGHTS = 'give weights of your own: "hf-hub:user/repo", "local-dir:folder" or checkpoint_path='
TRAIN = "train it (python -m training, from a checkout)"
PICKLED = (".pth", ".pt", ".bin")
ONLY_CONVERT = "a pickled file is read by scalenet convert alone, which writes safetensors"
MEND = "give the network that they are of (architecture, num_classes, in_chans), or read them with scalenet convert"


class WeightsError(ValueError):
    """A weight file that is damaged or does not belong to the network."""


class NoWeights(LookupError, RuntimeError):
    """Weights were asked for where none are published."""


def weights_source(entry: Entry, cache_dir: str | Path | None = None) -> dict[str, Any]:
    """timm's ``pretrained_cfg`` fields that say where an entry's weights are; a local file's SHA-256 is checked.

    Raises:
        NoWeights: if none are published; names the ways on.
        WeightsError: if the file is another than the one published.
    """
    if entry.is_file:
        path = entry.path
    elif entry.hub_id:
        path = hub_file(entry.hub_id, entry.hub_filename, entry.revision, cache_dir)
    else:
        raise NoWeights(no_weights_message(entry))
    verify(path, entry.sha256)
    return {"file": str(path), "hf_hub_id": None}


def hub_file(hub_id: str, file: str, revision: str = "", cache_dir: str | Path | None = None) -> Path:
    """The path of a file of a Hub repository, downloaded if it is not in the cache.

    Raises:
        OSError: in one line, if it cannot be had.
        LookupError: for an id that no repository has.
        WeightsError: if large files, which the Hub's cache keeps by their SHA-256, have another.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, HTTPError

    try:
        path = Path(hf_hub_download(hub_id, file, revision=revision or None, cache_dir=cache_dir))
    except HFValidationError as e:
        raise LookupError(f"hf-hub:{hub_id}: {str(e).splitlines()[0]}") from None
    except OSError:  # says what is wrong
        raise
    except (HTTPError, RuntimeError) as e:  # what goes wrong under way is not always an OSError
        reason = " ".join(str(e).split())[:120] or type(e).__name__
        raise ConnectionError(f"hf-hub:{hub_id}: {file} was not downloaded ({reason}); try again") from e
    kept_as = path.resolve().name
    verify(path, kept_as if re.fullmatch("[0-9a-f]{64}", kept_as) else "")
    return path


def no_weights_message(entry: Entry) -> str:
    """What a user can do where no weights are published."""
    command = f"scalenet convert FILE.pth --model {entry.name} -o OUT.safetensors"
    drive = "from the Google Drive folder that their README links"
    convert = f"convert the authors' {entry.authors_file}.pth, {drive} ({command})"
    ways = ([convert] if entry.authors_file else []) + [TRAIN, OWN_WEIGHTS]
    return f"no weights are published for {entry.name}.{entry.tag}; {'; or '.join(ways)}"


def verify(path: str | Path, sha256: str) -> None:
    """Check a file against a declared SHA-256 (empty: nothing is declared).

    Raises:
        WeightsError: if it differs.
    """
    if not sha256:
        return
    found = digest_of(path)
    if found != sha256:
        raise WeightsError(f"{path} has SHA-256 {found[:16]}…, {sha256[:16]}… was published: damaged or replaced")


def refuse_pickled(path: str | Path) -> None:
    """Refuse pickled checkpoints, which could hold code; the converter alone reads them.

    Raises:
        WeightsError: for a file name with a pickled checkpoint's suffix.
    """
    if Path(path).suffix in PICKLED:
        raise WeightsError(f"{path}: {ONLY_CONVERT}")


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def plain_cfg(arch: Arch, task: str | None, outputs: int | None) -> dict[str, Any]:
    """timm's ``pretrained_cfg`` for an architecture without published weights."""
    task = task or arch.task
    outputs = task_spec(task).default_outputs if outputs is None else outputs
    return {"input_size": (3, *arch.input_size), "num_classes": outputs, **network_cfg(task), **INPUT}


def network_cfg(task: str) -> dict[str, Any]:
    """The ``pretrained_cfg`` fields that name layers: ``first_conv`` and ``classifier``."""
    classifier = task_spec(task).classifiers
    names = classifier[0] if len(classifier) == 1 else classifier  # timm's configs name one layer
    return {"pool_size": None, "first_conv": "conv1", "classifier": names}


def save_weights(
    path: str | Path, state: Mapping[str, torch.Tensor], metadata: Mapping[str, str], half: bool = False
) -> Path:
    """Write tensors and text metadata.

    Args:
        half: store matrices and kernels as fp16; vectors (biases, BatchNorm) stay as they are.

    Raises:
        DiskFullError: if there is no room; what the file was before it still is.
    """
    tensors = {
        k: (v.half() if half and v.is_floating_point() and v.ndim > 1 else v).detach().cpu().contiguous()
        for k, v in state.items()
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, size=sum(v.nbytes for v in tensors.values())) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # what a new file may be; safetensors makes it private
        save_file(tensors, temporary, metadata={k: str(v) for k, v in metadata.items()})
        temporary.chmod(mode)
    return Path(path)


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """A safetensors file, its errors in one form."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no weights file {path}")
    try:
        with safe_open(path, framework="pt") as f:
            yield f
    except (SafetensorError, OSError, ValueError) as e:
        raise WeightsError(f"{path} is damaged or no safetensors file ({str(e)[:80]})") from None


def read_weights(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        FileNotFoundError: if there is no such file.
        WeightsError: if it is damaged or no safetensors file.
    """
    with _opened(path) as f:
        names = f.keys()  # safe_open is no mapping
        return {k: f.get_tensor(k) for k in names}, dict(f.metadata() or {})


def read_metadata(path: str | Path) -> CheckpointMetadata:
    """What is known of a weights file: its own metadata, and for a published one the table's. No tensor is read.

    Raises:
        FileNotFoundError, WeightsError: if it is missing, damaged, or a pickled file, or says what cannot be.
    """
    refuse_pickled(path)
    with _opened(path) as f:
        header = dict(f.metadata() or {})
    try:
        said = CheckpointMetadata.from_dict(header)
    except ValueError as e:
        raise WeightsError(f"{path}: {e}") from None
    entry = published(path)
    return entry.metadata(said) if entry else said


def holds_front(path: str | Path) -> bool:
    """Whether a safetensors file is a front (:mod:`scalenet.engines.front`); errors are :func:`read_weights`'s."""
    with _opened(path) as f:
        return "front" in (f.metadata() or {})


def published(path: str | Path) -> Entry | None:
    """The table's entry whose shipped weights this file holds, or None."""
    size = Path(path).stat().st_size
    same = [e for e in TABLE if e.sha256 and e.is_file and e.path.stat().st_size == size]
    return next((e for e in same if digest_of(path) == e.sha256), None)


def adopt(model: ScaleNet, metadata: CheckpointMetadata) -> None:
    """Attach the metadata of the file that a network's weights were loaded from.

    If only a part of the file was loaded, such as a sub-network of a supernet, only its data sets and terms carry over.
    """
    same = metadata.arch is not None and metadata.arch.digest == model.arch.digest
    if same and metadata.task in ("", model.task):
        mark(model, metadata)
    else:
        mark(model, metadata.inherited(), known="")


def check_entries(
    state: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    what: str = "the file",
    known: Container[str] | None = None,
) -> None:
    """Check that a state dict fits a network; every strict load goes through here.

    Args:
        wanted: the network's state dict, of which shape and dtype kind are compared.
        what: where ``state`` is from, for the message.
        known: further names that are allowed; None: any, as when a sub-network is selected from a supernet.

    Raises:
        WeightsError: with the count and the first of the missing, unexpected and mismatched entries, and a hint.
    """
    missing = [k for k in wanted if k not in state]
    unexpected = sorted(k for k in state if known is not None and k not in wanted and k not in known)
    shared = [k for k in wanted if k in state]
    reshaped = [k for k in shared if state[k].shape != wanted[k].shape]
    whole = [k for k in shared if wanted[k].is_floating_point() and not state[k].is_floating_point()]
    faults = []
    if missing:
        faults.append(f"{len(missing)} of {len(wanted)} entries are missing, the first is {missing[0]}")
    if unexpected:
        faults.append(f"{len(unexpected)} are unexpected, the first is {unexpected[0]}")
    if reshaped:
        shapes = [tuple(entries[reshaped[0]].shape) for entries in (state, wanted)]
        faults.append(f"{len(reshaped)} of another shape: {reshaped[0]} has shape {shapes[0]}, not {shapes[1]}")
    if whole:
        faults.append(f"{len(whole)} of another kind: {whole[0]} holds {state[whole[0]].dtype}, not floating point")
    if faults:
        raise WeightsError(f"{what}: damaged or another network's weights: {'; '.join(faults)}; {MEND}")


def select(
    state: Mapping[str, torch.Tensor], model: nn.Module, what: str = "the file", known: Container[str] | None = None
) -> dict[str, torch.Tensor]:
    """The entries of ``state`` that ``model`` has, all of them; arguments and errors are :func:`check_entries`'s."""
    wanted = model.state_dict()
    check_entries(state, wanted, what, known)
    return {k: state[k] for k in wanted}


def read_network(path: str | Path) -> ScaleNet:
    """The network of a weights file of this project, built from the file's own metadata, strictly loaded, as float32.

    Raises:
        FileNotFoundError, WeightsError: if it is missing, damaged, or says nothing of its architecture.
    """
    state, metadata = read_weights(path)[0], read_metadata(path)
    if metadata.arch is None:
        raise WeightsError(f"{path} holds tensors but no architecture: it was not written by scalenet")
    try:
        model = described_model(state, metadata.arch, metadata)
    except (ValueError, TypeError, RecursionError) as e:
        raise WeightsError(f"{path}: {e}") from None
    selected = select(state, model, str(path), known=())
    own = {k: v.to(torch.float32 if v.is_floating_point() else v.dtype, copy=True) for k, v in selected.items()}
    model.load_state_dict(own, assign=True)  # copies: what was read is still mapped from the file
    mark(model.requires_grad_(), metadata)
    return model.eval()


def described_model(state: Mapping[str, torch.Tensor], arch: Arch, metadata: CheckpointMetadata) -> ScaleNet:
    """The network that metadata describes, on the meta device: nothing is allocated before all shapes are known."""
    labels, task = metadata.labels, metadata.task or arch.task
    outputs = len(labels.names) if labels else count_outputs(state, task)
    stem = state.get("conv1.weight")
    in_chans = stem.shape[1] if stem is not None and stem.ndim == 4 else 3
    with torch.device("meta"):
        model = ScaleNet(arch, task, outputs, in_chans, labels)
    size = (in_chans, *arch.input_size)
    model.pretrained_cfg = plain_cfg(arch, task, outputs) | dict(metadata.preprocessing) | {"input_size": size}
    return model
