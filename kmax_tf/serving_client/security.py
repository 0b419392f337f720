"""What a connection is encrypted and allowed with: certificates and headers."""

from __future__ import annotations

import re
import ssl
from typing import NamedTuple, Optional, Sequence, Tuple

Headers = Sequence[Tuple[str, str]]
"""Name and value of what is sent along with every request, such as a token."""


class Tls(NamedTuple):
    """Files (PEM) of an encrypted connection.

    Attributes:
      authority: certificates that may have signed the server's; None = the usual ones.
      certificate: of the client, where the server asks for one; with its chain.
      key: of that certificate, without password.
    """

    authority: Optional[str] = None
    certificate: Optional[str] = None
    key: Optional[str] = None

    def context(self) -> ssl.SSLContext:
        """The files as Python's `ssl` takes them; the server has to prove who it is.

        Raises:
          ValueError: a file is missing or not what it should be, or one of certificate and key.
        """
        if (self.certificate is None) != (self.key is None):
            raise ValueError(
                "`--tls_certificate` and `--tls_key` belong together; received "
                f"{self.certificate or 'none'} and {self.key or 'none'}."
            )
        try:
            context = ssl.create_default_context(cafile=self.authority)
        except OSError as error:  # An SSLError, too.
            raise ValueError(
                "`--tls_authority` must be a PEM file of certificates; received "
                f"{self.authority} ({error.strerror or error})."
            ) from None
        if self.certificate is not None:
            try:
                # Without password it would be asked for on the terminal.
                context.load_cert_chain(self.certificate, self.key, password="")
            except OSError as error:
                raise ValueError(
                    "`--tls_certificate` and `--tls_key` must be PEM files that belong together, "
                    f"without password; received {self.certificate} and {self.key} "
                    f"({error.strerror or error})."
                ) from None
        return context


def parse_header(text: str) -> Tuple[str, str]:
    """Name and value of `NAME:VALUE`.

    Raises:
      ValueError: no such pair, or a name or value that HTTP or gRPC does not take.
    """
    name, colon, value = text.partition(":")
    value = value.strip()
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or name.lower().endswith("-bin") or not colon:
        # The value may be secret.
        raise ValueError(
            "`--header` must be NAME:VALUE, a NAME of letters, digits and _.- that does not end in "
            f"-bin; received the name {name!r}."
        )
    if not re.fullmatch(r"[ -~]+", value):
        raise ValueError(
            f"`--header` needs a value of printable ASCII characters; that of {name} is empty or "
            "has others."
        )
    return name, value
