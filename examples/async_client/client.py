"""Call a plugin from the tasks of an event loop. Run with: scriptling client.py, or python client.py"""

import asyncio
from pathlib import Path

import scriptling.plugin as plugin

setup = str(Path(__file__).with_name("setup.py"))
german = {"cat": "Katze", "dog": "Hund"}


async def look_up(word):
    await asyncio.sleep(0.01)  # other tasks run meanwhile
    return german[word]


async def main():
    async with plugin.connect("scriptling", args=["--json-rpc", setup]) as words:
        print(await words.shout("hello"))
        print(await asyncio.gather(*(words.shout(letter) for letter in "abc")))
        print(await words.translate(look_up, ["cat", "dog"]))

        async with await words.Counter(5) as counter:
            await counter.increment()
            print(await counter.count)

        try:
            async with asyncio.timeout(0.2):
                await words.wait(60)
        except TimeoutError:
            print("too late")


asyncio.run(main())
