"""How far a race is, as plans, results and reports tell it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from orchestrator.wording import percent_text, probability_text
from workers.contract import JSONValue


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How often the podium would be another if one mean were known: of a loss in one block."""

    axis: str
    block: str
    loss: str
    share: float


@dataclass(frozen=True, kw_only=True)
class RaceStanding:
    """How far a race is.

    Attributes:
        state: `running`, `certain`, `spent` (the budget) or `complete`.
        round: The round whose trials are missing, or the last one, from 1.
        level: Certainty at which it stops.
        certainty: After the last complete round: that the full grid has this podium.
        podium: Losses on it, the best first; empty during the first round.
        num_trials: Trials of the full grid.
        num_asked: Trials asked for in all rounds so far.
        num_held_back: Trials without a result that are not asked for.
        reaches: What the current round is about, the most important first.
    """

    state: Literal["running", "certain", "spent", "complete"]
    round: int
    level: float
    certainty: float | None
    podium: tuple[str, ...]
    num_trials: int
    num_asked: int
    num_held_back: int
    reaches: tuple[Reach, ...] = ()

    @property
    def over(self) -> bool:
        """True once no further trial will be asked for."""
        return self.state != "running"

    def sentence(self) -> str:
        """Says how far the race is, in one sentence."""
        known = f"the full grid of {self.num_trials:,} trials would have the podium"
        podium = f"{known} {', '.join(self.podium)}"
        sure = (
            ""
            if self.certainty is None
            else f" with {probability_text(self.certainty, 1)} certainty"
        )
        if self.state == "complete":
            return f"Raced to the end: all {self.num_trials:,} trials were needed."
        if self.state == "running":
            now = f"Race, round {self.round}: {self.num_asked:,} of {self.num_trials:,} trials"
            if not self.podium:
                return f"{now} are asked for before anything is decided."
            return f"{now} are asked for; so far {podium}{sure or ', how surely is unknown'}."
        why = "" if self.state == "certain" else f", below the {percent_text(self.level)} asked for"
        why = f"{why}, when the budget was spent" if why else why
        return (
            f"Raced: {self.num_held_back:,} of {self.num_trials:,} trials were spared; "
            f"{podium}{sure}{why}."
        )

    def to_json(self) -> dict[str, JSONValue]:
        """Returns everything as plain JSON values."""
        return {
            "state": self.state,
            "round": self.round,
            "level": self.level,
            "certainty": self.certainty,
            "podium": list(self.podium),
            "num_trials": self.num_trials,
            "num_asked": self.num_asked,
            "num_held_back": self.num_held_back,
            "reaches": [asdict(one) for one in self.reaches],
            "sentence": self.sentence(),
        }
