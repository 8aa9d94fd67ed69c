"""Errors as the AWS APIs answer them."""

from __future__ import annotations


class ApiError(Exception):
    """An error answer: AWS error code, message and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def invalid_input(message: str) -> ApiError:
    """A request that can never be right."""
    return ApiError("InvalidInput", message)


def not_found(kind: str, message: str) -> ApiError:
    """``NoSuch...`` for an object that does not exist."""
    return ApiError(f"NoSuch{kind}", message, 404)
