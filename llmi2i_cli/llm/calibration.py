"""What a confidence is worth: the discriminator's log-odds put on a scale on which they can be read as probabilities.

A confidence is the probability of Yes for a candidate that could as well be observed as not: of equally many observed
and other candidates that get 0.99, 99% are observed. So Yes and No weigh the same in all that is fitted and measured
here, however many others there are for one that is observed.

The log-odds become ``slope * log-odds + intercept`` (Platt, 1999; with the slope alone, temperature scaling, Guo et
al., ICML 2017: the temperature is 1 / slope). The slope is positive, so the order of candidates stays.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.documents import read_json

SLOPES = (0.05, 20.0)  # outside it the candidates are hardly told apart, or fitted by chance without an error
BINS = 10
FEWEST_USERS = 20  # that a calibration is fitted on; fewer say too little
SEED = 42


@dataclass(frozen=True)
class Calibration:
    """``slope * log-odds + intercept``; as it is created it changes nothing."""

    slope: float = 1.0
    intercept: float = 0.0

    def confidence(self, odds: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """P(Yes) of log-odds, float32, the same shape."""
        scaled = self.slope * odds.astype(np.float64) + self.intercept
        return np.exp(-np.logaddexp(0.0, -scaled)).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path, remedy: str) -> Calibration:
        """Read what `save` wrote; one that changes nothing where there is no file. ArtifactError if it is damaged."""
        if not path.exists():
            return cls()
        try:
            found = read_json(path)
            slope, intercept = float(found["slope"]), float(found["intercept"])
            if not 0 < slope < np.inf or not np.isfinite(intercept):
                raise ValueError(f"slope {slope}, intercept {intercept}")
            return cls(slope, intercept)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is damaged: {remedy}") from error


def fit(odds: NDArray[np.floating[Any]], labels: NDArray[np.bool_]) -> Calibration:
    """The calibration with the least `log_loss`; one that changes nothing where labels are all alike.

    Parameters
    ----------
    odds : (n,), log P(Yes) - log P(No)
    labels : bool (n,), True = observed
    """
    if not labels.any() or labels.all():
        return Calibration()
    weights = balanced_weights(labels)
    towards = np.where(labels, 1.0, -1.0)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = towards * (parameters[0] * odds + parameters[1])
        pull = -weights * towards * np.exp(-np.logaddexp(0.0, margin))
        return float(weights @ np.logaddexp(0.0, -margin)), np.array([pull @ odds, pull.sum()])

    found = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[SLOPES, (None, None)]).x
    return Calibration(float(found[0]), float(found[1]))


def balanced_weights(labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights under which the observed and the others have half of the sum, 1, each, float64 (n,)."""
    n_yes = max(1, int(labels.sum()))
    return np.where(labels, 0.5 / n_yes, 0.5 / max(1, len(labels) - n_yes))


def log_loss(confidences: NDArray[np.floating[Any]], labels: NDArray[np.bool_]) -> float:
    """Mean of -log of the probability given to what is true, Yes and No weighing the same."""
    given = np.where(labels, confidences, 1.0 - confidences.astype(np.float64))
    return float(balanced_weights(labels) @ -np.log(np.maximum(given, 1e-12)))


@dataclass(frozen=True)
class Bin:
    """Candidates of about the same confidence.

    Attributes
    ----------
    low, high : the bin's bounds
    pairs : candidates in it
    confidence : their mean confidence, Yes and No weighing the same
    observed : their share of Yes, Yes and No weighing the same
    hits : their share of Yes as they are
    weight : their share of all candidates, Yes and No weighing the same
    """

    low: float
    high: float
    pairs: int
    confidence: float
    observed: float
    hits: float
    weight: float


def reliability(confidences: NDArray[np.floating[Any]], labels: NDArray[np.bool_], n_bins: int = BINS) -> list[Bin]:
    """Confidence beside what was observed, in `n_bins` bins of equal width; empty bins are left out."""
    weights = balanced_weights(labels)
    place = np.minimum((confidences * n_bins).astype(np.int64), n_bins - 1)
    rows = []
    for number in np.unique(place).tolist():
        here = place == number
        weight = float(weights[here].sum())
        rows.append(
            Bin(
                low=number / n_bins,
                high=(number + 1) / n_bins,
                pairs=int(here.sum()),
                confidence=float(weights[here] @ confidences[here] / weight),
                observed=float(weights[here] @ labels[here] / weight),
                hits=float(labels[here].mean()),
                weight=weight,
            )
        )
    return rows


def expected_calibration_error(confidences: NDArray[np.floating[Any]], labels: NDArray[np.bool_]) -> float:
    """Mean distance of confidence and observed share over the bins of `reliability`, by their weight."""
    return sum(row.weight * abs(row.confidence - row.observed) for row in reliability(confidences, labels))


def fitting_half(users: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Which users a calibration is fitted on, bool (n,): about half, by their row alone; the others measure it."""
    n_users = int(users.max(initial=-1)) + 1
    return (np.random.default_rng(SEED).random(n_users) < 0.5)[users]


def calibrate(
    odds: NDArray[np.floating[Any]], labels: NDArray[np.bool_], users: NDArray[np.integer[Any]]
) -> tuple[Calibration, dict[str, Any]]:
    """Fit on one half of the users, measure on the other.

    Parameters
    ----------
    odds, labels : as in `fit`
    users : (n,), whose candidate each is; rows of ``prepare/users.parquet``

    Returns
    -------
    the calibration, one that changes nothing where there are fewer than `FEWEST_USERS` to fit on, and its figures:
    number of users on either side, expected calibration error and log loss before and after
    """
    fitting = fitting_half(users)
    measured = ~fitting
    n_fitting, n_measured = len(np.unique(users[fitting])), len(np.unique(users[measured]))
    calibration = fit(odds[fitting], labels[fitting]) if n_fitting >= FEWEST_USERS else Calibration()
    figures: dict[str, Any] = {**asdict(calibration), "fitted_users": n_fitting, "measured_users": n_measured}
    if not n_measured:
        return calibration, figures
    for name, each in (("before", Calibration()), ("after", calibration)):
        confidences = each.confidence(odds[measured])
        figures[f"error_{name}"] = expected_calibration_error(confidences, labels[measured])
        figures[f"log_loss_{name}"] = log_loss(confidences, labels[measured])
    return calibration, figures
