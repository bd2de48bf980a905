"""A chat server starts a "typing" watcher task per message.

The watcher waits for an event that only clients of the old protocol send, so the
tasks stay pending, and the server's set of background tasks keeps them.
"""

from __future__ import annotations

import asyncio
import json

EXPECT = {
    "verdict": "leak",
    "sites": ["handle", "watch_typing", "spawn", "__init__"],
    "owner": "SERVER._background",
    "pattern": "task",
    "habit": "pending-task",
    "bytes_per_call": (1300, 5000),
}


class Conversation:
    def __init__(self, number: int) -> None:
        self.number = number
        self.typing_stopped = asyncio.Event()  # LEAK


class ChatServer:
    def __init__(self) -> None:
        self._background: set[asyncio.Task[None]] = set()
        self.delivered = 0

    def spawn(self, conversation: Conversation) -> None:
        task = asyncio.get_running_loop().create_task(  # LEAK
            self.watch_typing(conversation)  # LEAK
        )
        self._background.add(task)  # LEAK
        task.add_done_callback(self._background.discard)  # LEAK

    async def watch_typing(self, conversation: Conversation) -> None:
        await conversation.typing_stopped.wait()  # LEAK
        self.delivered += 1

    async def handle(self, raw: str) -> int:
        message = json.loads(raw)
        conversation = Conversation(message["conversation"])  # LEAK
        self.spawn(conversation)
        await asyncio.sleep(0)
        words = sorted(message["text"].split() * 120)
        return len(" ".join(words))


SERVER = ChatServer()


async def step(i: int) -> int:
    text = " ".join(f"word{n * i % 91}" for n in range(40))
    return await SERVER.handle(json.dumps({"conversation": i, "text": text}))
