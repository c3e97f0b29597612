"""The forecasts in one line, each beside what is usual; without one, why."""

from collections.abc import Sequence

from liqtape.forecast.forecaster import Forecast

__all__ = ["forecast_line"]


def forecast_line(forecasts: Sequence[Forecast]) -> str:
    """Return the forecasts as a person reads them.

    >>> from liqtape.forecast.forecaster import Target
    >>> soon, later = Target(5, 60), Target(10, 300)
    >>> forecast_line([Forecast(0, soon, 0.021, 0.0032, "m"), Forecast(0, later, None, 0.006, "m", "x")])
    '5 or more within 60 s: 2.1 %, usually 0.32 %; 10 or more within 300 s: no forecast yet, x'
    >>> forecast_line([Forecast(0, soon, None, None, "", "x"), Forecast(0, later, None, None, "", "x")])
    'no forecast yet: x'
    """
    reasons = {forecast.why for forecast in forecasts}
    if all(forecast.probability is None for forecast in forecasts) and len(reasons) == 1:
        return f"no forecast yet: {reasons.pop()}"
    return "; ".join(map(_said, forecasts))


def _said(forecast: Forecast) -> str:
    target = f"{forecast.target.count} or more within {forecast.target.seconds} s"
    if forecast.probability is None:
        return f"{target}: no forecast yet, {forecast.why}"
    usual = "" if forecast.base_rate is None else f", usually {_share(forecast.base_rate)}"
    return f"{target}: {_share(forecast.probability)}{usual}"


def _share(share: float) -> str:
    return f"{100 * share:.2g} %"
