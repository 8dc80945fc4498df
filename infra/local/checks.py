"""Checks and their results."""

from dataclasses import dataclass

from terminal import paint, say


@dataclass
class Checks:
    """Counts checks and goes on after a failure, so that one run shows everything that is wrong."""

    passed: int = 0
    failed: int = 0

    def that(self, claim: str, holds: bool, otherwise: object = "") -> None:
        """Counts a claim; `otherwise` is shown if it does not hold."""
        if holds:
            self.passed += 1
            say(f"  {paint('✓', 'green')} {claim}")
        else:
            self.failed += 1
            say(f"  {paint('✗', 'red')} {claim}: {otherwise}")
