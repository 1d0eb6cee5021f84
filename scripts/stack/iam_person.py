#!/usr/bin/env python3
"""A person at the identity provider of the stack: follows its pages and fills in its forms.

    iam_person.py ADDRESS --user pi           approve a device code, or log in a browser
    iam_person.py ADDRESS --user pi --deny    refuse

ADDRESS is what `cta-batch login` prints. Only the standard library.
"""

import argparse
import sys
import urllib.error
import urllib.request
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from urllib.parse import urlencode, urljoin

#: Most pages until the end of a login.
PAGES = 12


class _Forms(HTMLParser):
    """Collects the forms of a page: address and fields."""

    def __init__(self):
        super().__init__()
        self.forms, self.text, self._hidden = [], [], False

    def handle_starttag(self, tag, attrs):
        """Note a form, and the fields that it comes with."""
        values = dict(attrs)
        self._hidden = tag in ("style", "script", "title")
        if tag == "form":
            self.forms.append({"action": values.get("action", ""), "fields": {}})
        elif tag == "input" and self.forms and values.get("name"):
            self.forms[-1]["fields"][values["name"]] = values.get("value") or ""

    def handle_endtag(self, tag):
        """Text counts again after what a browser does not show."""
        self._hidden = False

    def handle_data(self, data):
        """Note what the page says."""
        if data.strip() and not self._hidden:
            self.text.append(data.strip())


def visit(address: str, user: str, deny: bool = False) -> str:
    """Go through all pages from an address to the end.

    Parameters
    ----------
    address : str
        Where the client sends the person.
    user : str
        Whom to log in as.
    deny : bool
        Refuse at the first question.

    Returns
    -------
    str
        What the last page says.
    """
    browser = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
    )
    data = None
    for _ in range(PAGES):
        try:
            with browser.open(address, data, timeout=60) as answer:
                page, address = answer.read().decode(), answer.geturl()
        except urllib.error.HTTPError as error:
            page, address = error.read().decode(), error.geturl()
        parser = _Forms()
        parser.feed(page)
        if not parser.forms or "user_code" in _visible(parser.forms[0]):
            return " ".join(parser.text)
        form = parser.forms[0]
        fields = form["fields"]
        if "login" in fields:
            fields |= {"login": user, "password": "any"}
        if deny and form["action"].endswith("/device") and "confirm" in fields:
            del fields["confirm"]
            fields["abort"] = "yes"
        address, data = urljoin(address, form["action"]), urlencode(fields).encode()
    raise RuntimeError(f"no end after {PAGES} pages, the last is {address}")


def _visible(form) -> list[str]:
    """Fields that wait for a person's input: a device code that is not known (any more)."""
    return [name for name, value in form["fields"].items() if not value and name == "user_code"]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("address")
    parser.add_argument("--user", default="pi")
    parser.add_argument("--deny", action="store_true")
    options = parser.parse_args()
    print(visit(options.address, options.user, options.deny))
    return 0


if __name__ == "__main__":
    sys.exit(main())
