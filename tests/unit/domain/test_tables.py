import pandas as pd
import pytest

from mlops_bikeshare.domain.errors import TableError
from mlops_bikeshare.domain.tables import (
    INFERENCE,
    STATION_INFORMATION_RAW,
    arrow_schema,
    check_columns,
    features_table,
    pandera_schema,
)


def test_one_contract_yields_both_schemas_with_the_same_columns() -> None:
    assert arrow_schema(INFERENCE).names == list(pandera_schema(INFERENCE).columns)


def test_a_features_table_holds_every_feature_as_float32() -> None:
    schema = arrow_schema(features_table("features_offline", ["bikes_now"]))

    assert schema.names == ["station_id", "dt", "bikes_now"]
    assert str(schema.field("bikes_now").type) == "float"


def test_missing_and_unexpected_columns_are_named() -> None:
    frame = pd.DataFrame({"station_id": ["1"], "colour": ["red"]})

    with pytest.raises(TableError, match=r"missing columns \['name'.*unexpected \['colour'\]"):
        check_columns(STATION_INFORMATION_RAW, frame)
