"""What the exchange says no with: the broker's error types, HTTP statuses and words."""

from __future__ import annotations

from agent.errors import Refused


class RequestRefused(Refused):
    """A request that is answered with an error; nothing was changed.

    Parameters
    ----------
    message : str
        In the broker's words where they are known.
    error_type : str
        `InputException` and its kin; the client raises the class of this name.
    status : int
        HTTP status.
    """

    def __init__(self, message: str, error_type: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.error_type = error_type
        self.status = status


def bad_input(message: str) -> RequestRefused:
    """Return the answer to missing or wrong parameters."""
    return RequestRefused(message, "InputException", 400)


def bad_order(message: str) -> RequestRefused:
    """Return the answer to an order that cannot be found or changed."""
    return RequestRefused(message, "OrderException", 400)


def bad_token() -> RequestRefused:
    """Return the answer to a wrong key or a dead session."""
    return RequestRefused("Incorrect `api_key` or `access_token`.", "TokenException", 403)


def no_permission(message: str) -> RequestRefused:
    """Return the answer to a call that this user may not make."""
    return RequestRefused(message, "PermissionException", 403)


def too_many_requests() -> RequestRefused:
    """Return the answer past a rate limit."""
    return RequestRefused("Too many requests", "NetworkException", 429)


def too_many_modifications() -> RequestRefused:
    """Return the answer to the modification after the last one allowed."""
    return bad_order("Maximum allowed order modifications exceeded.")


def not_found(message: str = "Route not found") -> RequestRefused:
    """Return the answer to a path that is not served."""
    return RequestRefused(message, "GeneralException", 404)
