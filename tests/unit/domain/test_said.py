import pytest

from mlops_bikeshare.domain.wording import figure, masked


@pytest.mark.parametrize(
    "secret", ["me:secret", "me:p@ss", "me:p/ss", "me:p@s/s@", "token", "me:p:a%40b"]
)
@pytest.mark.parametrize("rest", ["host", "host:5432/db", "127.0.0.1/a/b?c=d"])
def test_whatever_a_password_holds_nothing_of_it_is_shown(secret: str, rest: str) -> None:
    said = masked(f"no answer from postgresql+psycopg://{secret}@{rest} within 3 s")

    assert said == f"no answer from postgresql+psycopg://***@{rest} within 3 s"


def test_a_password_that_is_named_is_not_said() -> None:
    assert masked("host/db?Password=s3cret&x=1") == "host/db?Password=***&x=1"


def test_an_address_without_a_password_is_shown_as_it_is() -> None:
    assert masked("http://host/x and me@here") == "http://host/x and me@here"


def test_an_unknown_figure_is_a_word() -> None:
    assert [figure(None), figure(0.0), figure(0.12345, digits=4)] == ["unknown", "0.000", "0.1235"]
