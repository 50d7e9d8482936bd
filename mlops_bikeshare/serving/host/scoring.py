"""A model as the worker holds it: an unpacked MLflow model whose metadata names its scorer.

Input    a folder with MLmodel (`metadata.scorer: "module:Class"`, code path, signature) and
         `artifacts/`; requests as bytes with a content type and an accept type.
Output   a Reply: HTTP status, content type, body. 4xx: the request was bad; 500: the model failed.
Raises   ModelError when the folder cannot be loaded. Asking never raises.
"""

import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.serving.host.bodies import decode, encode
from mlops_bikeshare.serving.host.scorers import Asked, of_scorer
from mlops_bikeshare.serving.host.sizes import BodyError

# LightGBM imports these when they are installed (3.5 s and 200 MB instead of 0.65 s and 60 MB);
# the scorer contract promises numpy, pandas and lightgbm only.
OPTIONAL = ("sklearn", "matplotlib", "dask", "distributed", "graphviz")


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back to the front."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Whatever answers tables."""

    asked: Asked

    @classmethod
    def load(cls, folder: Path) -> "LoadedModel":
        """Import the scorer named by MLmodel from the model's own code path."""
        sys.modules.update(dict.fromkeys(OPTIONAL))  # type: ignore[arg-type]
        description = _description(folder)
        name = (description.get("metadata") or {}).get("scorer")
        if not isinstance(name, str) or ":" not in name:
            raise ModelError('MLmodel has no metadata.scorer such as "scorer:Scorer"')
        module_name, _, class_name = name.partition(":")
        flavor = description.get("flavors", {}).get("python_function", {})
        sys.path.insert(0, str(folder / (flavor.get("code") or "code")))
        kind = getattr(importlib.import_module(module_name), class_name)
        return cls(of_scorer(kind, folder / "artifacts", _columns(description)))

    def answer(self, body: bytes, *, content_type: str, accept: str) -> Reply:
        """Score a request; every failure becomes a status and a message without the input."""
        try:
            return Reply(200, *encode(self.asked(decode(body, content_type)), accept))
        except BodyError as error:
            return _failure(error.status, str(error))
        except Exception as error:  # a scorer is foreign code: whatever it raises is a 500
            return _failure(500, f"the model failed: {type(error).__name__}")


def _description(folder: Path) -> dict[str, Any]:
    import yaml

    path = folder / "MLmodel"
    if not path.is_file():
        raise ModelError("the archive has no MLmodel at its root")
    description = yaml.safe_load(path.read_text())
    if not isinstance(description, dict):
        raise ModelError("MLmodel is not a mapping")
    return description


def _columns(description: dict[str, Any]) -> dict[str, bool]:
    signature = description.get("signature") or {}
    inputs = json.loads(signature.get("inputs") or "[]")
    numbers = {"float", "double", "integer", "long", "boolean"}
    return {
        column["name"]: column.get("type") in numbers
        for column in inputs
        if "name" in column and column.get("required", True)
    }


def _failure(status: int, message: str) -> Reply:
    return Reply(status, "application/json", json.dumps({"message": message}).encode())
