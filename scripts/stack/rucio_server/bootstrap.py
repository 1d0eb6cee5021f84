"""Fill the data base of a Rucio server: schema, accounts, scopes and storage elements.

Run with the settings file of the stack; run again, it makes what is missing and no more.
"""

import json
import shutil
import sys
from itertools import permutations
from pathlib import Path

import sqlalchemy
from rucio.common.constants import DEFAULT_VO
from rucio.common.types import InternalAccount, InternalScope
from rucio.core import account, account_limit, distance, identity, rse, scope, vo
from rucio.db.sqla import util
from rucio.db.sqla.constants import AccountType, DatabaseOperationType, IdentityType, RSEType
from rucio.db.sqla.session import db_session, get_engine

DOMAINS = {
    "lan": {"read": 1, "write": 1, "delete": 1},
    "wan": {
        "read": 1,
        "write": 1,
        "delete": 1,
        "third_party_copy_read": 1,
        "third_party_copy_write": 1,
    },
}
SOURCE = {"lan": {}, "wan": {"third_party_copy_read": 2}}
ACCOUNTS = {"operator": AccountType.SERVICE, "alice": AccountType.USER}
SCOPES = {"acada": "operator", "dpps": "operator", "user.alice": "alice"}
INFINITE = -1


def main(settings):
    """Make everything that is missing."""
    # The version table comes last: without it an earlier run was stopped half way.
    if not sqlalchemy.inspect(get_engine()).has_table("alembic_version", schema="rucio"):
        util.build_database()
    with db_session(DatabaseOperationType.READ) as session:
        new = not account.account_exists(InternalAccount("root"), session=session)
        new_vo = not vo.vo_exists(DEFAULT_VO, session=session)
    if new_vo:
        util.create_base_vo()
    if new:
        util.create_root_account()
    with db_session(DatabaseOperationType.WRITE) as session:
        _accounts(settings, session)
        elements = _elements(settings, session)
        for source, target in permutations(elements.items(), 2):
            if not distance.get_distances(source[1], target[1], session=session):
                far = 2 if "TAPE" in source[0] else 1
                distance.add_distance(source[1], target[1], far, session=session)
        for name in ("root", *ACCOUNTS):
            known = account_limit.get_local_account_limit(InternalAccount(name), session=session)
            for element in set(elements.values()) - set(known):
                account_limit.set_local_account_limit(
                    InternalAccount(name), element, INFINITE, session=session
                )


def _accounts(settings, session):
    for name, kind in ACCOUNTS.items():
        internal, mail = InternalAccount(name), f"{name}@localhost"
        if not account.account_exists(internal, session=session):
            account.add_account(internal, kind, mail, session=session)
        # Rucio lets only administrators end or boost a rule: a production account is one.
        if kind is AccountType.SERVICE and not account.has_account_attribute(
            internal, "admin", session=session
        ):
            account.add_account_attribute(internal, "admin", True, session=session)
        identities = {
            IdentityType.USERPASS: (name, settings["passwords"][name]),
            IdentityType.OIDC: (f"SUB={name}, ISS={settings['issuer']}", None),
        }
        for type_, (text, password) in identities.items():
            if not identity.exist_identity_account(text, type_, internal, session=session):
                identity.add_account_identity(
                    text, type_, internal, mail, True, password, session=session
                )
    for text, name in settings.get("identities", {}).items():
        internal = InternalAccount(name)
        if not identity.exist_identity_account(text, IdentityType.OIDC, internal, session=session):
            mail = f"{name}@localhost"
            identity.add_account_identity(
                text, IdentityType.OIDC, internal, mail, False, None, session=session
            )
    for name, owner in SCOPES.items():
        if not scope.check_scope(InternalScope(name), session=session):
            scope.add_scope(InternalScope(name), InternalAccount(owner), session=session)


def _elements(settings, session):
    free = shutil.disk_usage(settings["storage"]).free
    elements = {}
    for name, kind, protocols in _wanted(settings):
        if not rse.rse_exists(name, session=session):
            made = rse.add_rse(name, rse_type=kind, session=session)
            rse.add_rse_attribute(made, "lfn2pfn_algorithm", "ctao_bdms", session=session)
            # Copies whose last rule ended are deleted at once, not when space runs short.
            rse.add_rse_attribute(made, "greedyDeletion", True, session=session)
            rse.set_rse_limits(made, "MinFreeSpace", 0, session=session)
            rse.set_rse_usage(made, "storage", used=0, free=free, session=session)
        elements[name] = rse.get_rse_id(name, session=session)
        known = rse.get_rse_protocols(elements[name], session=session)["protocols"]
        # A port may change from one start to the next.
        if _addresses(known) != _addresses(protocols):
            for scheme in {old["scheme"] for old in known}:
                rse.del_protocols(elements[name], scheme, session=session)
            for protocol in protocols:
                rse.add_protocol(elements[name], protocol, session=session)
    return elements


def _wanted(settings):
    """Name, kind and protocols of the storage elements."""

    def folder(name):
        return {
            "scheme": "file",
            "hostname": "localhost",
            "port": 0,
            "prefix": f"{settings['storage']}/{name}",
            "impl": "rucio.rse.protocols.posix.Default",
            "domains": DOMAINS,
        }

    def network(name, domains):
        return {
            "scheme": "root",
            "hostname": "127.0.0.1",
            "port": settings["xrootd_port"],
            "prefix": f"//{name}/",
            "impl": "rucio.rse.protocols.xrootd.Default",
            "domains": domains,
        }

    # Rucio transfers between equal protocols only: the folders are sources for XRootD too.
    return (
        ("CTAO-TAPE", RSEType.TAPE, [folder("tape"), network("tape", SOURCE)]),
        ("CTAO-DISK", RSEType.DISK, [folder("disk"), network("disk", SOURCE)]),
        ("CTAO-XROOTD", RSEType.DISK, [network("xrootd", DOMAINS)]),
    )


def _addresses(protocols):
    return {(item["scheme"], item["port"], item["prefix"]) for item in protocols}


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
