"""What can go wrong between page and server, in words for the owner."""

from __future__ import annotations

from typing import Any


class Failure(Exception):
    """A call that has no answer.

    Attributes:
        code: for the page; those of the server's errors, and unreachable, wrong_key, version_mismatch, not_set_up,
            no_answer, busy, stash_unreachable, bad_call.
        retry_after_s: when trying again is worth it.
    """

    def __init__(
        self, code: str, message: str, hint: str = "", status: int = 0, retry_after_s: float | None = None
    ) -> None:
        super().__init__(code, message, hint, status, retry_after_s)
        self.code, self.message, self.hint = code, message, hint
        self.status, self.retry_after_s = status, retry_after_s

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "status": self.status,
            "retry_after_s": self.retry_after_s,
        }
