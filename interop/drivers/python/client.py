"""The Python SDK's client goes through the flows against a runtime: client.py URL TOKEN. One JSON object per flow."""

import asyncio
import json
import sys

from arcp import (
    ARCPError,
    ClientInfo,
    ListJobsFilter,
    SessionResume,
    WebSocketTransport,
)
from arcp.client import ARCPClient

URL, TOKEN = sys.argv[1], sys.argv[2]
FLOW_SECONDS = 15


async def connected():
    client = ARCPClient(client=ClientInfo(name="python-client", version="1.0.0"), token=TOKEN)
    transport = await WebSocketTransport.connect(URL)
    await client.connect(transport)
    return client, transport


def lines(count):
    return [f"line {line}" for line in range(count)]


async def messages_of(handle):
    return [event["body"]["message"] async for event in handle.events() if event["kind"] == "log"]


async def code_of(awaitable):
    try:
        await awaitable
    except ARCPError as error:
        return error.code
    raise AssertionError("nothing was refused")


def same(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected!r}, got {actual!r}")


async def connect():
    client, _ = await connected()
    agents = [agent if isinstance(agent, str) else agent.name for agent in client.welcome.capabilities.agents]
    assert "echo" in agents, agents
    return client


async def submit():
    client, _ = await connected()
    value = {"text": "héllo ✓", "list": [1, 2.5, None], "nested": {"deep": True}}
    handle = await client.submit(agent="echo", input=value)
    same((await handle.done).result, value)
    return client


async def budget():
    client, _ = await connected()
    handle = await client.submit(agent="echo", input=1, lease_request={"cost.budget": ["USD:1.50"]})
    await handle.done
    same(handle.budget, {"USD": "USD:1.5"})
    return client


async def events():
    client, _ = await connected()
    handle = await client.submit(agent="chatter", input={"n": 50})
    same(await messages_of(handle), lines(50))
    await handle.done
    return client


async def progress():
    client, _ = await connected()
    handle = await client.submit(agent="progress", input={"n": 4})
    seen = [
        (event["body"]["current"], event["body"]["total"])
        async for event in handle.events()
        if event["kind"] == "progress"
    ]
    same(seen, [(current, 4) for current in (1, 2, 3, 4)])
    return client


async def chunks():
    client, _ = await connected()
    whole = b"a" * 24 + b"b" * 24 + b"c" * 24
    for encoding in ("utf8", "base64"):
        handle = await client.submit(agent="chunks", input={"n": 3, "bytes": 24, "encoding": encoding})
        same(await handle.collect_chunks(), whole)
        same((await handle.done).result_size, 72)
    return client


async def cancel():
    client, _ = await connected()
    handle = await client.submit(agent="slow", input={"ms": 30000})
    await asyncio.sleep(0.05)
    await client.cancel_job(handle.job_id)
    same(await code_of(handle.done), "CANCELLED")
    return client


async def error():
    client, _ = await connected()
    same(await code_of(client.submit(agent="no-such-agent")), "AGENT_NOT_AVAILABLE")
    handle = await client.submit(agent="fail")
    same(await code_of(handle.done), "INTERNAL_ERROR")
    handle = await client.submit(agent="echo", input=1)
    same((await handle.done).result, 1)
    return client


async def idempotency():
    client, _ = await connected()
    submission = {"agent": "slow", "input": {"ms": 200}, "idempotency_key": f"key-{id(client)}"}
    first = await client.submit(**submission)
    second = await client.submit(**submission)
    same(second.job_id, first.job_id)
    same((await second.done).result, {"slept": 200})
    # Any session.error fails whatever this client waits for: the conflict comes last.
    conflict = {**submission, "input": {"ms": 1}}
    same(await code_of(client.submit(**conflict)), "DUPLICATE_KEY")
    return client


async def list_():
    client, _ = await connected()
    mine = [(await client.submit(agent="slow", input={"ms": 1500})).job_id for _ in range(3)]
    listed, cursor = [], None
    while True:
        page = await client.list_jobs(filter=ListJobsFilter(status=("running",)), limit=2, cursor=cursor)
        listed += [job.job_id for job in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            break
    same([job for job in mine if job not in listed], [])
    return client


async def subscribe():
    submitter, _ = await connected()
    handle = await submitter.submit(agent="chatter", input={"n": 10, "delay_ms": 30})
    await asyncio.sleep(0.1)
    observer, _ = await connected()
    subscription = await observer.subscribe(handle.job_id, history=True)
    same(await messages_of(subscription.handle), lines(10))
    same((await subscription.handle.done).result, {"lines": 10})
    await submitter.close()
    return observer


async def taken_up(client, transport, last_event_seq):
    await transport.close()
    await asyncio.sleep(0.1)
    again = ARCPClient(client=ClientInfo(name="python-client", version="1.0.0"), token=TOKEN)
    point = SessionResume(
        session_id=client.session_id,
        resume_token=client.welcome.resume_token,
        last_event_seq=last_event_seq,
    )
    await again.resume(await WebSocketTransport.connect(URL), resume=point)
    same(again.session_id, client.session_id)
    return again


async def replay():
    client, transport = await connected()
    handle = await client.submit(agent="chatter", input={"n": 5})
    await messages_of(handle)
    last = client.latest_event_seq
    again = await taken_up(client, transport, last - 3)
    # It has no handles for jobs of before: only the number tells what came.
    await asyncio.sleep(0.3)
    same(again.latest_event_seq, last)
    return again


async def resume():
    client, transport = await connected()
    handle = await client.submit(agent="chatter", input={"n": 20, "delay_ms": 30})
    await asyncio.sleep(0.1)
    seen = client.latest_event_seq
    assert 0 < seen < 20, seen
    again = await taken_up(client, transport, seen)
    for _ in range(50):
        await asyncio.sleep(0.05)
        if again.latest_event_seq == 21:
            break
    same(again.latest_event_seq, 21)
    same((await again.list_jobs()).jobs[-1].job_id, handle.job_id)
    return again


async def close():
    client, transport = await connected()
    await client.close()
    assert transport.is_closed
    return None


FLOWS = (
    connect,
    submit,
    budget,
    events,
    progress,
    chunks,
    cancel,
    error,
    idempotency,
    list_,
    subscribe,
    replay,
    resume,
    close,
)


async def main():
    for flow in FLOWS:
        report = {"flow": flow.__name__.rstrip("_"), "outcome": "pass"}
        try:
            client = await asyncio.wait_for(flow(), FLOW_SECONDS)
            if client is not None:
                await client.close()
        except BaseException as thrown:
            report |= {"outcome": "fail", "reason": f"{type(thrown).__name__}: {thrown}"[:300]}
        print(json.dumps(report), flush=True)


asyncio.run(main())
