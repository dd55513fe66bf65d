"""Weights of torch modules as safetensors, with a ``config.json`` next to them."""

import json
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import ModelUnsupported
from easymlnb.model_store.format_base import (
    SAFETENSORS,
    LoadOptions,
    SavedModel,
    SaveOptions,
    flavor_of,
    missing,
)

WEIGHTS, CONFIG = "model.safetensors", "config.json"


class TorchFormat:
    """The format ``safetensors``: tensors only, so a module is built by the code that loads it."""

    def save(self, model: Any, folder: Path, options: SaveOptions) -> SavedModel:
        safetensors = _safetensors()
        weights, config = folder / WEIGHTS, folder / CONFIG
        try:
            text = json.dumps(options.config, indent=2, allow_nan=False)
            if isinstance(model, dict):
                tensors = {name: tensor.contiguous() for name, tensor in model.items()}
                safetensors.save_file(tensors, weights)
            else:
                # Knows weights that several layers share.
                safetensors.save_model(model, str(weights))
        except (RuntimeError, TypeError, ValueError) as error:
            raise ModelUnsupported(f"The weights or the config cannot be saved: {error}") from error
        config.write_text(text, encoding="utf-8")
        kind = "state" if isinstance(model, dict) else "module"
        flavor = flavor_of(model, WEIGHTS, "torch", "safetensors", kind=kind, config=CONFIG)
        return SavedModel(SAFETENSORS, flavor, {WEIGHTS: weights, CONFIG: config})

    def load(self, folder: Path, flavor: dict[str, Any], options: LoadOptions) -> Any:
        safetensors = _safetensors()
        weights = folder / str(flavor.get("main", WEIGHTS))
        if flavor.get("kind") == "state" and options.build is None:
            return safetensors.load_file(weights, device=options.device)
        if options.build is None:
            raise ModelUnsupported(
                "The version has the weights of a torch module, not its code. Pass a function that "
                f"makes the module: ml.model(..., build={flavor.get('class', 'Net')!s})"
            )
        config = json.loads((folder / str(flavor.get("config", CONFIG))).read_bytes())
        module = options.build(**config)
        module.to(options.device)
        try:
            safetensors.load_model(module, str(weights), device=options.device)
        except RuntimeError as error:
            raise ModelUnsupported(
                f"The weights do not fit the module that build() made: {error}"
            ) from error
        return module.eval()


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise missing("torch" if "torch" in str(error) else "safetensors", SAFETENSORS) from error
    return safetensors.torch
