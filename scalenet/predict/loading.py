"""A network from whatever names it."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub.constants import HF_HUB_OFFLINE, SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import LocalEntryNotFoundError

from .. import weights
from ..models import NO_ENCODING, PREFIX, create_model
from ..network import ScaleNet, unwrap


def load_model(name_or_model: str | Path | ScaleNet, checkpoint: str | Path | None = None) -> ScaleNet:
    """A network with weights, in evaluation mode.

    Args:
        name_or_model: a registered name, "hf-hub:user/repo", "local-dir:folder", a ``.safetensors`` file of this
            project, or a network, which is taken as it is, also out of ``torch.compile`` or
            ``DataParallel``.
        checkpoint: a ``.safetensors`` file whose weights are read instead of the published ones.

    Raises:
        LookupError: for an unknown name, or one without published weights.
        FileNotFoundError, WeightsError: for a file that is missing, damaged or another network's.
    """
    if not isinstance(name_or_model, (str, Path)):
        model = unwrap(name_or_model)
        if not isinstance(model, ScaleNet):
            raise TypeError(f"a network or the name of one is needed, got {type(model).__name__}")
        return model.eval()
    name = str(name_or_model)
    if name == PREFIX:
        raise LookupError(NO_ENCODING)
    if Path(name).name == SAFETENSORS_SINGLE_FILE and Path(name).with_name("config.json").is_file():
        model = _from_hub(f"local-dir:{Path(name).parent}", checkpoint is None)
    elif name.endswith(".safetensors"):
        model = weights.load_model(name)
    elif ":" in name:
        model = _from_hub(name, checkpoint is None)
    else:
        model = create_model(name, pretrained=checkpoint is None)
    if checkpoint is not None:
        load_checkpoint(model, checkpoint)
    return model.eval()


def _from_hub(name: str, pretrained: bool) -> ScaleNet:
    """A network of a hub repository or folder; what goes wrong there is said with the name."""
    try:
        model = create_model(name, pretrained=pretrained)
    except OSError as e:
        offline = " (HF_HUB_OFFLINE is set)" if HF_HUB_OFFLINE else ""
        if not offline and isinstance(e, (LocalEntryNotFoundError, ConnectionError)):
            offline = " (HF_HUB_OFFLINE=1 asks the cache alone)"
        raise FileNotFoundError(f"{name} cannot be read{offline}: {e}") from e
    except (TypeError, AttributeError) as e:
        raise weights.WeightsError(f"{name}: its config.json does not describe a network ({str(e)[:120]})") from e
    if not isinstance(model, ScaleNet):
        raise LookupError(f"{name} holds a {type(model).__name__}, which is no network of this project")
    return model


def name_of(name_or_model: str | Path | ScaleNet) -> str:
    """What to call a network in a report: the name it was asked for by, else its encoding's."""
    return str(name_or_model) if isinstance(name_or_model, (str, Path)) else name_or_model.arch.name


def load_checkpoint(model: ScaleNet, path: str | Path) -> None:
    """Read all of a network's weights from a ``.safetensors`` file (more may be in it: a supernet's, for example), and
    what its outputs are, if the file says it.

    Raises:
        FileNotFoundError, WeightsError: if it is missing, damaged, or lacks an entry.
    """
    metadata = weights.read_metadata(path)
    model.load_state_dict(weights.select(weights.read_weights(path)[0], model, str(path)))
    if metadata.labels is not None:
        model.name_outputs(metadata.labels)
    weights.adopt(model, metadata)
