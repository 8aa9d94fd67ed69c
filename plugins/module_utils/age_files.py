# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Encryption to age recipients, in memory: X25519 public keys encrypt, an identity file decrypts.

No error text of this module holds plaintext or a part of a secret key.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import stat
import typing as t

from .errors import RecoveryError, failed, require

try:
    import pyrage as _pyrage  # type: ignore[import-untyped]

    pyrage: t.Any = _pyrage
except ImportError:  # recipients_of() and Identities say so
    pyrage = None

_IDENTITY = "AGE-SECRET-KEY-1"
_RECIPIENT = "age1"
#: An identity file is some lines; what is larger is something else.
_LARGEST = 65536


class NotOpened(RecoveryError):
    """A file does not decrypt. `nobody` is True where its header names none of the identities."""

    def __init__(self, message: str, nobody: bool) -> None:
        super().__init__(message)
        self.nobody = nobody


class Recipients:
    """Who may read what is encrypted: one or more X25519 public keys."""

    def __init__(self, texts: t.Sequence[str]) -> None:
        """Parse `age1...` keys. Raises RecoveryError where there is none, or one is not a public key."""
        require(pyrage, "pyrage")
        remedy = "Give the public keys (age1...) that age-keygen prints."
        if not texts:
            raise RecoveryError(failed("encrypt", "the backup", "there is no recipient", remedy))
        self._keys = [_recipient(number, text.strip(), remedy) for number, text in enumerate(texts, 1)]
        self.names = sorted({text.strip() for text in texts})

    def encrypt(self, plain: bytes) -> bytes:
        """Return the age file of `plain`, which every recipient can open."""
        return pyrage.encrypt(plain, self._keys)


class Identities:
    """The secret keys of one identity file, held in memory."""

    def __init__(self, path: str) -> None:
        """Read it. Raises RecoveryError where it is missing, open to others, or holds no usable key."""
        require(pyrage, "pyrage")
        self.path = path
        lines = [line.strip() for line in _read_private(path).splitlines()]
        self._keys = [_identity(path, line) for line in lines if line and not line.startswith("#")]
        if not self._keys:
            remedy = "Name the file that age-keygen wrote. Passphrase-protected identity files are not supported."
            raise RecoveryError(failed("read", f"identity file {path}", "it holds no secret key", remedy))
        #: the public keys that belong to it
        self.recipients = sorted(str(key.to_public()) for key in self._keys)

    def decrypt(self, data: bytes, what: str) -> bytes:
        """Return the plaintext of the age file `what`. Raises NotOpened."""
        try:
            return pyrage.decrypt(data, self._keys)
        except pyrage.DecryptError as error:
            cause, nobody = str(error), "No matching keys" in str(error)
        if nobody:
            cause = f"it is encrypted to none of the keys in {self.path}"
        raise NotOpened(failed("decrypt", what, cause), nobody)


def _recipient(number: int, text: str, remedy: str) -> t.Any:
    # What does not begin as a public key is not repeated: it may be the secret one, pasted into the wrong place.
    shown = text if text.startswith(_RECIPIENT) else f"number {number}"
    if text.upper().startswith(_IDENTITY):
        cause = "it is a secret key, which must never be an option"
        raise RecoveryError(
            failed("use", f"recipient {shown}", cause, "Replace that key everywhere: it is known now. " + remedy)
        )
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        cause = str(error) if text.startswith(_RECIPIENT) else "it is no X25519 public key"
    raise RecoveryError(failed("use", f"recipient {shown}", cause, remedy))


def _identity(path: str, line: str) -> t.Any:
    try:
        return pyrage.x25519.Identity.from_str(line)
    except pyrage.IdentityError:
        cause = "a line of it is no X25519 secret key"
    remedy = "Name the file that age-keygen wrote. Passphrases, SSH keys and plugins are not supported."
    raise RecoveryError(failed("read", f"identity file {path}", cause, remedy))


def _read_private(path: str) -> str:
    """Return the text of a file that is closed to everybody but its owner."""
    what = f"identity file {path}"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        remedy = "Without it nothing can be decrypted: bring the key from where it is kept."
        raise RecoveryError(failed("read", what, error.strerror or error, remedy)) from None
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(file.fileno())
        if stat.S_ISDIR(facts.st_mode):
            raise RecoveryError(failed("read", what, "it is a directory", "Name the file that age-keygen wrote."))
        if facts.st_mode & 0o077:
            cause = f"its mode is {stat.S_IMODE(facts.st_mode):04o}, so that others can read it"
            raise RecoveryError(failed("read", what, cause, f"Run: chmod 600 {path}"))
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST or not data.isascii():
        raise RecoveryError(failed("read", what, "it is no age identity file", "Name the one that age-keygen wrote."))
    return data.decode("ascii")
