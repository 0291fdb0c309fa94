"""The bearer token, which both protocols ask for in the same words."""

import hmac

REFUSED = "This server asks for a token: send the header 'Authorization: Bearer TOKEN'."


def lets_in(token: str | None, header: str | None) -> bool:
    """Whether a request with this `Authorization` header is let in; all are if there is no token.

    >>> lets_in("s3cret", "Bearer s3cret"), lets_in("s3cret", "Bearer other"), lets_in("s3cret", None)
    (True, False, False)
    """
    if token is None:
        return True
    scheme, _, given = (header or "").partition(" ")
    # In a time that does not tell how much of it is right.
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    return scheme.lower() == "bearer" and same
