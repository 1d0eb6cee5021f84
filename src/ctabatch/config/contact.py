"""Who answers for the products (section ``contact``)."""

from pydantic import EmailStr

from ctabatch.config.base import Section


class Contact(Section):
    """Contact written into the metadata of every product."""

    name: str = "CTA batch workflows"
    """Person or group."""
    organization: str = "unknown"
    """Organisation."""
    email: EmailStr = "nobody@example.org"
    """Address for questions about the product."""
