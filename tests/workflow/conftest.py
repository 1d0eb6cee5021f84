import pytest

from checkout import Checkout, copy_checkout
from made_once import made_once

#: In the environment of all runs, under names that are kept secret; none may be written anywhere.
SECRET = "correct-horse-battery-staple"
SECRETS = dict.fromkeys(("RUCIO_PASSWORD", "MY_TOKEN", "AWS_SECRET_ACCESS_KEY"), SECRET)


@pytest.fixture(scope="session")
def new_checkout(tmp_path_factory):
    """Make an empty copy of the checkout."""

    def make():
        folder = tmp_path_factory.mktemp("checkout")
        copy_checkout(folder)
        return Checkout(folder, **SECRETS)

    return make


def _produced(tmp_path_factory):
    """A copy of a checkout in which the small IRF request has been produced."""

    def make(folder):
        copy_checkout(folder)
        done = Checkout(folder, **SECRETS).snakemake("irf")
        (folder / "first.txt").write_text(done.stdout)

    checkout = Checkout(made_once(tmp_path_factory, "production", make), **SECRETS)
    checkout.first = (checkout.folder / "first.txt").read_text()
    return checkout


@pytest.fixture(scope="session")
def production(tmp_path_factory):
    """A checkout with the small IRF; ``first`` is what its production printed."""
    return _produced(tmp_path_factory)


@pytest.fixture(scope="module")
def own_production(tmp_path_factory):
    """The same, for tests of one file whose lake nobody else may fill."""
    return _produced(tmp_path_factory)
