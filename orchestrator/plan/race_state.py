"""State of a race, for plans, results and reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from orchestrator.wording import list_text, percent_text, probability_text
from workers.contract import JSONValue


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How often the podium changes when one mean of a loss in one block is fixed."""

    axis: str
    block: str
    loss: str
    share: float


@dataclass(frozen=True, kw_only=True)
class RaceState:
    """State of a race.

    Attributes:
        state: `running`, `certain`, `spent` (the budget) or `complete`.
        round: The current round, or the last one, from 1.
        level: Certainty at which the race ends.
        certainty: Probability that the full grid has this podium, after the last complete round.
        podium: Losses on the podium, the best first; empty during the first round.
        num_trials: Trials of the full grid.
        num_asked: Trials of all rounds so far.
        num_held_back: Trials without a result outside these rounds.
        reaches: Reasons for the current round, the most important first.
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
        """Whether the race has ended."""
        return self.state != "running"

    def sentence(self) -> str:
        """Returns the state in one sentence."""
        sure = (
            ""
            if self.certainty is None
            else f"with {probability_text(self.certainty, 1)} probability "
        )
        podium = (
            f"{sure}the full grid of {self.num_trials:,} trials would have "
            f"{list_text(self.podium)} on its podium"
        )
        if self.state == "complete":
            return f"Raced to the end: all {self.num_trials:,} trials were needed."
        if self.state == "running":
            now = f"Race, round {self.round}: {self.num_asked:,} of {self.num_trials:,} trials"
            if not self.podium:
                return f"{now} are asked for before anything is decided."
            return (
                f"{now} are asked for; so far {podium}{'' if sure else ', how surely is unknown'}."
            )
        why = "" if self.state == "certain" else f", below the {percent_text(self.level)} asked for"
        why = f"{why}, when the budget was spent" if why else why
        return (
            f"Raced: {self.num_held_back:,} of {self.num_trials:,} trials were spared; "
            f"{podium}{why}."
        )

    def to_json(self) -> dict[str, JSONValue]:
        """Returns all values as plain JSON values."""
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
