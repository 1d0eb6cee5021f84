"""The errors that users see.

Every error is one line: what is wrong, where, and what is allowed or to be done next. The command
line turns them into exit codes (`InputError` 2, every other `BatchError` 1) without a traceback.
"""


class BatchError(Exception):
    """A failure which a person can act on.

    Parameters
    ----------
    message : str
        What went wrong, in one line.
    hint : str, optional
        What to do next.
    """

    exit_code = 1

    def __init__(self, message, hint=None):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self):
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InputError(BatchError):
    """Bad input: names the field and what is allowed.

    Parameters
    ----------
    message : str
        What is wrong with the value.
    where : str, optional
        File and key of the value, for instance ``config.yaml: irf.pointing.zenith``.
    allowed : str, optional
        What would be accepted.
    """

    exit_code = 2

    def __init__(self, message, where=None, allowed=None):
        super().__init__(message, hint=f"allowed: {allowed}" if allowed else None)
        self.where = where
        self.allowed = allowed

    def __str__(self):
        text = super().__str__()
        return f"{self.where}: {text}" if self.where else text


class LimitError(BatchError):
    """A request passes a limit of the configuration; the message gives the number that fits."""


class LakeError(BatchError):
    """The data lake refused or could not complete an operation."""


class UnknownDid(LakeError):  # noqa: N818 - names the state
    """The lake has none of these names; `dids` lists them."""

    def __init__(self, dids):
        self.dids = tuple(dids)
        more = f" and {len(self.dids) - 1} more" if len(self.dids) > 1 else ""
        super().__init__(f"the lake has no {self.dids[0]}{more}", "look with: cta-batch search")


class IntegrityError(LakeError):
    """Bytes on disk do not agree with their registered size or checksum."""


class NoRoomError(LakeError):
    """A storage element, or the account's limit on it, has no room for what is to be added."""


class ConflictError(LakeError):
    """The name exists already with other content."""


class ValidationFailed(BatchError):  # noqa: N818 - the field's own wording
    """A product did not pass its checks; nothing is ingested."""
