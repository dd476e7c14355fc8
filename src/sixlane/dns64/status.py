# SPDX-License-Identifier: Apache-2.0
"""How the resolvers are, for people."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from sixlane.dns64 import process
from sixlane.dns64.apply import is_local
from sixlane.dns64.conf import listeners, named_conf, server_id
from sixlane.dns64.place import Place
from sixlane.dns64.query import answered_server_id
from sixlane.model import Dns64

_AT_ONCE = 32


def dns64_status(desired: Iterable[Dns64], place: Place) -> list[dict[str, object]]:
    """For each resource: `name`, `state` (running, stale, silent, stopped), `pid`, `user`, `note`
    and `listen`: for each address whether it `answers`.

    Stale: it answers with an older configuration. Silent: it runs, and does not answer.
    """
    resources = list(desired)
    if not resources:
        return []
    # One that is silent costs half a second; several must not add up.
    with ThreadPoolExecutor(_AT_ONCE) as asking:
        return [told() for told in [_asked(resource, place, asking) for resource in resources]]


def _asked(
    resource: Dns64, place: Place, asking: ThreadPoolExecutor
) -> Callable[[], dict[str, object]]:
    """Asks on all addresses at once; the answer waits for theirs."""
    name = resource.name
    pid = process.find(place.configuration(name))
    text = named_conf(resource, str(place.state(name)), str(place.log(name)))
    questions = {
        listener: asking.submit(answered_server_id, *listener) if pid is not None else None
        for listener in sorted(listeners(text))
    }

    def told() -> dict[str, object]:
        answers = {one: future.result() if future else None for one, future in questions.items()}
        return _told(name, pid, server_id(text), answers, place)

    return told


def _told(
    name: str,
    pid: int | None,
    wanted: str,
    answers: dict[tuple[str, int], str | None],
    place: Place,
) -> dict[str, object]:
    return {
        "name": name,
        "state": _state(pid, list(answers.values()), wanted),
        "pid": pid,
        "user": process.user_of(pid) if pid is not None else "",
        "note": "; ".join(_notes(pid, [address for address, _ in answers], place, name)),
        "listen": [
            {"address": address, "port": port, "answers": answer is not None}
            for (address, port), answer in answers.items()
        ],
    }


def _state(pid: int | None, answers: list[str | None], wanted: str) -> str:
    if pid is None:
        return "stopped"
    if any(answer is None for answer in answers):
        return "silent"
    return "running" if all(answer == wanted for answer in answers) else "stale"


def _notes(pid: int | None, addresses: list[str], place: Place, name: str) -> Iterator[str]:
    for address in addresses:
        if not is_local(address):
            yield f"{address} is not an address of this machine"
    if pid is not None and process.user_of(pid) != process.USER:
        directories = (place.configuration(name).parent, place.state(name))
        _, why = process.unprivileged_user(*directories)
        yield f"not as user {process.USER}: {why or 'it was not possible when it was started'}"
