"""Five examples of the manager, against the live venues or, with --simulate, against the built-in ones.

python enhanced_websocket_example.py                   # asks which
python enhanced_websocket_example.py 2                 # the second
python enhanced_websocket_example.py all --simulate --seconds 8
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_CHECKOUT))

try:
    from enhanced_websocket_manager import EnhancedWebSocketManager, VelocityMetrics
except ModuleNotFoundError as missing:
    print(f"{missing.name} is not installed: pip install -r {_CHECKOUT / 'requirements.txt'}", file=sys.stderr)
    sys.exit(2)

Example = Callable[[float, int], Awaitable[None]]


async def basic_usage(seconds: float, redis_port: int) -> None:
    """Streams as before, metrics in Redis beside them."""
    manager = EnhancedWebSocketManager(symbols=["BTCUSDT"], redis_host="localhost", redis_port=redis_port)
    manager.add_cex_exchange("binance")
    manager.add_cex_exchange("bybit")
    manager.add_cex_exchange("okx")
    await run_for(manager, seconds)
    stats = manager.get_stats()
    print(f"events: {stats['events_processed']}, alerts: {stats['velocity_alerts']}, streams: {stats['cex_streams']}")


async def custom_callback(seconds: float, redis_port: int) -> None:
    """Every liquidation, handed to a function of yours."""

    async def my_callback(event) -> None:  # type: ignore[no-untyped-def]  # native or your own event
        print(f"{event.exchange_name}: {event.symbol} {event.side_name} ${event.value_usd:,.2f}")

    manager = EnhancedWebSocketManager(symbols=["BTCUSDT"], redis_port=redis_port)
    manager.user_callback = my_callback
    manager.add_cex_exchange("binance")
    manager.add_cex_exchange("bybit")
    await run_for(manager, seconds)


async def multi_exchange(seconds: float, redis_port: int) -> None:
    """Central venues and Hyperliquid together."""
    manager = EnhancedWebSocketManager(symbols=["BTCUSDT", "ETHUSDT"], redis_port=redis_port)
    manager.add_cex_exchange("binance")
    manager.add_cex_exchange("bybit")
    manager.add_cex_exchange("okx")
    manager.add_dex_hyperliquid(["BTC", "ETH", "SOL"])
    await run_for(manager, seconds)
    for symbol in manager.velocity_tracker.event_buffers:
        print_metrics(manager.velocity_tracker.calculate_velocity(symbol))


async def velocity_monitoring(seconds: float, redis_port: int) -> None:
    """A loop that looks at the metrics while the streams run."""
    manager = EnhancedWebSocketManager(symbols=["BTCUSDT"], redis_port=redis_port)
    manager.add_cex_exchange("binance")
    manager.add_cex_exchange("bybit")
    manager.on_velocity_alert(lambda metrics: print(f"alert: {metrics.symbol} {metrics.velocity_10s:.2f} events/s"))

    async def monitor() -> None:
        while True:
            await asyncio.sleep(2)
            metrics = manager.velocity_tracker.calculate_velocity("BTCUSDT")
            if metrics:
                print_metrics(metrics)

    monitoring = asyncio.create_task(monitor())
    await run_for(manager, seconds)
    monitoring.cancel()


async def redis_inspection(seconds: float, redis_port: int) -> None:
    """The same metrics as any other program reads them: from Redis."""
    import redis.asyncio as redis

    manager = EnhancedWebSocketManager(symbols=["BTCUSDT"], redis_port=redis_port)
    manager.add_cex_exchange("binance")
    manager.add_cex_exchange("bybit")
    running = asyncio.create_task(manager.start_all())
    await asyncio.sleep(seconds)
    client = redis.Redis(host="localhost", port=redis_port, db=1, decode_responses=True)
    try:
        for key in sorted(str(key) for key in await client.keys("velocity:*:current")):
            count, velocity = await client.hmget(key, "event_count_10s", "velocity_10s")
            print(key, "events in 10 s:", count, "per second:", velocity)
        price = await client.get("btc:price:current")
        print("btc:price:current:", json.loads(price) if price else "none yet")
        print(f"cascade:events:buffer: {await client.llen('cascade:events:buffer')} events")
    except redis.ConnectionError as error:
        print(f"no Redis there: {error}")
    finally:
        await client.aclose()
        await manager.stop_all()
        await running


EXAMPLES: dict[str, tuple[str, Example]] = {
    "1": ("Basic Usage", basic_usage),
    "2": ("Custom Callback", custom_callback),
    "3": ("Multi-Exchange", multi_exchange),
    "4": ("Velocity Monitoring", velocity_monitoring),
    "5": ("Redis Inspection", redis_inspection),
}


async def run_for(manager: EnhancedWebSocketManager, seconds: float) -> None:
    """Start the manager, let it run, stop it."""
    running = asyncio.create_task(manager.start_all())
    await asyncio.sleep(seconds)
    await manager.stop_all()
    await running


def print_metrics(metrics: VelocityMetrics) -> None:
    """One evaluation in one line."""
    price = f"{metrics.btc_price:,.1f}" if metrics.btc_price else "unknown"
    print(
        f"{metrics.symbol}: {metrics.velocity_10s:.2f} events/s over 10 s, {metrics.velocity_60s:.2f} over 60 s, "
        f"acceleration {metrics.acceleration:+.3f} events/s², ${metrics.total_value_usd:,.0f} in 300 s, BTC {price}"
    )


async def run_example(number: str, seconds: float, redis_port: int) -> None:
    """One example with its title."""
    title, example = EXAMPLES[number]
    print(f"Example {number}: {title}")
    await example(seconds, redis_port)
    print()


async def simulated(number: str, seconds: float) -> None:
    """The same against built-in venues and a Redis server of its own, a market at three times its speed."""
    from liqtape.embedded import EmbeddedServer
    from liqtape.simulator import Simulator
    from liqtape.simulator.dialects import DIALECTS

    server = EmbeddedServer()
    port = await server.start()
    try:
        async with Simulator("cascade", speed=3.0) as simulator:
            for venue in DIALECTS:
                os.environ[f"LIQTAPE_VENUES_{venue.upper()}_WS_URL"] = simulator.ws_url(venue)
                os.environ[f"LIQTAPE_VENUES_{venue.upper()}_REST_URL"] = simulator.rest_url(venue)
            await run_example(number, seconds, port)
    finally:
        await server.stop()


async def main(choice: str, seconds: float, redis_port: int, *, simulate: bool) -> None:
    """Run the chosen examples, one after the other."""
    for number in EXAMPLES if choice == "all" else (choice,):
        await (simulated(number, seconds) if simulate else run_example(number, seconds, redis_port))


def ask() -> str:
    """The choice from a prompt."""
    for number, (title, _) in EXAMPLES.items():
        print(f"  {number}. {title}")
    while True:
        answer = input("Which example (1-5, or all)? ").strip()
        if answer in {*EXAMPLES, "all"}:
            return answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example", nargs="?", choices=[*EXAMPLES, "all"], help="without it you are asked")
    parser.add_argument("--simulate", action="store_true", help="built-in venues and Redis, no network")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each example runs")
    parser.add_argument("--redis-port", type=int, default=6379)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(main(options.example or ask(), options.seconds, options.redis_port, simulate=options.simulate))
    except EOFError:
        parser.error("which example? 1 to 5, or all")
    except KeyboardInterrupt:
        sys.exit(130)
