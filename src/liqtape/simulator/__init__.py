"""The venues' wire protocols on loopback: a market that can be repeated, and the delivery log."""

from liqtape.simulator.deliverylog import Delivered, DeliveryLog, Tally
from liqtape.simulator.faults import FAULTS
from liqtape.simulator.recount import Count, Recount, instrument_of, micro_usd_of, recount
from liqtape.simulator.scenario import SCENARIOS
from liqtape.simulator.server import Simulator, run_until_stopped
from liqtape.simulator.wire import ServerLimits

__all__ = [
    "FAULTS",
    "SCENARIOS",
    "Count",
    "Delivered",
    "DeliveryLog",
    "Recount",
    "ServerLimits",
    "Simulator",
    "Tally",
    "instrument_of",
    "micro_usd_of",
    "recount",
    "run_until_stopped",
]
