"""Commands of logins: login, logout, whoami."""

import click

from ctabatch.cli.options import DEFAULT_CONFIG, json_option, read_config
from ctabatch.cli.output import print_json

DIRAC = "dirac"

_CONFIG = click.option(
    "--config",
    "config_path",
    help="Configuration whose section 'iam' is used, '-' for standard input; by default "
    f"{DEFAULT_CONFIG} if it exists.",
)
_PROVIDER = click.argument("provider", required=False)


def _configuration(config_path):
    from ctabatch.config.model import Configuration

    if config_path is None and not DEFAULT_CONFIG.exists():
        return Configuration()
    return read_config(config_path or str(DEFAULT_CONFIG))[0]


def _invite(invitation):
    if isinstance(invitation, str):
        click.echo(f"If no browser opens, open this address on this machine:\n  {invitation}")
        return
    click.echo(
        f"Open this address in a browser, on any device:\n  {invitation.address}\n"
        f"and check that it shows the code {invitation.code}. "
        f"It ends in {invitation.expires_in / 60:.0f} min."
    )


@click.command()
@_PROVIDER
@click.option("--browser", is_flag=True, help="Use a browser on this machine.")
@click.option(
    "--service",
    "services",
    multiple=True,
    help="Get the token of this service at once; 'dirac' logs in to DIRAC instead. Repeatable.",
)
@click.option("--vo", help="Virtual organisation of DIRAC.")
@click.option("--group", help="DIRAC group.")
@_CONFIG
def login(provider, browser, services, vo, group, config_path):
    """Log in to an identity provider, by a code to be approved in a browser.

    PROVIDER is a name below iam.providers of the configuration. The login is kept in a file that only
    you may read, and renewed by itself.

    \b
    Examples:
      cta-batch login
      cta-batch login escape --service lake
      cta-batch login --service dirac --vo ctao
    """
    from ctabatch.errors import InputError
    from ctabatch.iam import session
    from ctabatch.iam.tokens import choose_provider

    config = _configuration(config_path)
    others = [service for service in services if service != DIRAC]
    if (vo or group) and DIRAC not in services:
        raise InputError("--vo and --group are of DIRAC", allowed="together with --service dirac")
    if others or DIRAC not in services:
        name, settings = choose_provider(config.iam, provider)
        person = session.login(
            name, settings, invite=_invite, browser=browser, services=tuple(others)
        )
        click.echo(f"logged in to {name} as {person}")
        click.echo(f"projects: {' '.join(person.projects) or 'none'}")
    if DIRAC in services:
        from ctabatch.iam.dirac import dirac_login

        dirac_login(config.iam.dirac, vo, group)


@click.command()
@_PROVIDER
@click.option("--service", type=click.Choice([DIRAC]), help="Log out of DIRAC instead.")
@_CONFIG
def logout(provider, service, config_path):
    """Revoke the tokens of a login and forget it.

    \b
    Examples:
      cta-batch logout
      cta-batch logout --service dirac
    """
    from ctabatch.iam import session
    from ctabatch.iam.errors import IamError
    from ctabatch.iam.tokens import choose_provider

    config = _configuration(config_path)
    if service == DIRAC:
        from ctabatch.iam.dirac import dirac_logout

        dirac_logout(config.iam.dirac)
        return
    name, settings = choose_provider(config.iam, provider)
    if problem := session.logout(name, settings):
        raise IamError(f"logged out of {name}, but: {problem}")
    click.echo(f"logged out of {name}, tokens revoked")


@click.command()
@_PROVIDER
@click.option("--all", "everyone", is_flag=True, help="All providers of the configuration.")
@click.option("--service", type=click.Choice([DIRAC]), help="Ask DIRAC instead.")
@json_option
@_CONFIG
def whoami(provider, everyone, service, as_json, config_path):
    """Show name, groups, roles and projects of a login, and when it ends.

    Without a provider in the configuration you are a local identity, which nobody vouches for.

    \b
    Examples:
      cta-batch whoami
      cta-batch whoami escape --json
      cta-batch whoami --service dirac
    """
    from ctabatch.iam import session
    from ctabatch.iam.errors import IamError

    config = _configuration(config_path)
    if service == DIRAC:
        from ctabatch.iam.dirac import dirac_whoami

        found = dirac_whoami(config.iam.dirac)
        if as_json:
            print_json(found)
            return
        for key in ("preferred_username", "sub", "vo", "dirac_group", "properties"):
            value = found.get(key)
            _line(key, " ".join(value) if isinstance(value, list) else value)
        return
    if not everyone:
        found = session.whoami(config, provider)
        print_json(found) if as_json else _show(found)
        return
    result = {}
    for name in config.iam.providers:
        try:
            result[name] = session.whoami(config, name)
        except IamError as error:
            result[name] = {"error": str(error)}
    if as_json:
        print_json(result)
        return
    for name, found in result.items():
        click.echo(f"{name}:")
        _line("login", found["error"]) if "error" in found else _show(found)


def _line(key, value):
    click.echo(f"  {key:<20}{'-' if value in (None, '') else value}")


def _show(found):
    from ctabatch.iam.identity import ALL

    if found["local"]:
        click.echo("local identity: no login, nobody vouches for it")
    _line("name", found["name"])
    _line("subject", found["subject"])
    _line("issuer", found["issuer"])
    _line("groups", " ".join(found["groups"]))
    _line("roles", " ".join(found["roles"]))
    _line("projects", "all" if ALL in found["projects"] else " ".join(found["projects"]))
    end = found["expires"]
    _line("expires", f"{end}{', renewed by itself' if found['renewable'] else ''}" if end else None)
    for name, moment in found["services"].items():
        _line(f"token of {name}", moment)
    for note in found["notes"]:
        click.echo(f"note: {note}", err=True)
