import json

import numpy as np
import pytest

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.evaluation.psi import PsiReference
from mlops_bikeshare.training.reference import reference

NAMES = ["bikes", "temperature_c", "snow_mm"]
FEATURES = np.column_stack(
    [np.arange(1000) % 20, np.linspace(-5, 30, 1000), np.full(1000, np.nan)]
).astype(np.float32)


def test_station_features_have_bins_and_city_scalars_a_range() -> None:
    made = reference(FEATURES, FEATURES, NAMES, by_range=["temperature_c", "snow_mm"])
    assert PsiReference.from_json(made["psi"]["bikes"]).psi(FEATURES[:, 0]) == 0
    assert made["psi"].keys() == {"bikes"}
    assert made["range"] == {"temperature_c": [-5, 30], "snow_mm": None}


def test_the_reference_is_plain_json() -> None:
    made = reference(FEATURES, FEATURES, NAMES, by_range=["snow_mm"])
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_a_name_that_is_no_feature_is_refused() -> None:
    with pytest.raises(InputError, match=r"\['wind'\] are not among"):
        reference(FEATURES, FEATURES, NAMES, by_range=["wind"])
