"""The pyfunc that MLflow stores and runs (models from code); the one module that acts at import.

Input    a DataFrame of float32 features, as the model's signature says.
Output   a DataFrame of calibrated probabilities, see the package `scorer`.

Runs where this project is not installed: it imports nothing of it, and loads the scorer that was
stored with *this* version by its path, because two versions may live in one process.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel


class StockoutModel(PythonModel):  # type: ignore[misc]  # mlflow is not typed
    """Hands rows of features to the scorer."""

    def load_context(self, context: Any) -> None:
        """Load the scorer from the version's own files."""
        artifacts = Path(context.artifacts["scorer.json"]).parent
        self._scorer = _scorer_class(artifacts.parent / "code" / "scorer").load(str(artifacts))

    def predict(
        self,
        context: Any,  # noqa: ARG002 - MLflow fixes the signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Calibrated probabilities of every target at every horizon."""
        answer: pd.DataFrame = self._scorer.predict(model_input)
        return answer


def _scorer_class(path: Path) -> Any:
    name = f"scorer_{abs(hash(path))}"
    spec: Any = importlib.util.spec_from_file_location(
        name, path / "__init__.py", submodule_search_locations=[str(path)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its own modules ask for it by name
    spec.loader.exec_module(module)
    return module.Scorer


mlflow.models.set_model(StockoutModel())
