"""What a retraining can know of a champion that was made elsewhere."""

import pytest

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.flows.runs import champion
from mlops_bikeshare.registry.versions import ModelVersion


def test_a_champion_that_does_not_say_what_it_learned_from_is_refused_in_words() -> None:
    foreign = ModelVersion(name="m", version="4", run_id="", digest="", aliases=(), tags={})
    with pytest.raises(InputError, match="champion 4 does not say what it learned from"):
        champion.learned_until(foreign)
