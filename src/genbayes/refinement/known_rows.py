"""The simulations that a cost knows while it is refined: all in memory, or a sample of a store that holds them all."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..costs.cost import Cost
from ..costs.store_rows import StorePart
from ..simulations.rows import Simulations
from ..simulations.sampled import sample_simulations


@dataclass(frozen=True, eq=False)
class KnownRows:
    """What a cost was fitted on.

    Attributes:
        simulations: all of them, or a sample of those in the store, with all rows of the new rounds.
        rounds: of refinement that are among them.
        store: of all, where they are a sample; None where they are all.
    """

    simulations: Simulations
    rounds: int
    store: Path | None = None

    @classmethod
    def of_memory(cls, simulations: Simulations, cost: Cost, store: str | Path | None) -> "KnownRows":
        """Those in memory, kept in a store if there is to be one.

        Raises:
            ValueError: they are a sample.
        """
        if simulations.sampled_from is not None:
            raise ValueError(
                "simulations are a sample of a store, and refine fits the cost on all of them: give the path of the "
                "store in their place."
            )
        if store is not None and not Path(store).exists():
            simulations.save(store)
        done = int(cost.settings.get("rounds", 0))
        if store is None:
            return cls(simulations, max(done, int(simulations.round.max(initial=0))))
        # Rounds that the cost has not seen were interrupted: they are in the store, and are gone on with.
        return cls(simulations.selected(simulations.round <= done), done)

    @classmethod
    def of_store(cls, path: Path, cost: Cost, rows_in_memory: int) -> "KnownRows":
        """Those in a store, or a sample of them where there are more than a number of rows.

        Raises:
            FileNotFoundError: there is no store.
            ValueError: it is larger, and the cost is one that is fitted in memory alone.
        """
        done = int(cost.settings.get("rounds", 0))
        rows = sample_simulations(path, rows_in_memory, up_to_round=done)
        if rows.sampled_from is None:
            return cls(rows, done)
        alone = {"measurement_error": cost.measurement_error, "cheap": cost.settings.get("cheap")}
        if reason := next((name for name, value in alone.items() if value is not None), None):
            raise ValueError(
                f"the store {path} has {rows.sampled_from.rows:,} rows, more than the {rows_in_memory:,} that are read "
                f"into memory, and a cost with {reason} is fitted there alone: give Simulations.open({str(path)!r}), "
                "or a larger rows_in_memory."
            )
        return cls(rows, done, path)

    def with_round(self, new: Simulations) -> "KnownRows":
        """With a round that has been simulated, and is in the store if there is one."""
        return replace(self, simulations=self.simulations.joined(new), rounds=self.rounds + 1)

    @property
    def for_fit(self) -> Simulations | StorePart:
        """What `fit_cost` fits all of them on."""
        return self.simulations if self.store is None else StorePart(self.store, self.rounds)
