"""A runtime of the Python SDK with the agents of the flows. Prints its address; ends when its input does."""

import asyncio
import json
import sys

from arcp import RuntimeInfo, serve_websocket
from arcp.runtime import ARCPRuntime, StaticBearerVerifier


async def echo(value, _context):
    return value


async def fail(_value, _context):
    raise RuntimeError("interop: deliberate failure")


async def slow(value, _context):
    await asyncio.sleep(value["ms"] / 1000)
    return {"slept": value["ms"]}


async def chatter(value, context):
    for line in range(value["n"]):
        if line > 0 and value.get("delay_ms"):
            await asyncio.sleep(value["delay_ms"] / 1000)
        await context.log("info", f"line {line}")
    return {"lines": value["n"]}


async def progress(value, context):
    for step in range(1, value["n"] + 1):
        await context.progress(step, total=value["n"], units="steps")
    return {"steps": value["n"]}


async def chunks(value, context):
    async with context.stream_result() as stream:
        for piece in range(value["n"]):
            text = chr(ord("a") + piece) * value["bytes"]
            await stream.write(text.encode() if value.get("encoding") == "base64" else text)


async def main():
    runtime = ARCPRuntime(
        runtime=RuntimeInfo(name="python-runtime", version="1.0.0"),
        bearer=StaticBearerVerifier({sys.argv[1]: "interop"}),
    )
    for agent in (echo, fail, slow, chatter, progress, chunks):
        runtime.register_agent_version(agent.__name__, "1.0.0", agent)
    server = await serve_websocket(runtime.accept, host="127.0.0.1", port=0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"url": f"ws://127.0.0.1:{port}/arcp"}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()
    await runtime.close()


asyncio.run(main())
