"""Who answers for the products (section ``contact``)."""

from pydantic import EmailStr

from ctabatch.config.base import Section, Text


class Contact(Section):
    """Contact written into the metadata of every product."""

    name: Text = "CTA batch workflows"
    """Person or group."""
    organization: Text = "unknown"
    """Organisation."""
    email: EmailStr = "nobody@example.org"
    """Address for questions about the product."""
