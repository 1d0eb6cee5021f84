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


@pytest.fixture(scope="session")
def production(tmp_path_factory):
    """A checkout in which the small IRF request has been produced; ``first`` is what was printed."""

    def make(folder):
        copy_checkout(folder)
        done = Checkout(folder, **SECRETS).snakemake("irf")
        (folder / "first.txt").write_text(done.stdout)

    checkout = Checkout(made_once(tmp_path_factory, "production", make), **SECRETS)
    checkout.first = (checkout.folder / "first.txt").read_text()
    return checkout
